"""What goes wrong with clusters that are there. Pure.

K3dAsyncError
├── NotHalted        nodes could not be stopped or paused     exit 1
├── NoLoadBalancer   a cluster has none that could be changed exit 1
├── NotEditable      a node is fixed since it was made        exit 1
├── BalancerFailed   a new load balancer does not serve       exit 1
├── RegistryNotFound no registry is called like that          exit 1
├── FolderNotRemoved a folder on the client stays             exit 1
├── NotMade          a volume or network is not ours to remove exit 1
└── SeveralFailed    for several clusters                     1, or what all of them have
"""

from collections.abc import Sequence

from k3dasync.errors import K3dAsyncError


class NotHalted(K3dAsyncError):
    """Nodes could not be stopped or paused."""

    code = "NOT_STOPPED"
    remedy = "The engine's words say why; try again, or `docker kill` what they name."

    def __init__(self, cluster: str, why: Sequence[str]) -> None:
        super().__init__(f"cluster {cluster} is not wholly still: {'; '.join(why)}")


class NoLoadBalancer(K3dAsyncError):
    """A cluster has no load balancer: all that could be changed or shown."""

    code = "NO_LOADBALANCER"
    remedy = "Make the cluster anew, without `--no-lb`."

    def __init__(self, cluster: str) -> None:
        super().__init__(
            f"cluster {cluster} has no load balancer; what nodes publish themselves is fixed when "
            "they are made"
        )


class NotEditable(K3dAsyncError):
    """What is to be changed of a node is fixed since it was made."""

    code = "NOT_EDITABLE"
    remedy = "Change the load balancer's ports instead, or make the node or the cluster anew."

    def __init__(self, node: str, why: str) -> None:
        super().__init__(f"cannot edit node {node}: {why}")


class BalancerFailed(K3dAsyncError):
    """A new load balancer does not serve; the old one is back."""

    code = "BALANCER_FAILED"
    remedy = "The new one's last words, in the error, say why."

    def __init__(self, name: str, why: str, log: Sequence[str] = ()) -> None:
        self.log = tuple(log)
        said = "".join(f"\n    {line}" for line in self.log)
        super().__init__(f"load balancer {name} does not serve: {why}{said}")


class SeveralFailed(K3dAsyncError):
    """Something did not happen for several of what was named."""

    code = "SEVERAL_FAILED"
    remedy = "See the error of each, below this one."


class RegistryNotFound(K3dAsyncError):
    """No container of the engine is a registry of that name."""

    code = "REGISTRY_NOT_FOUND"
    remedy = "`k3dasync registry list` names those that exist."

    def __init__(self, name: str, instead: str = "") -> None:
        but = f": {instead}" if instead else ""
        super().__init__(f"no registry is called {name}{but}; see: k3dasync registry list")


class NotMade(K3dAsyncError):
    """A volume or network was not made by `volume create` or `network create`."""

    code = "NOT_OURS"
    remedy = "Remove it with `docker volume rm`, `docker network rm`, or with its cluster."

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(
            f"cannot remove {kind} {name}: it was not made by k3dasync {kind} create; if you know "
            f"what it is: docker {kind} rm {name}"
        )


class FolderNotRemoved(K3dAsyncError):
    """A folder that k3d has made on the client cannot be removed."""

    code = "FOLDER_NOT_REMOVED"
    remedy = "Look what is in it; k3d's nodes run as root, and may have written there."

    def __init__(self, folder: str, words: str) -> None:
        super().__init__(f"cannot remove folder {folder}: {words}")
