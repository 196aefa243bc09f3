"""What goes wrong with single nodes of a cluster that is there. Pure.

K3dAsyncError
├── NodeNeeded       the cluster would not live on without it     exit 1
├── CannotGrow       the cluster takes no such node               exit 1
├── NothingToAsk     none of the cluster's servers runs           exit 1
├── NodeElsewhere    a node without a container here is Ready     exit 1
└── BalancerStale    the load balancer does not take its new file exit 1
"""

from collections.abc import Sequence

from k3dasync.errors import K3dAsyncError


class NodeNeeded(K3dAsyncError):
    """A server cannot go: it is the last one, or etcd would lose its quorum."""

    code = "NODE_NEEDED"
    remedy = "Start the other servers, delete the whole cluster, or pass `--force`."

    def __init__(self, nodes: Sequence[str], why: str, what_to_do: str) -> None:
        super().__init__(f"cannot delete {', '.join(nodes)}: {why}; {what_to_do}")


class CannotGrow(K3dAsyncError):
    """A cluster takes no further node: SQLite has one server, the host's network one node."""

    code = "CANNOT_GROW"
    remedy = "Create a new cluster with as many nodes as it is to have."

    def __init__(self, cluster: str, role: str, why: str) -> None:
        super().__init__(f"cannot add {role} nodes to cluster {cluster}: {why}")


class NothingToAsk(K3dAsyncError):
    """None of a cluster's servers runs, so it can neither take nor forget a node."""

    code = "CLUSTER_NOT_RUNNING"
    remedy = "Start the cluster first; `node delete --force` removes only the container."

    def __init__(self, cluster: str, operation: str) -> None:
        super().__init__(
            f"cannot {operation}: no server of cluster {cluster} runs; start it first: "
            f"k3dasync start {cluster}"
        )


class NodeElsewhere(K3dAsyncError):
    """A node that has no container on this engine is Ready: it may be at work on another one."""

    code = "NODE_ELSEWHERE"
    remedy = "Delete it where it runs; if it has gone, wait until its cluster has noticed."

    def __init__(self, node: str, cluster: str) -> None:
        super().__init__(
            f"cannot delete {node}: it has no container on this engine, and cluster {cluster} says "
            "that it is Ready; delete it where it runs; if it has gone, say so again when the "
            f"cluster has noticed, or: k3dasync kubectl {cluster} -- delete node {node}"
        )


class BalancerStale(K3dAsyncError):
    """A load balancer of k3d's image has not taken its new configuration."""

    code = "LB_NOT_UPDATED"
    remedy = "Look at its log; one of its ports may lead to a name that it cannot resolve."

    def __init__(self, name: str, seconds: float) -> None:
        super().__init__(
            f"load balancer {name} has not taken its new configuration within {seconds:g} s; "
            f"see why: docker logs {name}"
        )
