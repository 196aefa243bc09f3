"""Which field of a file is which field of a spec: one table for both directions. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from k3dasync.errors import SpecError
from k3dasync.grammar import balancer, gpus, ports, volumes, words
from k3dasync.grammar.balancer import BalancerSettings
from k3dasync.grammar.joins import parse_join
from k3dasync.images import K3S, is_channel
from k3dasync.spec import (
    DEFAULT_NAME,
    WaitLevel,
    check_image,
    check_name,
    parse_duration,
    parse_subnet,
    parse_wait,
)


@dataclass(frozen=True, slots=True)
class Field:
    """A field at `path` in a file, and the one of a spec; None in a spec is left out of a file.

    `read` raises SpecError if a value that the schema allows has no meaning.
    """

    name: str
    path: tuple[str, ...]
    read: Callable[[Any], Any]
    show: Callable[[Any], Any] = lambda value: value


@dataclass(frozen=True, slots=True)
class Entries:
    """A list at `path` whose entries have filters, and their value at `key`."""

    name: str
    path: tuple[str, ...]
    key: str
    check: Callable[[str], object]


def _or_none(text: str) -> str | None:
    return text or None


def _is_not(value: bool) -> bool:  # noqa: FBT001 - the value itself
    return not value


def _image(text: str) -> str:
    return text if is_channel(text) else check_image(text or K3S, "--image")


def _subnet(text: str) -> str | None:
    return parse_subnet(text) if text else None


def _wait(value: bool | str) -> WaitLevel:  # noqa: FBT001 - k3d's own form
    return parse_wait(str(value))


def _timeout(value: str | int) -> float | None:
    if isinstance(value, str):
        return parse_duration(value) if value else None
    if not 0 <= value < 2**63:  # Go's durations
        raise SpecError(f"expected a duration, or nanoseconds from 0, found {value}")
    return round(value / 1e9, 9) or None


def _ttl(text: str) -> float | None:
    return parse_duration(text, "--ttl") if text else None


def shown_duration(seconds: float | None) -> str:
    """Return Go's notation: `15m`, `1.5s`; `0s` for no limit."""
    if not seconds:
        return "0s"
    if seconds % 60 == 0 and seconds < 2**53:
        return f"{int(seconds // 60)}m"
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"


def _memory(text: str) -> int:
    return words.parse_size(text) if text else 0


def _shown_memory(size: int) -> str | None:
    return words.size(size) if size else None


def _gpus(text: str) -> gpus.GpuRequest | None:
    return gpus.parse(text) if text else None


def _shown_gpus(request: gpus.GpuRequest | None) -> str | None:
    return None if request is None else str(request)


def _shown_balancer(settings: BalancerSettings) -> Sequence[str] | None:
    return settings.overrides() or None


_K3D = ("options", "k3d")
_KUBECONFIG = ("options", "kubeconfig")
_RUNTIME = ("options", "runtime")

FIELDS = (
    Field("name", ("metadata", "name"), lambda text: check_name(text or DEFAULT_NAME)),
    Field("servers", ("servers",), int),
    Field("agents", ("agents",), int),
    Field("image", ("image",), _image),
    Field("network", ("network",), _or_none),
    Field("subnet", ("subnet",), _subnet),
    Field("token", ("token",), _or_none),
    Field("wait", (*_K3D, "wait"), _wait, str),
    Field("join", (*_K3D, "join"), parse_join, str),
    Field("timeout", (*_K3D, "timeout"), _timeout, shown_duration),
    Field("ttl", (*_K3D, "ttl"), _ttl, shown_duration),
    Field("loadbalancer", (*_K3D, "disableLoadbalancer"), _is_not, _is_not),
    Field("image_volume", (*_K3D, "disableImageVolume"), _is_not, _is_not),
    Field("external_image_volume", (*_K3D, "imageVolume"), _or_none),
    Field("rollback", (*_K3D, "disableRollback"), _is_not, _is_not),
    Field(
        "balancer",
        (*_K3D, "loadbalancer", "configOverrides"),
        balancer.parse,
        _shown_balancer,
    ),
    Field("kubeconfig_update_default", (*_KUBECONFIG, "updateDefaultKubeconfig"), bool),
    Field("kubeconfig_switch_context", (*_KUBECONFIG, "switchCurrentContext"), bool),
    Field("gpus", (*_RUNTIME, "gpuRequest"), _gpus, _shown_gpus),
    Field("servers_memory", (*_RUNTIME, "serversMemory"), _memory, _shown_memory),
    Field("agents_memory", (*_RUNTIME, "agentsMemory"), _memory, _shown_memory),
    Field("host_pid_mode", (*_RUNTIME, "hostPidMode"), bool),
)

ENTRIES = (
    Entries("volumes", ("volumes",), "volume", volumes.parse),
    Entries("ports", ("ports",), "port", ports.parse),
    Entries("env", ("env",), "envVar", words.parse_variable),
    Entries("k3s_args", ("options", "k3s", "extraArgs"), "arg", str),
    Entries("node_labels", ("options", "k3s", "nodeLabels"), "label", words.parse_label),
    Entries("runtime_labels", (*_RUNTIME, "labels"), "label", words.parse_runtime_label),
)
