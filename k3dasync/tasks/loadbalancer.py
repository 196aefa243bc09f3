"""The load balancer: its configuration is complete before its start, so it starts at any time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from k3dasync.cluster import Cluster, Node
from k3dasync.graph import TaskId
from k3dasync.resolve import balancer_files
from k3dasync.spec import WaitLevel
from k3dasync.tasks import _ids, _node
from k3dasync.tasks._context import ClusterTask, Context
from k3dasync.tasks._node import known_nodes
from k3dasync.tasks.quorum import ready_servers
from k3dasync.undo import NOTHING, Undo


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceServers:
    """Let new connections go to every server that is known to answer; the others stand by.

    Joining servers accept connections long before their API does, and a client must not meet one
    of those.
    """

    name: str
    cluster: Cluster
    needs: frozenset[TaskId]

    @property
    def id(self) -> TaskId:
        return _ids.balance(self.name)

    @property
    def does(self) -> str:
        if self.cluster.wait is WaitLevel.QUORUM:
            return "use every server that is Ready"
        if self.cluster.wait.waits_for_every_node:
            return "use every server"
        return "let every server but the first stand by"

    @property
    def undo(self) -> Undo:
        return NOTHING  # goes with the container

    async def run(self, context: Context) -> None:
        await aim(context, self.name, self.cluster, await self._answering(context))
        # nginx takes the new configuration without dropping a connection.
        await context.runtime.signal_container(self.name, "SIGHUP")

    async def _answering(self, context: Context) -> tuple[str, ...]:
        servers = tuple(server.name for server in self.cluster.servers)
        if self.cluster.wait.waits_for_every_node:
            return servers
        if self.cluster.wait is WaitLevel.QUORUM:
            # One of them at least, whatever has happened since there was a quorum.
            is_old = self.cluster.may_have_known_nodes
            known = await known_nodes(context, servers, may_be_old=is_old)
            return ready_servers(context.watch, known, servers) or servers[:1]
        return servers[:1]


async def aim(context: Context, name: str, cluster: Cluster, answering: Sequence[str]) -> None:
    """Write the configuration for when these servers are answering; it is not loaded by that."""
    await context.runtime.write_files(name, balancer_files(cluster, answering))


def tasks(cluster: Cluster) -> Iterator[ClusterTask]:
    """Yield the load balancer's tasks, if there is one."""
    node = cluster.loadbalancer
    if node is None:
        return
    yield _node.create(cluster, node)
    yield _node.StartContainer(node=node, needs=frozenset({_ids.container(node.name)}))
    if len(cluster.servers) > 1:
        yield balance(cluster, node)


def balance(cluster: Cluster, node: Node) -> BalanceServers:
    """Return the task that lets the servers in, when it is known which of them answer."""
    return BalanceServers(
        name=node.name,
        cluster=cluster,
        needs=frozenset({*_known_by(cluster), _ids.start(node.name)}),
    )


def _known_by(cluster: Cluster) -> Iterator[TaskId]:
    """Yield the tasks after which it is known which servers answer."""
    if cluster.wait is WaitLevel.QUORUM:
        yield _ids.quorum(cluster.name)
        return
    reached = _ids.ready if cluster.wait.waits_for_every_node else _ids.start
    for server in cluster.servers:
        yield reached(server.name)
