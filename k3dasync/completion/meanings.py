"""What the arguments and flags of commands name, by the words of the command. Pure."""

from collections.abc import Sequence
from typing import Literal

from k3dasync.spec import WaitLevel

Kind = Literal["cluster", "node", "registry", "volume", "network"]

_GROUPS: dict[str, Kind] = {
    "node": "node",
    "registry": "registry",
    "registries": "registry",
    "reg": "registry",
    "volume": "volume",
    "network": "network",
}
"""Groups whose commands are about what the group is called after."""
_OF_CLUSTERS = frozenset(
    {
        *("delete", "del", "rm", "list", "ls", "get", "print", "show", "merge", "write", "remove"),
        *("start", "stop", "restart", "pause", "resume", "edit", "update", "scale", "rollback"),
        *("logs", "export-logs", "kubectl", "shell", "get-config"),
    }
)
"""Other commands whose arguments are clusters, by their last word."""
_WITH_ONE = frozenset({"kubectl", "shell"})
"""Of these only the first one is; what follows is somebody else's."""
_WITHOUT = frozenset({"config", "version", "plan", "completion"})
"""Groups whose words mean something else."""
_COMPONENTS = ("k3s", "k3d", "k3d-proxy", "k3d-tools")

VALUES: dict[str, Kind] = {
    "--cluster": "cluster",
    "--node": "node",
    "--network": "network",
    "--registry-use": "registry",
}
"""What flags name."""
CHOICES: dict[str, tuple[str, ...]] = {
    "--wait": tuple(WaitLevel),
    "--runtime": ("docker", "fake"),
    "--mode": ("auto", "direct", "tools-node"),
}
"""What flags take that take certain words."""
_TABLE = ("table", "json", "yaml")
FORMS = {
    "list": _TABLE,
    "ls": _TABLE,
    "get": _TABLE,
    "doctor": _TABLE,
    "prune": _TABLE,
    "create": ("yaml", "json"),
    "version": ("json",),
}
"""What `--output` takes where it names a form, by the command's last word."""


def of_argument(path: Sequence[str], place: int) -> Kind | None:
    """Return what the argument at a place, from 0, names; None if that is new, or no name."""
    group, word = path[0], path[-1]
    if word == "create" or group in _WITHOUT:
        return None
    if group in _GROUPS:
        return _GROUPS[group]
    if word not in _OF_CLUSTERS or (word in _WITH_ONE and place > 0):
        return None
    return "node" if word == "logs" and place > 0 else "cluster"


def words_of_argument(path: Sequence[str], place: int) -> Sequence[str]:
    """Return what else may stand there."""
    is_component = list(path[:1]) == ["version"] and len(path) > 1 and place == 0
    return _COMPONENTS if is_component else ()
