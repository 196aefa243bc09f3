"""Deleting single nodes: out of the engine, and out of the clusters that live on without them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from k3dasync.backend import Backend
from k3dasync.cluster import APP, LABEL_ROLE, Cluster, Node, Role
from k3dasync.errors import ClusterNotFound, K3dAsyncError, RollbackIncomplete
from k3dasync.events import EventSink
from k3dasync.graph import Graph
from k3dasync.journal import cluster_lock
from k3dasync.member_errors import NodeNeeded, NothingToAsk
from k3dasync.operations._acting import acting
from k3dasync.operations._members import (
    Members,
    about,
    members_of,
    place_of_node,
    quiet_context,
)
from k3dasync.operations._one_way import OneWay
from k3dasync.operations._recover import recover
from k3dasync.operations._run import Run, Stop, new_run_id
from k3dasync.operations._several import each, merged
from k3dasync.quorum import why_not
from k3dasync.runtime import ContainerState, EngineFacts
from k3dasync.scheduler import Report
from k3dasync.tasks import ClusterTask, leave
from k3dasync.tasks.leave import Drain, Forget, LeaveEtcd, RemoveNode, Stayers
from k3dasync.tasks.rebalance import Rebalance, without

_IN_KUBERNETES = frozenset({Role.SERVER, Role.AGENT})


@dataclass(frozen=True, slots=True, kw_only=True)
class NodesDeleted:
    """What became of the names that were asked for."""

    deleted: tuple[str, ...]
    absent: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """Nodes of one cluster that are to go: its name, or the place of a registry of none.

    *forced*: although the cluster may not live on. *whole*: all of them go, everywhere.
    """

    cluster: str
    names: tuple[str, ...]
    forced: bool = False
    whole: bool = False
    operation: str = "node-delete"


async def delete_nodes(
    names: Sequence[str],
    *,
    forced: bool = False,
    backend: Backend,
    sinks: Sequence[EventSink] = (),
    stop: Stop | None = None,
) -> NodesDeleted:
    """Delete these nodes, ours or k3d's; several at a time. `k3d-` may be left out.

    A server or an agent is drained, taken out of etcd and of the load balancer, removed, and
    forgotten by its cluster, so that another one may have its name.

    Raises NodeNeeded or NothingToAsk before anything is touched of a cluster that would not live
    on, unless *forced*; RollbackIncomplete if something is left.
    """
    there = {one.name: one for one in await backend.runtime.containers(APP)}
    found = {name: there.get(name) or there.get(f"k3d-{name}") for name in names}
    chosen = tuple({one.name: one for one in found.values() if one is not None}.values())
    absent = tuple(name for name, one in found.items() if one is None)
    deleted = await _delete(chosen, backend, sinks, stop, forced=forced)
    return NodesDeleted(deleted=deleted, absent=absent)


async def delete_all_nodes(
    *,
    registries: bool,
    backend: Backend,
    sinks: Sequence[EventSink] = (),
    stop: Stop | None = None,
) -> NodesDeleted:
    """Delete the nodes of all clusters, and *registries* too; no cluster is left to be told.

    Networks and volumes stay, as with k3d. Raises RollbackIncomplete if something is left.
    """
    roles = {Role.SERVER, Role.AGENT, Role.LOADBALANCER, *([Role.REGISTRY] if registries else [])}
    there = await backend.runtime.containers(APP)
    chosen = [one for one in there if one.labels.get(LABEL_ROLE) in roles]
    return NodesDeleted(deleted=await _delete(chosen, backend, sinks, stop, whole=True))


async def _delete(
    chosen: Sequence[ContainerState],
    backend: Backend,
    sinks: Sequence[EventSink],
    stop: Stop | None,
    *,
    forced: bool = False,
    whole: bool = False,
) -> tuple[str, ...]:
    facts = await backend.runtime.facts()
    groups: dict[str, list[str]] = {}
    for one in chosen:
        groups.setdefault(place_of_node(one), []).append(one.name)

    async def delete_some(cluster: str) -> bool:
        leaving = Leaving(cluster=cluster, names=tuple(groups[cluster]), forced=forced, whole=whole)
        with cluster_lock(cluster, facts.id):
            if not whole:
                await recover(cluster, backend=backend, facts=facts, also_kept=False)
            await delete_locked(leaving, backend=backend, facts=facts, sinks=sinks)
        return True

    ends = await each(tuple(groups), delete_some, stop=stop or Stop(), undone="not deleted")
    if ends.failures:
        raise merged(ends.failures)
    return tuple(sorted(one.name for one in chosen))


async def delete_locked(
    leaving: Leaving, *, backend: Backend, facts: EngineFacts, sinks: Sequence[EventSink]
) -> None:
    """Delete nodes of a cluster whose lock is held.

    Raises NodeNeeded or NothingToAsk before anything is touched.
    """
    run_id = new_run_id()
    members = await _members(leaving, backend, run_id)
    plan = _decide(leaving, members)
    run = Run(
        id=run_id,
        operation=leaving.operation,
        **about(leaving.cluster),
        facts=facts,
        k3s=members.k3s if members else "",
        sinks=sinks,
        is_rehearsal=backend.is_rehearsal,
    )
    try:
        await _walk(run, plan, leaving, members, backend)
    finally:
        run.close()


async def _members(leaving: Leaving, backend: Backend, run: str) -> Members | None:
    """Return the cluster that lives on; None if there is none that could be told."""
    if leaving.whole:
        return None
    try:
        members = await members_of(backend.runtime, leaving.cluster, run=run)
    except ClusterNotFound:
        return None  # nothing but a registry of it is left
    return members if members.cluster.servers else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    graph: Graph[ClusterTask]
    told: tuple[str, ...] = ()


def _decide(leaving: Leaving, members: Members | None) -> _Plan:
    """Return what is done, and what is told; raises NodeNeeded or NothingToAsk if it must not."""
    if members is None:
        return _Plan(
            graph=Graph(RemoveNode(node=name) for name in leaving.names),
            told=tuple(_elsewhere(leaving)),
        )
    cluster = members.cluster
    nodes = [node for node in cluster.nodes if node.name in leaving.names]
    known = {node.name for node in nodes}
    others = [RemoveNode(node=name) for name in leaving.names if name not in known]
    stayers, told = _stayers(leaving, nodes, members)
    after = without(cluster, leaving.names)
    rebalance = _rebalance(members, after, nodes, stayers)
    told += _lost_ports(cluster, after)
    running = {node.name for node in nodes if stayers and members.runs(node.name)}
    tasks = leave.tasks(
        _in_order(nodes, members),
        stayers=stayers,
        running=running,
        balanced=rebalance.id if rebalance else None,
        has_etcd=members.has_etcd,
    )
    changes = [rebalance] if rebalance else []
    return _Plan(graph=Graph([*changes, *tasks, *others]), told=tuple(told))


def _elsewhere(leaving: Leaving) -> Iterator[str]:
    if "://" in leaving.cluster:
        names = " ".join(leaving.names)
        yield f"the cluster at {leaving.cluster} is not told; there: kubectl delete node {names}"


def _in_order(nodes: Sequence[Node], members: Members) -> list[Node]:
    """Return the dead first: while they are members, fewer of the others may be missed."""
    return sorted(nodes, key=lambda node: members.runs(node.name))


def _stayers(
    leaving: Leaving, nodes: Sequence[Node], members: Members
) -> tuple[Stayers | None, list[str]]:
    """Return who can be asked, None if nobody, and what is told of it."""
    cluster = members.cluster
    concerned = [node for node in nodes if node.role in _IN_KUBERNETES]
    if not concerned:
        return members.stayers(leaving.names), []
    servers = [node.name for node in concerned if node.role is Role.SERVER]
    refusal: K3dAsyncError | None = None
    stayers = members.stayers(leaving.names)
    if servers and len(servers) == len(cluster.servers):
        refusal = NodeNeeded(
            servers,
            f"no server of cluster {cluster.name} would be left",
            f"delete all of it with: k3dasync delete {cluster.name}; or pass --force",
        )
    elif stayers is None:
        refusal = NothingToAsk(cluster.name, f"delete {', '.join(node.name for node in concerned)}")
    elif servers and members.has_etcd:
        why = why_not([node.name for node in cluster.servers], members.running_servers(), servers)
        if why:
            start = f"k3dasync start {cluster.name}"
            refusal = NodeNeeded(servers, why, f"start the others first: {start}; or pass --force")
    if refusal is None:
        return stayers, []
    if not leaving.forced:
        raise refusal
    return None, [f"forced: the cluster is not told, and may not live on ({refusal})"]


def _rebalance(
    members: Members, after: Cluster, nodes: Sequence[Node], stayers: Stayers | None
) -> Rebalance | None:
    has_servers = any(node.role is Role.SERVER for node in nodes)
    if stayers is None or not (has_servers or after.proxied != members.cluster.proxied):
        return None
    found = members.rebalance(after, stayers.servers)
    if found is None:
        return None
    # What still runs there may use its ports until it has ended.
    running = [one for one in nodes if one.role in _IN_KUBERNETES and members.runs(one.name)]
    return replace(found, needs=frozenset(leave.drained(one.name) for one in running))


def _lost_ports(before: Cluster, after: Cluster) -> list[str]:
    kept = {port.key for port in after.proxied}
    return [
        f"port {port.key} of the load balancer leads nowhere any more: it led only to "
        f"{', '.join(port.nodes)}"
        for port in before.proxied
        if port.key not in kept
    ]


async def _walk(
    run: Run, plan: _Plan, leaving: Leaving, members: Members | None, backend: Backend
) -> None:
    context = quiet_context(members.cluster if members else None, backend)

    def judge(report: Report) -> K3dAsyncError | None:
        undone = [plan.graph[id] for id in (*report.failed, *report.skipped)]
        left = list(filter(None, map(_left, undone)))
        if not left:
            return None
        incomplete = RollbackIncomplete(left, _to_finish(undone, leaving, members))
        for id, error in report.failed.items():
            incomplete.add_note(f"{id}: {error}")
        incomplete.__cause__ = next(iter(report.failed.values()))
        return incomplete

    await OneWay(
        graph=plan.graph,
        act=acting(context),
        keep_going=True,
        judge=judge,
        left=_left,
        told=plan.told,
    ).perform(run)


def _left(task: ClusterTask) -> str:
    """Return what is there still without a task, for people."""
    match task:
        case RemoveNode(node=node):
            return f"container {node}"
        case Drain(node=node):
            return f"pods of {node}"
        case LeaveEtcd(node=node):
            return f"member of {node} in etcd"
        case Forget(node=node):
            return f"Node object of {node}"
        case Rebalance(name=name):
            return f"what {name} forwards to nodes that go"
        case _:
            return ""


def _to_finish(undone: Sequence[ClusterTask], leaving: Leaving, members: Members | None) -> str:
    """Return the command that does the rest."""
    names = [task.node for task in undone if isinstance(task, Forget)]
    if members is not None and all(isinstance(task, Forget) for task in undone):
        return f"kubectl --context {members.cluster.context} delete node {' '.join(names)}"
    return f"k3dasync node delete {' '.join(leaving.names)}"
