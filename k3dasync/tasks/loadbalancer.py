"""The load balancer: its configuration is complete before its start, so it starts at any time."""

from collections.abc import Iterator
from dataclasses import dataclass

from k3dasync.cluster import Cluster
from k3dasync.graph import TaskId
from k3dasync.resolve import balancer_files
from k3dasync.runtime import File
from k3dasync.spec import WaitLevel
from k3dasync.tasks import _ids, _node
from k3dasync.tasks._context import ClusterTask, Context
from k3dasync.undo import NOTHING, Undo


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceServers:
    """Let new connections go to every server, when every server can answer.

    At levels that do not wait for that, the joining servers only stand by: they accept
    connections long before their API does, and a client must not meet one of those.
    """

    name: str
    files: tuple[File, ...]
    needs: frozenset[TaskId]

    @property
    def id(self) -> TaskId:
        return _ids.balance(self.name)

    @property
    def does(self) -> str:
        return "use every server"

    @property
    def undo(self) -> Undo:
        return NOTHING  # goes with the container

    async def run(self, context: Context) -> None:
        await context.runtime.write_files(self.name, self.files)
        # nginx takes the new configuration without dropping a connection.
        await context.runtime.signal_container(self.name, "SIGHUP")


def tasks(cluster: Cluster) -> Iterator[ClusterTask]:
    """Yield the load balancer's tasks, if there is one.

    On a network without fixed addresses it resolves the servers' common name at each connection
    and there is nothing to switch.
    """
    node = cluster.loadbalancer
    if node is None:
        return
    yield _node.create(cluster, node)
    yield _node.StartContainer(node=node, needs=frozenset({_ids.container(node.name)}))
    if len(cluster.servers) > 1 and cluster.has_fixed_addresses:
        is_waited_for = cluster.wait is WaitLevel.NODES
        reached = _ids.ready if is_waited_for else _ids.start
        yield BalanceServers(
            name=node.name,
            files=balancer_files(cluster, balanced=is_waited_for),
            needs=frozenset(reached(server.name) for server in cluster.servers)
            | {_ids.start(node.name)},
        )
