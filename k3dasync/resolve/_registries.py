"""The registries of a cluster: the one that is made with it, and what nodes are told of all. Pure.

Nodes resolve registries' names by the engine's resolver, in the cluster's network; pods by
CoreDNS, for which the addresses must be fixed.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from k3dasync import entrypoint, registries_yaml
from k3dasync.cluster import (
    Connection,
    NetworkChoice,
    Node,
    Registry,
    RegistryChoice,
    UsedRegistry,
)
from k3dasync.errors import SpecError
from k3dasync.grammar import volumes
from k3dasync.resolve._registry_node import registry_node
from k3dasync.runtime import File
from k3dasync.spec import ClusterSpec

HOSTING_PATH = f"{entrypoint.MANIFESTS_PATH}/k3dasync-registry-hosting.yaml"
_SECRETIVE = 0o600
"""A registries.yaml can hold passwords; only k3s, which is root, reads it."""
_HELP = "https://k3d.io/stable/usage/registries/#using-a-local-registry"

# KEP 1755: by this ConfigMap tools find out where to push images to.
_HOSTING = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: local-registry-hosting
  namespace: kube-public
data:
  localRegistryHosting.v1: |
    host: "{host}"
    hostFromClusterNetwork: "{inside}"
    hostFromContainerRuntime: "{inside}"
    help: "{help}"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registries:
    """All that a cluster has to do with, and their fixed addresses in its network, if known."""

    spec: ClusterSpec
    network: NetworkChoice
    made: RegistryChoice | None
    used: tuple[UsedRegistry, ...]
    addresses: Mapping[str, str]

    @property
    def all(self) -> tuple[Registry, ...]:
        """The used ones first, as with k3d."""
        made = [self.made.registry] if self.made else []
        return (*(one.registry for one in self.used), *made)

    def node(self, labels: Mapping[str, str]) -> Iterator[Node]:
        """Yield the registry that is made, if one is."""
        if self.made is None or self.spec.registry is None:
            return
        yield registry_node(
            self.spec.registry,
            self.made,
            network=self.network.name,
            address=self.addresses.get(self.made.registry.name),
            labels=labels,
        )

    def connections(self) -> tuple[Connection, ...]:
        """Return the places of used registries in the cluster's network, to be made."""
        return tuple(
            Connection(
                registry=one.registry.name,
                network=self.network.name,
                address=self.addresses.get(one.registry.name),
            )
            for one in self.used
            if not one.is_connected
        )

    def files(self, binds: Sequence[str], *, is_server: bool, is_init: bool) -> Iterator[File]:
        """Yield what a node with these mounts is told.

        Raises SpecError if the user's registries.yaml would not be seen below a mount.
        """
        text = registries_yaml.merged(self.spec.registry_config, self._mirrors())
        if text and not self._is_mounted(binds):
            yield File(path=registries_yaml.PATH, content=text.encode(), mode=_SECRETIVE)
        if is_server and self.addresses:
            lines = [f"{address} {name}\n" for name, address in self.addresses.items()]
            yield File(path=entrypoint.POD_HOSTS_PATH, content="".join(lines).encode())
        if is_init and self.all:
            # In the datastore from then on: the other servers need not apply it too.
            yield File(path=HOSTING_PATH, content=hosting(self.all[0]).encode())

    def warnings(self, binds: Iterable[Sequence[str]]) -> Iterator[str]:
        """Yield what the user should know."""
        if self.all and any(map(hides, binds)):
            yield (
                f"nodes on which a volume is mounted over {registries_yaml.PATH} are not told of "
                "registries; pass that file with --registry-config instead, it is merged"
            )
        if len(self.all) > 1:
            yield f"of the registries, tools are told to push to the first one, {self.all[0].name}"

    def _is_mounted(self, binds: Sequence[str]) -> bool:
        is_hidden = hides(binds)
        if is_hidden and self.spec.registry_config:
            raise SpecError(
                f"--registry-config cannot be used where a volume is mounted over "
                f"{registries_yaml.PATH}: remove one of them"
            )
        return is_hidden

    def _mirrors(self) -> dict[str, str]:
        return mirrors_of(self.all)


def mirrors_of(registries: Iterable[Registry]) -> dict[str, str]:
    """Return where nodes fetch images of which host first: the host in their names → endpoint."""
    mirrors: dict[str, str] = {}
    for one in registries:
        for port in (one.host_port, one.port):
            if port:
                mirrors.setdefault(f"{one.name}:{port}", one.endpoint)
        if one.remote:
            mirrors.setdefault(registries_yaml.mirrored_host(one.remote), one.endpoint)
    return mirrors


def registries_of(
    spec: ClusterSpec,
    nodes: Sequence[str],
    network: NetworkChoice,
    made: RegistryChoice | None,
    used: Sequence[UsedRegistry],
) -> Registries:
    """Return the registries with their addresses, which come after those of the nodes."""
    names = [made.registry.name] if made else []
    names += [one.registry.name for one in used if not one.is_connected]
    free = network.addresses[len(nodes) :]
    return Registries(
        spec=spec,
        network=network,
        made=made,
        used=tuple(used),
        addresses=dict(zip(names, free, strict=False)),
    )


def hides(binds: Sequence[str]) -> bool:
    """Say whether one of these mounts is over k3s's registries.yaml."""
    mounted = [volumes.parse(one).destination.rstrip("/") for one in binds]
    return any(f"{registries_yaml.PATH}/".startswith(f"{path}/") for path in mounted)


def hosting(registry: Registry) -> str:
    """Return the manifest that tells tools where to push images to."""
    inside = f"{registry.name}:{registry.port}"
    return _HOSTING.format(host=registry.published, inside=inside, help=_HELP)
