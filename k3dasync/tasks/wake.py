"""Single nodes of a cluster, started again or stopped."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import anyio

from k3dasync.cluster import Cluster, Node, Role
from k3dasync.graph import Graph, TaskId
from k3dasync.tasks import _ids, _node, halt
from k3dasync.tasks._context import ClusterTask, Context
from k3dasync.tasks.again import Resume, StartWhereItWas
from k3dasync.tasks.elsewhere import waits as waits_elsewhere
from k3dasync.tasks.rebalance import Rebalance
from k3dasync.tasks.server import AwaitApi, AwaitSupervisor
from k3dasync.undo import NOTHING, Undo


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Nodes that are waited for, and the server by which it is known how they are."""

    cluster: Cluster
    nodes: tuple[Node, ...]
    server: str

    @property
    def way(self) -> tuple[str, ...]:
        """The containers without which the API is not reached."""
        balancer = self.cluster.loadbalancer
        return tuple(dict.fromkeys((self.server, *([balancer.name] if balancer else []))))

    def tasks(self, started: Collection[str]) -> Iterator[ClusterTask]:
        """Yield the waits, after the starts of those of the way that are *started* here."""
        cluster = self.cluster
        servers = {node.name for node in cluster.servers} | set(self.way)
        yield AwaitSupervisor(
            api=cluster.api,
            server=self.server,
            involved=self.way,
            needs=frozenset(_ids.start(name) for name in started if name in servers),
        )
        yield AwaitApi(
            api=cluster.api,
            cluster=cluster.name,
            server=self.server,
            involved=self.way,
            needs=frozenset({_ids.supervisor(self.server)}),
        )
        for node in self.nodes:
            yield _node.AwaitReady(
                node=node,
                involved=tuple(dict.fromkeys((node.name, *self.way))),
                needs=frozenset({_ids.start(node.name), _ids.api(cluster.name)}),
                may_be_old=True,
            )


def graph(
    nodes: Sequence[Node],
    *,
    paused: Collection[str],
    addresses: Mapping[str, str],
    waiting: Waiting | None,
    rebalance: Rebalance | None,
    elsewhere: Collection[str] = (),
) -> Graph[ClusterTask]:
    """Return what starts these nodes, and waits for them, if somebody can know of them.

    *addresses*: by which the etcd of servers goes, where the engine chooses them. *elsewhere* are
    those of a cluster that is somewhere else, which are waited for, too.
    """
    started = [node.name for node in nodes]
    waits = waiting.tasks(started) if waiting else ()
    balance: Iterator[ClusterTask] = iter(())
    if waiting and rebalance:
        servers = [node.name for node in waiting.nodes if node.role is Role.SERVER]
        needs = frozenset(_ids.ready(name) for name in servers)
        balance = iter([replace(rebalance, needs=needs)])
    starts = (_start(node, paused, addresses, waiting) for node in nodes)
    return Graph(chain(starts, waits, balance, waits_elsewhere(elsewhere)))


def _start(
    node: Node, paused: Collection[str], addresses: Mapping[str, str], waiting: Waiting | None
) -> ClusterTask:
    nothing = frozenset[TaskId]()
    if node.name in paused:
        return Resume(node=node, needs=nothing)
    if waiting and (address := addresses.get(node.name)):
        network = node.container.network
        return StartWhereItWas(node=node, network=network, address=address, needs=nothing)
    return _node.StartContainer(node=node, needs=nothing)


@dataclass(frozen=True, slots=True, kw_only=True)
class StopNode:
    """Stop a node as a whole cluster's are stopped, but drained if it is a server."""

    stop: halt.Stop

    @property
    def id(self) -> TaskId:
        return self.stop.id

    @property
    def needs(self) -> frozenset[TaskId]:
        return self.stop.needs

    @property
    def does(self) -> str:
        return self.stop.does

    @property
    def undo(self) -> Undo:
        return NOTHING

    async def run(self, context: Context) -> None:
        # Nobody can take back the signal to end: so this is not stopped. The call has a deadline.
        with anyio.CancelScope(shield=True):
            await self.stop.run(context.runtime)


def steps(node: str) -> tuple[TaskId, TaskId]:
    """Return the ids of the tasks that start or stop a node."""
    return _ids.start(node), _ids.stop(node)


def stops(
    nodes: Sequence[Node],
    *,
    is_drained: bool,
    grace: int | None = None,
    rebalance: Rebalance | None,
) -> Graph[ClusterTask]:
    """Return what stops these nodes, after the load balancer has been told, if it is."""
    needs = frozenset({rebalance.id} if rebalance else ())
    stopping = (
        StopNode(stop=halt.Stop(node=node, is_drained=is_drained, grace=grace, needs=needs))
        for node in nodes
    )
    return Graph(chain([rebalance] if rebalance else [], stopping))
