"""A cluster that is there, started again: all its nodes at once, whatever became of each."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from itertools import chain

from k3dasync.cluster import Cluster, Node
from k3dasync.graph import Graph, TaskId
from k3dasync.node_errors import NodeMoved
from k3dasync.runtime import Status
from k3dasync.spec import WaitLevel
from k3dasync.tasks import _ids, _node, elsewhere, loadbalancer, quorum, system
from k3dasync.tasks._context import ClusterTask, Context
from k3dasync.tasks.server import AwaitApi, AwaitSupervisor
from k3dasync.undo import NOTHING, Undo


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """Let a paused container go on."""

    node: Node
    needs: frozenset[TaskId] = frozenset()

    @property
    def id(self) -> TaskId:
        return _ids.start(self.node.name)

    @property
    def does(self) -> str:
        return "resume"

    @property
    def undo(self) -> Undo:
        return NOTHING

    async def run(self, context: Context) -> None:
        await context.runtime.unpause_container(self.node.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class StartWhereItWas:
    """Start a server that must get its old *address* from the engine again: its etcd goes by that.

    Two that had swapped theirs would never come up, and write that to their disks. The engine gives
    the lowest address that is free: where there are gaps, for want of a server that was deleted,
    say, *fillers* are started first, whose own addresses are of no account.
    """

    node: Node
    network: str
    address: str
    fillers: tuple[Node, ...] = ()
    needs: frozenset[TaskId]

    @property
    def id(self) -> TaskId:
        return _ids.start(self.node.name)

    @property
    def does(self) -> str:
        return f"start, at {self.address}"

    @property
    def undo(self) -> Undo:
        return NOTHING

    async def run(self, context: Context) -> None:
        fillers = iter(self.fillers)
        while given := await self._wrong_address(context):
            context.watch.expect_stop(self.node.name)
            await context.runtime.stop_container(self.node.name, grace=0)
            is_gap = IPv4Address(given) < IPv4Address(self.address)
            filler = await _not_running(fillers, context) if is_gap else None
            if filler is None:
                raise NodeMoved(self.node.name, self.address, given, is_gap=is_gap)
            context.report.progress(f"{filler.name} is started first, and takes {given}")
            await _start_now(filler, context)

    async def _wrong_address(self, context: Context) -> str:
        """Start it and return the address that it was given, empty if that is its own."""
        await _start_now(self.node, context)
        found = (await context.runtime.inspect_container(self.node.name)).state.addresses
        given = found.get(self.network, "")
        return "" if given == self.address else given


async def _start_now(node: Node, context: Context) -> None:
    await _node.StartContainer(node=node, needs=frozenset()).run(context)


async def _not_running(nodes: Iterator[Node], context: Context) -> Node | None:
    """Return the next of these nodes that does not run, and so has no address."""
    for node in nodes:
        found = await context.runtime.inspect_container(node.name)
        if found.state.status is not Status.RUNNING:
            return node
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class StandBy:
    """Before the load balancer starts: let only the first server get connections."""

    name: str
    cluster: Cluster
    needs: frozenset[TaskId] = frozenset()

    @property
    def id(self) -> TaskId:
        return _ids.standby(self.name)

    @property
    def does(self) -> str:
        return "let every server but the first stand by"

    @property
    def undo(self) -> Undo:
        return NOTHING

    async def run(self, context: Context) -> None:
        first = self.cluster.servers[0].name
        await loadbalancer.aim(context, self.name, self.cluster, (first,))


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """How the containers of a cluster were found.

    `addresses` are those that the etcd of each server goes by, where the engine chose them; then
    servers start in that order, which gives each its own again. `balancer_is_ours`: k3d's own
    needs names that resolve when it starts.
    """

    paused: Collection[str]
    running: Collection[str]
    addresses: Mapping[str, str]
    balancer_is_ours: bool


def plan(cluster: Cluster, found: Found) -> Graph[ClusterTask]:
    """Return what brings all nodes up again, each task with what it waits for."""
    if not cluster.servers:
        starts = (_start(node, found, frozenset()) for node in cluster.nodes)
        is_asked = cluster.is_elsewhere and cluster.wait is not WaitLevel.NONE
        asked = [node.name for node in cluster.agents] if is_asked else []
        return Graph(chain(starts, elsewhere.waits(asked)))
    return Graph(
        chain(
            _servers(cluster, found),
            _balancer(cluster, found),
            _others(cluster, found),
            _waits(cluster),
            quorum.tasks(cluster),
            system.tasks(cluster),
        )
    )


def _servers(cluster: Cluster, found: Found) -> Iterator[ClusterTask]:
    """Yield their starts: at once, or where that decides about their addresses, in the old order.

    No server has to join: each is a member, and none gets far before most of them run.
    """
    ordered = cluster.servers
    if found.addresses:
        ordered = tuple(sorted(ordered, key=lambda node: _number(found.addresses, node)))
    previous: frozenset[TaskId] = frozenset()
    for node in ordered:
        address = found.addresses.get(node.name)
        if address and node.name not in found.paused:
            yield StartWhereItWas(
                node=node,
                network=cluster.network_name,
                address=address,
                fillers=cluster.agents,
                needs=previous,
            )
        else:
            yield _start(node, found, previous)
        if found.addresses:
            previous = frozenset({_ids.start(node.name)})


def _number(addresses: Mapping[str, str], node: Node) -> int:
    return int(IPv4Address(addresses.get(node.name, "255.255.255.255")))


def _started(cluster: Cluster) -> frozenset[TaskId]:
    return frozenset(_ids.start(node.name) for node in cluster.servers)


def _start(node: Node, found: Found, needs: frozenset[TaskId]) -> ClusterTask:
    if node.name in found.paused:
        return Resume(node=node, needs=needs)
    return _node.StartContainer(node=node, needs=needs)


def _balancer(cluster: Cluster, found: Found) -> Iterator[ClusterTask]:
    node = cluster.loadbalancer
    if node is None:
        return
    needs = frozenset[TaskId]() if cluster.has_fixed_addresses else _started(cluster)
    if not found.balancer_is_ours:
        needs = _started(cluster) | frozenset(map(_ids.start, _named_agents(cluster, found)))
    is_aimed = (
        found.balancer_is_ours and len(cluster.servers) > 1 and cluster.wait is not WaitLevel.NONE
    )
    if is_aimed and node.name not in found.running:
        yield StandBy(name=node.name, cluster=cluster)
        needs |= {_ids.standby(node.name)}
    yield _start(node, found, needs)
    if is_aimed:
        yield loadbalancer.balance(cluster, node)


def _others(cluster: Cluster, found: Found) -> Iterator[ClusterTask]:
    """Yield agents, when they can make progress, and a registry, when it takes nobody's address."""
    supervisor = frozenset({_ids.supervisor(cluster.servers[0].name)})
    named = _named_agents(cluster, found)
    for node in cluster.agents:
        yield _start(node, found, _started(cluster) if node.name in named else supervisor)
    if (registry := cluster.registry) is not None:
        yield _start(
            registry, found, frozenset() if cluster.has_fixed_addresses else _started(cluster)
        )


def _named_agents(cluster: Cluster, found: Found) -> frozenset[str]:
    """Return the agents whose names must resolve when k3d's own load balancer starts.

    It exits if one does not, and the supervisor, for which agents wait, is behind it.
    """
    if found.balancer_is_ours or cluster.loadbalancer is None:
        return frozenset()
    named = {name for port in cluster.proxied for name in port.nodes}
    return frozenset(named & {node.name for node in cluster.agents})


def _waits(cluster: Cluster) -> Iterator[ClusterTask]:
    first, involved = cluster.servers[0], _node.way_to_api(cluster)
    published = cluster.loadbalancer or first
    yield AwaitSupervisor(
        api=cluster.api,
        server=first.name,
        involved=involved,
        needs=_started(cluster) | {_ids.start(published.name)},
    )
    if cluster.wait is not WaitLevel.NONE:
        yield AwaitApi(
            api=cluster.api,
            cluster=cluster.name,
            server=first.name,
            involved=involved,
            needs=frozenset({_ids.supervisor(first.name)}),
        )
    for node in (*cluster.servers, *cluster.agents):
        yield from _node.ready(cluster, node)
