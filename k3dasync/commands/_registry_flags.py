"""The flags of create that are about registries."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from k3dasync import registries_yaml
from k3dasync.commands._parameters import flag, repeated
from k3dasync.grammar.registries import RegistryReference, parse_new, parse_reference
from k3dasync.spec import ClusterSpec, RegistrySpec, read


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class RegistryFlags:
    """What can be told about registries; None is not given."""

    registry_create: Annotated[
        str | None,
        flag(
            "--registry-create",
            env="K3D_CLI_REGISTRIES_CREATE",
            help="NAME[:[HOST:]PORT] of a registry to make with the cluster.",
        ),
    ] = None
    registry_use: Annotated[
        tuple[str, ...] | None,
        repeated(
            "--registry-use",
            env="K3D_REGISTRIES_USE",
            help="NAME of a registry that is there.",
        ),
    ] = None
    registry_config: Annotated[
        str | None,
        flag(
            "--registry-config",
            env="K3D_REGISTRIES_CONFIG",
            help="A registries.yaml for k3s: its path, or its text.",
        ),
    ] = None
    enforce_registry_port_match: Annotated[
        bool | None,
        flag(
            "--enforce-registry-port-match",
            env="K3D_CLI_REGISTRIES_CREATE_ENFORCEPORTMATCH",
            help="The registry made has one port, on the host and in its container.",
        ),
    ] = None

    def on(self, base: ClusterSpec) -> dict[str, Any]:
        """Return the fields of *base* that these flags change.

        Of a registry that a file asks for, image, proxy and volumes are kept. Empty texts count
        as not given.

        Raises SpecError if a flag cannot be understood, or a file not be read.
        """
        changed: dict[str, Any] = {"registry": self._new(base.registry)}
        if self.registry_use is not None:
            changed["registries"] = _references(self.registry_use)
        if self.registry_config:
            changed["registry_config"] = registries_yaml.text_of(self.registry_config)
        return changed

    def _new(self, base: RegistrySpec | None) -> RegistrySpec | None:
        new = base
        if self.registry_create:
            asked = read("--registry-create", parse_new, self.registry_create)
            new = msgspec.structs.replace(
                new or RegistrySpec(), name=asked.name, exposure=asked.exposure
            )
        if new is None or self.enforce_registry_port_match is None:
            return new
        return msgspec.structs.replace(new, enforce_port_match=self.enforce_registry_port_match)


def _references(texts: Sequence[str]) -> tuple[RegistryReference, ...]:
    # In the environment k3d has commas between them.
    words = [word for text in texts for word in text.split(",") if word]
    return tuple(read("--registry-use", parse_reference, word) for word in words)
