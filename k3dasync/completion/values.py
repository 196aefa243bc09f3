"""What the values of flags and arguments are: words, files, or names that an engine knows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from types import NoneType
from typing import get_args

from cyclopts.argument import Argument

from k3dasync.spec import WaitLevel

SHELLS = ("bash", "zsh", "fish")


class Source(Enum):
    """Where candidates come from that are no words of the command line's own."""

    CLUSTERS = "clusters that have nodes"
    REMAINS = "clusters of which anything is there"
    NODES = "nodes"
    REGISTRIES = "registries"
    FILES = "any files"
    YAML = "YAML files"


@dataclass(frozen=True, slots=True)
class Values:
    """What may be given: words, or what a source has; neither is anything."""

    words: tuple[str, ...] = ()
    source: Source | None = None


_ANYTHING = Values()
_FLAGS = {
    "--cluster": Values(source=Source.CLUSTERS),
    "--registry-use": Values(source=Source.REGISTRIES),
    "--registry-config": Values(source=Source.YAML),
    "--config": Values(source=Source.YAML),
    "--datastore-cafile": Values(source=Source.FILES),
    "--datastore-certfile": Values(source=Source.FILES),
    "--datastore-keyfile": Values(source=Source.FILES),
    "--volume": Values(source=Source.FILES),
    "--events": Values(source=Source.FILES),
    "--mode": Values(("direct", "tools-node", "tools", "auto")),
    "--role": Values(("server", "agent")),
    "--runtime": Values(("docker", "fake")),
    "--wait": Values((*WaitLevel, "true", "false")),
}
_OUTPUTS = {
    "list_clusters": ("table", "json", "yaml"),
    "list_nodes": ("table", "json", "yaml"),
    "create": ("yaml", "json"),
    "version": ("text", "json"),
}
"""What `--output` can be, by the command's function; of all others it is a file."""
_NAMES_OF_NEW = frozenset({"create", "plan_create", "view"})
"""Commands whose name is one that is not there yet."""
_TAKES_WHAT_IS_LEFT = frozenset({"delete", "rollback"})


def is_switch(argument: Argument) -> bool:
    """Return whether a flag takes a value only behind an equals sign."""
    return "--wait" in argument.names or _is_bool(argument)


def of_flag(argument: Argument, command: Callable[..., object]) -> Values:
    """Return what may be given to a flag."""
    choices = argument.get_choices()
    if choices:
        return Values(tuple(choices))
    if _is_bool(argument):
        return Values(("true", "false"))
    if "--output" in argument.names:
        words = _OUTPUTS.get(command.__name__, ())
        return Values(words) if words else Values(source=Source.FILES)
    return next((_FLAGS[name] for name in argument.names if name in _FLAGS), _ANYTHING)


def of_argument(argument: Argument, command: Callable[..., object]) -> Values:
    """Return what may be given as an argument; what is called otherwise than a name is a file."""
    if argument.names[0] == "SHELL":
        return Values(SHELLS)
    if argument.names[0] not in ("NAME", "NAMES"):
        return Values(source=Source.FILES)
    if command.__name__ in _NAMES_OF_NEW:
        return _ANYTHING
    module = command.__module__.rpartition(".")[2]
    kind = {"node": Source.NODES, "registry": Source.REGISTRIES}.get(module)
    if kind is None:
        has_left = command.__name__ in _TAKES_WHAT_IS_LEFT
        kind = Source.REMAINS if has_left else Source.CLUSTERS
    return Values(source=kind)


def without(found: Sequence[str], given: Sequence[str]) -> tuple[str, ...]:
    """Return what is not given already; `k3d-` may have been left out."""
    gone = {*given, *(f"k3d-{name}" for name in given)}
    return tuple(name for name in found if name not in gone)


def _is_bool(argument: Argument) -> bool:
    hint = argument.hint
    return hint is bool or set(get_args(hint)) == {bool, NoneType}
