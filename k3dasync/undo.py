"""What takes a task's effect back, as data: plain enough to stand in the log and be read back.

Each value says what to remove and nothing about who made it; the run's label decides that.
"""

from collections.abc import Sequence

import msgspec


class RemoveContainer(msgspec.Struct, frozen=True, tag="container", tag_field="remove"):
    """Remove the container of that name with its anonymous volumes."""

    name: str


class RemoveNetwork(msgspec.Struct, frozen=True, tag="network", tag_field="remove"):
    """Remove every network of that name which carries the run's label."""

    name: str


class RemoveVolume(msgspec.Struct, frozen=True, tag="volume", tag_field="remove"):
    """Remove the volume of that name."""

    name: str


class RemoveKubeconfigEntries(msgspec.Struct, frozen=True, tag="kubeconfig", tag_field="remove"):
    """Remove a cluster's three entries from a kubeconfig, and go back to *previous* context."""

    cluster: str
    path: str
    previous: str | None = None


class DisconnectContainer(msgspec.Struct, frozen=True, tag="connection", tag_field="remove"):
    """Take a container, which is not the run's, out of a network if the run has put it in."""

    container: str
    network: str


class Place(msgspec.Struct, frozen=True):
    """A container's place in a network, by id or name; no address: any."""

    network: str
    address: str | None = None


class RestoreContainer(msgspec.Struct, frozen=True, tag="replacement", tag_field="remove"):
    """Give a container its name and its places back, and remove what was to replace it.

    If there is nothing any more under the name as which it is *kept*, it never lost its own, or
    the replacement is complete: then nothing has to be done.
    """

    name: str
    kept: str
    places: tuple[Place, ...]
    is_running: bool


class ForgetNode(msgspec.Struct, frozen=True, tag="node", tag_field="remove"):
    """Take a node out of a cluster that lives on, container and all.

    Its member of etcd, if it *is a server*, its Node object and its password, by way of the
    *servers* and of the API at *host*, *port*.
    """

    name: str
    servers: tuple[str, ...]
    host: str
    port: int
    is_server: bool = False


class RestoreFile(msgspec.Struct, frozen=True):
    """What a file was before."""

    path: str
    text: str
    mode: int = 0o644


class RestoreFiles(msgspec.Struct, frozen=True, tag="files", tag_field="remove"):
    """Put a load balancer's files back; it takes them up at that *signal*, if one is named."""

    container: str
    files: tuple[RestoreFile, ...]
    signal: str = ""


class Uncordon(msgspec.Struct, frozen=True, tag="cordon", tag_field="remove"):
    """Let a node take pods again that was drained to be deleted, if it is there still.

    Asked of these *servers*. One that somebody else had cordoned before stays so.
    """

    node: str
    servers: tuple[str, ...]


class Readmit(msgspec.Struct, frozen=True, tag="balance", tag_field="remove"):
    """Let a cluster's load balancer forward again to those of the *nodes* which are there still.

    To the ports at which they stood in *values*, its own file as it was, in k3d's format; what
    has been changed there since stays.
    """

    cluster: str
    balancer: str
    nodes: tuple[str, ...]
    values: str


class Nothing(msgspec.Struct, frozen=True, tag="nothing", tag_field="remove"):
    """Nothing to take back: the task leaves no trace of its own."""


Undo = (
    RemoveContainer
    | RemoveNetwork
    | RemoveVolume
    | RemoveKubeconfigEntries
    | DisconnectContainer
    | RestoreContainer
    | ForgetNode
    | RestoreFiles
    | Uncordon
    | Readmit
    | Nothing
)
NOTHING = Nothing()


def describe(undo: Undo) -> str:
    """Return what the undo removes, `container k3d-dev-agent-0`, or an empty text."""
    match undo:
        case RemoveContainer(name):
            return f"container {name}"
        case RemoveNetwork(name):
            return f"network {name}"
        case RemoveVolume(name):
            return f"volume {name}"
        case RemoveKubeconfigEntries(cluster, path):
            return f"entries of {cluster} in {path}"
        case DisconnectContainer(container, network):
            return f"connection of {container} to network {network}"
        case RestoreContainer(name, kept):
            return f"container {kept}, which is to be {name} again"
        case ForgetNode(name):
            return f"node {name} in its cluster"
        case RestoreFiles(container):
            return f"the new configuration of {container}"
        case Uncordon(node):
            return f"cordon of node {node}"
        case Readmit(_, balancer, nodes):
            return f"what {balancer} no longer forwards to {', '.join(nodes)}"
        case Nothing():
            return ""


def leftovers(undos: Sequence[Undo]) -> tuple[str, ...]:
    """Return what is still there if none of *undos* is applied."""
    return tuple(text for undo in undos if (text := describe(undo)))
