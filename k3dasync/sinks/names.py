"""Short names for people: what a task is about, without what all names of a cluster share. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from k3dasync.graph import TaskId

MOST_NAMES = 2
"""Of things needed alike: they must fit a line of 80 columns, beside the columns before."""
_OF_NODES = {"container", "start", "connect", "supervisor", "join", "ready", "balance", "load"}
_OF_NODES |= {"attach", "drain", "leave", "forget", "stop", "pause"}
"""The kinds of tasks that are about one node: they share its row."""
_REACHED = {
    "container": "{} to be created",
    "start": "{} to start",
    "connect": "{} to be connected",
    "supervisor": "{} to let nodes join",
    "join": "{} to join",
    "ready": "{} to be ready",
    "drain": "{} to be drained",
    "leave": "{} to leave etcd",
    "forget": "{} to be forgotten",
    "attach": "{} to be connected",
    "image": "the image {}",
    "network": "the {}",
    "volume": "the {}",
    "api": "the {}",
    "remove-connection": "{} to be disconnected",
    "quorum": "a {}",
    "system": "the {}",
}
"""What somebody needs who needs a task of that kind."""


@dataclass(frozen=True, slots=True)
class Resource:
    """What a task is about, as the row of a display: `short` is for narrow ones."""

    kind: str
    id: str
    name: str
    short: str


def resource(task: TaskId, cluster: str | None) -> Resource:
    """Return what a task is about; all tasks of one node are about the same."""
    kind, _, id = task.partition(":")
    id = id.partition("/")[0] if kind == "attach" else id
    kind = "node" if kind in _OF_NODES else kind.removeprefix("remove-")
    kind = "node" if kind in {"container", "connection"} else kind
    rest = _without_prefix(id, cluster)
    match kind:
        case "node":
            return Resource(kind, id, rest or id, rest or id)
        case "image":
            path = id.partition("@")[0].rpartition("/")[2]
            return Resource(kind, id, path, path.partition(":")[0])
        case "build":
            return Resource(kind, id, f"{id.rpartition('/')[2]} built", kind)
        case "export":
            return Resource(kind, id, f"from {id.rpartition('/')[2]}", "source")
        case "network" | "volume":
            return Resource(kind, id, f"{rest} {kind}".strip(), kind)
        case "api":
            return Resource(kind, id, "API", "API")
        case "kubeconfig":
            file = id.rpartition("/")[2] if "/" in id else ""
            return Resource(kind, id, kind if file in {"", "config"} else f"{kind} {file}", kind)
        case _:
            return Resource(kind, id, kind, kind)


def needs(tasks: Sequence[TaskId], cluster: str | None) -> str:
    """Return what whoever needs these tasks needs: `server-0, server-1 and 3 more to start`."""
    wanted: dict[str, list[str]] = {}
    for task in tasks:
        kind = task.partition(":")[0]
        form = _REACHED.get(kind, "{} to be removed" if kind.startswith("remove-") else "{}")
        wanted.setdefault(form, []).append(resource(task, cluster).name)
    return ", ".join(form.format(_some(names)) for form, names in wanted.items())


def _some(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMES
    if more <= 0:
        return " and ".join(names)
    return f"{', '.join(names[:MOST_NAMES])} and {more} more"


def one_line(text: str) -> str:
    """Return what can be shown of a text, in one line."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())


def readable(text: str, cluster: str | None) -> str:
    """Return a text in one line, with the names in it as short as in the rows."""
    return one_line(text).replace(f"k3d-{cluster}-", "")


def _without_prefix(id: str, cluster: str | None) -> str:
    return "" if id == f"k3d-{cluster}" else id.removeprefix(f"k3d-{cluster}-")
