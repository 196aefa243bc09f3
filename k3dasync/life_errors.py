"""What goes wrong with clusters that are there. Pure.

K3dAsyncError
├── NotHalted        nodes could not be stopped or paused     exit 1
├── NoLoadBalancer   a cluster has none that could be changed exit 1
├── NotEditable      a node is fixed since it was made        exit 1
├── BalancerFailed   a new load balancer does not serve       exit 1
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
    """Something did not happen for several of the clusters that were named."""

    code = "SEVERAL_FAILED"
    remedy = "See the error of each, below this one."
