"""The agents: started when they can make progress, which is when the supervisor answers."""

from collections.abc import Iterator

from k3dasync.cluster import Cluster
from k3dasync.tasks import _ids, _node
from k3dasync.tasks._context import ClusterTask


def tasks(cluster: Cluster) -> Iterator[ClusterTask]:
    """Yield the agents' tasks.

    An agent that starts earlier would only retry, and take the init server's CPU on a small
    machine while doing so.
    """
    supervisor = _ids.supervisor(cluster.servers[0].name)
    for node in cluster.agents:
        yield _node.create(cluster, node)
    for node in cluster.agents:
        needs = frozenset({_ids.container(node.name), supervisor})
        yield _node.StartContainer(node=node, needs=needs)
    for node in cluster.agents:
        yield from _node.ready(cluster, node)
