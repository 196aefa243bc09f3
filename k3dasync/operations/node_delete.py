"""Deleting single nodes: out of the engine, and out of the clusters that live on without them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from k3dasync.backend import Backend
from k3dasync.cluster import APP, LABEL_ROLE, Cluster, Node, Role
from k3dasync.errors import ClusterNotFound, K3dAsyncError, RollbackIncomplete
from k3dasync.events import EventSink
from k3dasync.grammar.names import called, spellings
from k3dasync.graph import Graph
from k3dasync.journal import cluster_lock
from k3dasync.member_errors import NodeNeeded, NothingToAsk
from k3dasync.operations._acting import acting
from k3dasync.operations._departure import Departure, Fate, departure, to_finish, told
from k3dasync.operations._half_deleted import half_deleted
from k3dasync.operations._members import (
    Members,
    about,
    members_of,
    not_told,
    place_of_node,
    quiet_context,
    readmission,
)
from k3dasync.operations._one_way import OneWay, first_failure
from k3dasync.operations._recover import recover
from k3dasync.operations._run import Run, Stop, new_run_id
from k3dasync.operations._several import each, merged
from k3dasync.quorum import why_not
from k3dasync.runtime import ContainerState, EngineFacts
from k3dasync.scheduler import Report
from k3dasync.tasks import ClusterTask, leave
from k3dasync.tasks.leave import Forget, LeaveEtcd, RemoveNode, Stayers
from k3dasync.tasks.rebalance import Rebalance, without
from k3dasync.undo import NOTHING, Undo

_IN_KUBERNETES = frozenset({Role.SERVER, Role.AGENT})
_NOBODY: Mapping[str, Sequence[str]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodesDeleted:
    """What became of the names that were asked for."""

    deleted: tuple[str, ...]
    absent: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """Nodes of one cluster that are to go: its name, or the place of a registry of none.

    Of those *gone* only their cluster still knows. *forced*: although the cluster may not live on.
    *whole*: all of them go, everywhere.
    """

    cluster: str
    names: tuple[str, ...]
    gone: tuple[str, ...] = ()
    forced: bool = False
    whole: bool = False
    operation: str = "node-delete"

    @property
    def all(self) -> tuple[str, ...]:
        """Their names."""
        return (*self.names, *self.gone)


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
    forgotten by its cluster, so that another one may have its name. What an earlier run has begun
    is finished. A node that was not removed when this raises works as before.

    Raises NodeNeeded, NothingToAsk or NodeElsewhere before anything is touched of a cluster that
    would not live on, unless *forced*; RollbackIncomplete if something is left; TaskFailed if a
    node could not be deleted and stays.
    """
    there = {one.name: one for one in await backend.runtime.containers(APP)}
    found = {name: called(there, name) for name in names}
    chosen = tuple({one.name: one for one in found.values() if one is not None}.values())
    unseen = [name for name, one in found.items() if one is None]
    gone = await half_deleted(unseen, backend)
    deleted = await _delete(chosen, backend, sinks, stop, forced=forced, gone=gone)
    absent = tuple(name for name in unseen if not {*spellings(name)} & {*deleted})
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
    gone: Mapping[str, Sequence[str]] = _NOBODY,
) -> tuple[str, ...]:
    facts = await backend.runtime.facts()
    groups: dict[str, list[str]] = {}
    for one in chosen:
        groups.setdefault(place_of_node(one), []).append(one.name)
    places = tuple(dict.fromkeys((*groups, *gone)))
    names = sorted({one for some in (*groups.values(), *gone.values()) for one in some})
    departures: list[Departure] = []

    async def delete_some(cluster: str) -> bool:
        leaving = Leaving(
            cluster=cluster,
            names=tuple(groups.get(cluster, ())),
            gone=tuple(gone.get(cluster, ())),
            forced=forced,
            whole=whole,
        )
        with cluster_lock(cluster, facts.id):
            if not whole:
                await recover(cluster, backend=backend, facts=facts, also_kept=False)
            await delete_locked(leaving, departures, backend=backend, facts=facts, sinks=sinks)
        return True

    def what_became() -> str:
        return told(departures, names)

    ends = await each(places, delete_some, stop=stop or Stop(), undone=what_became)
    if ends.failures:
        raise merged(ends.failures)
    return tuple(names)


async def delete_locked(
    leaving: Leaving,
    departures: list[Departure],
    *,
    backend: Backend,
    facts: EngineFacts,
    sinks: Sequence[EventSink],
) -> None:
    """Delete nodes of a cluster whose lock is held, and add to *departures* what became of them.

    Raises NodeNeeded or NothingToAsk before anything is touched.
    """
    run_id = new_run_id()
    members = await _members(leaving, backend, run_id)
    undo: Undo = NOTHING
    if members is not None:
        undo = await readmission(members.cluster, leaving.names, backend.runtime)
    plan = _decide(leaving, members, undo)
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
        departures.append(departure(leaving.cluster, leaving.all, run))
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


def _decide(leaving: Leaving, members: Members | None, undo: Undo) -> _Plan:
    """Return what is done, and what is told; raises NodeNeeded or NothingToAsk if it must not."""
    if members is None:
        return _Plan(
            graph=Graph(RemoveNode(node=name) for name in leaving.names),
            told=tuple(not_told(leaving.cluster, leaving.names)),
        )
    cluster = members.cluster
    nodes = [node for node in cluster.nodes if node.name in leaving.names]
    known = {node.name for node in nodes}
    others = [RemoveNode(node=name) for name in leaving.names if name not in known]
    stayers, told = _stayers(leaving, nodes, members)
    after = without(cluster, leaving.all)
    rebalance = _rebalance(members, after, nodes, stayers, is_cleared=bool(leaving.gone))
    told += _lost_ports(cluster, after)
    running = {node.name for node in nodes if stayers and members.runs(node.name)}
    tasks = leave.tasks(
        _in_order(nodes, members),
        stayers=stayers,
        running=running,
        balanced=rebalance.id if rebalance else None,
        has_etcd=members.has_etcd,
        gone=leaving.gone,
    )
    changes = [replace(rebalance, undo=undo)] if rebalance else []
    return _Plan(graph=Graph([*changes, *tasks, *others]), told=tuple(told))


def _in_order(nodes: Sequence[Node], members: Members) -> list[Node]:
    """Return the dead first: while they are members, fewer of the others may be missed."""
    return sorted(nodes, key=lambda node: members.runs(node.name))


def _stayers(
    leaving: Leaving, nodes: Sequence[Node], members: Members
) -> tuple[Stayers | None, list[str]]:
    """Return who can be asked, None if nobody, and what is told of it."""
    cluster = members.cluster
    concerned = [node for node in nodes if node.role in _IN_KUBERNETES]
    if not (concerned or leaving.gone):
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
        names = [*(node.name for node in concerned), *leaving.gone]
        refusal = NothingToAsk(cluster.name, f"delete {', '.join(names)}")
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
    members: Members,
    after: Cluster,
    nodes: Sequence[Node],
    stayers: Stayers | None,
    *,
    is_cleared: bool,
) -> Rebalance | None:
    """Return what lets the load balancer forward nothing to those who go, None if it does not.

    It *is cleared* in any case of nodes whose role nobody knows any more.
    """
    is_told = is_cleared or any(node.role is Role.SERVER for node in nodes)
    if stayers is None or not (is_told or after.proxied != members.cluster.proxied):
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

    def found() -> Departure:
        return departure(leaving.cluster, leaving.all, run)

    def left(task: ClusterTask) -> str:
        name = task.node if isinstance(task, RemoveNode | LeaveEtcd | Forget) else ""
        return _left(task) if name in found().of(Fate.HALF) else ""

    def judge(report: Report) -> K3dAsyncError | None:
        undone = [plan.graph[id] for id in (*report.failed, *report.skipped)]
        return _judged(report, found(), list(filter(None, map(left, undone))))

    await OneWay(
        graph=plan.graph,
        act=acting(context),
        keep_going=True,
        judge=judge,
        left=left,
        told=plan.told,
        backend=backend,
    ).perform(run)


def _judged(report: Report, found: Departure, left: Sequence[str]) -> K3dAsyncError | None:
    """Return the error of nodes that are half deleted, or could not be deleted at all."""
    failure = first_failure(report)
    if failure is None:
        return None
    if half := found.of(Fate.HALF):
        incomplete = RollbackIncomplete(left, to_finish(half))
        for id, error in report.failed.items():
            incomplete.add_note(f"{id}: {error}")
        incomplete.__cause__ = failure.__cause__
        failure = incomplete
    if stays := found.of(Fate.STAYS):
        failure.add_note(f"not deleted: {', '.join(stays)}")
    return failure


def _left(task: ClusterTask) -> str:
    """Return what is there still without a task, for people."""
    match task:
        case RemoveNode(node=node):
            return f"container {node}"
        case LeaveEtcd(node=node):
            return f"member of {node} in etcd"
        case Forget(node=node):
            return f"Node object of {node}"
        case _:
            return ""
