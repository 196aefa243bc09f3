"""What a cluster is made of: the table of contents of a create."""

from itertools import chain

from k3dasync.cluster import Cluster
from k3dasync.graph import Graph
from k3dasync.kubeconfig import Target
from k3dasync.tasks import (
    agent,
    image,
    kubeconfig,
    loadbalancer,
    network,
    quorum,
    registry,
    server,
    system,
    volume,
)
from k3dasync.tasks._context import SILENT, ClusterTask, Context, TaskReport

__all__ = ["SILENT", "ClusterTask", "Context", "TaskReport", "plan"]


def plan(cluster: Cluster, target: Target | None) -> Graph[ClusterTask]:
    """Return everything a new cluster needs, each task with what it waits for."""
    return Graph(
        chain(
            image.tasks(cluster),
            network.tasks(cluster),
            volume.tasks(cluster),
            server.tasks(cluster),
            loadbalancer.tasks(cluster),
            agent.tasks(cluster),
            registry.tasks(cluster),
            quorum.tasks(cluster),
            system.tasks(cluster),
            kubeconfig.tasks(cluster, target),
        )
    )
