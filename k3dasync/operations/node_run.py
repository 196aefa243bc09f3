"""Starting and stopping single nodes."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from k3dasync.backend import Backend
from k3dasync.cluster import Node, Role
from k3dasync.errors import ClusterNotFound, K3dAsyncError
from k3dasync.events import EventSink, TaskDone
from k3dasync.graph import Graph
from k3dasync.journal import cluster_lock
from k3dasync.life_errors import NotHalted
from k3dasync.operations._acting import acting
from k3dasync.operations._inspect import inspect_present
from k3dasync.operations._members import (
    Members,
    about,
    members_of,
    place_of_node,
    quiet_context,
    readmission,
)
from k3dasync.operations._one_way import OneWay, first_failure
from k3dasync.operations._recall import container_spec
from k3dasync.operations._recover import CHANGES, recover
from k3dasync.operations._run import Run, Stop, new_run_id
from k3dasync.operations._several import Ends, each, merged
from k3dasync.operations.listing import list_nodes
from k3dasync.operations.start import etcd_addresses, watch_of
from k3dasync.quorum import is_lost_without
from k3dasync.runtime import ContainerDetail, ContainerState, EngineFacts, Status
from k3dasync.scheduler import Report
from k3dasync.tasks import ClusterTask, halt, wake
from k3dasync.tasks.rebalance import Rebalance

_LIVE = frozenset({Status.RUNNING, Status.RESTARTING, Status.PAUSED})
_IN_KUBERNETES = frozenset({Role.SERVER, Role.AGENT})


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOptions:
    """Whether started nodes are waited for, and for how many seconds at most; None: no limit."""

    waits: bool = True
    seconds: float | None = None


async def start_nodes(
    names: Sequence[str],
    options: NodeOptions,
    *,
    backend: Backend,
    sinks: Sequence[EventSink] = (),
    stop: Stop | None = None,
) -> Ends:
    """Start these nodes, ours or k3d's, and return when each is Ready; `k3d-` may be left out.

    What runs is waited for, too. Raises NodeNotFound before anything is started; TaskFailed or
    DeadlineExceeded when something is not; what was started runs on.
    """
    facts = await backend.runtime.facts()
    done: list[str] = []

    async def start_some(cluster: str, chosen: Sequence[ContainerState]) -> bool:
        one = _Some(cluster, [node.name for node in chosen], backend, facts, sinks, done)
        await one.start(options)
        return True

    return await _by_cluster(names, start_some, backend, facts, stop, done=done, verb="started")


async def stop_nodes(
    names: Sequence[str],
    *,
    backend: Backend,
    seconds: float | None = None,
    sinks: Sequence[EventSink] = (),
    stop: Stop | None = None,
) -> Ends:
    """Stop these nodes, ours or k3d's; `k3d-` may be left out.

    A server is drained by the script that has started it, unless none of the others would run;
    the load balancer sends it nothing new from before on. A stop that has begun is not cut, and a
    server that runs on gets connections as before.

    Raises NodeNotFound before anything is stopped; NotHalted if one still runs, DeadlineExceeded
    if that is so after *seconds* (None: no limit).
    """
    facts = await backend.runtime.facts()
    done: list[str] = []

    async def stop_some(cluster: str, chosen: Sequence[ContainerState]) -> bool:
        one = _Some(cluster, [node.name for node in chosen], backend, facts, sinks, done)
        return await one.stop(seconds)

    return await _by_cluster(names, stop_some, backend, facts, stop, done=done, verb="stopped")


async def _by_cluster(
    names: Sequence[str],
    act: Callable[[str, Sequence[ContainerState]], Awaitable[bool]],
    backend: Backend,
    facts: EngineFacts,
    stop: Stop | None,
    *,
    done: Sequence[str],
    verb: str,
) -> Ends:
    """Do the same to the nodes of each cluster, its lock held; what is of none is one more.

    *done* are those which have been *verb*, `stopped`, as far as it is.
    """
    groups: dict[str, list[ContainerState]] = {}
    for one in await list_nodes(backend.runtime, names):
        groups.setdefault(place_of_node(one), []).append(one)

    async def one_cluster(cluster: str) -> bool:
        with cluster_lock(cluster, facts.id):
            await recover(
                cluster, backend=backend, facts=facts, also_kept=False, operations=CHANGES
            )
            return await act(cluster, groups[cluster])

    def what_became() -> str:
        every = [one.name for some in groups.values() for one in some]
        rest = [name for name in every if name not in done]
        parts = [(verb, [name for name in every if name in done]), (f"not {verb}", rest)]
        return "; ".join(f"{what}: {', '.join(some)}" for what, some in parts if some)

    ends = await each(tuple(groups), one_cluster, stop=stop or Stop(), undone=what_became)
    if ends.failures:
        raise merged(ends.failures)
    found = {cluster: cluster in ends.done for cluster in groups}
    nodes = [(one.name, found[cluster]) for cluster, some in groups.items() for one in some]
    return Ends(
        done=sorted(name for name, was in nodes if was),
        absent=sorted(name for name, was in nodes if not was),
    )


@dataclass(frozen=True, slots=True)
class _Some:
    """Nodes of one cluster, or of none, whose lock is held; `done` are those that were changed."""

    cluster: str
    names: Sequence[str]
    backend: Backend
    facts: EngineFacts
    sinks: Sequence[EventSink]
    done: list[str]

    async def start(self, options: NodeOptions) -> None:
        run_id, runtime = new_run_id(), self.backend.runtime
        members = await self._members(run_id)
        details = await inspect_present(runtime, self.names)
        nodes = [_node_of(one, members) for one in details.values()]
        status = {name: one.state.status for name, one in details.items()}
        told: list[str] = []
        waiting = None
        if members is not None and options.waits:
            waiting, told = _waiting(nodes, members)
        addresses: Mapping[str, str] = {}
        if members is not None:
            addresses = await etcd_addresses(members.cluster, _status(members), runtime)
        graph = wake.graph(
            nodes,
            elsewhere=_elsewhere(nodes, members) if options.waits else (),
            paused=[name for name, one in status.items() if one is Status.PAUSED],
            addresses=addresses,
            waiting=waiting,
            rebalance=_let_in(nodes, members) if waiting else None,
        )
        await self._walk("node-start", graph, members, run_id, seconds=options.seconds, told=told)

    async def stop(self, seconds: float | None) -> bool:
        run_id = new_run_id()
        members = await self._members(run_id)
        details = await inspect_present(self.backend.runtime, self.names)
        live = [one for one in details.values() if one.state.status in _LIVE]
        nodes = [_node_of(one, members) for one in live]
        if not nodes:
            return False
        rest = members.running_servers(self.names) if members else ()
        lost = _lost_quorum(nodes, members)
        rebalance = _let_out(nodes, members, rest)
        if members is not None and rebalance is not None:
            undo = await readmission(members.cluster, self.names, self.backend.runtime)
            rebalance = replace(rebalance, undo=undo)
        # Without a quorum the API neither cordons nor evicts.
        is_drained = bool(rest) and not lost
        grace = halt.grace_within(seconds)
        graph = wake.stops(nodes, is_drained=is_drained, grace=grace, rebalance=rebalance)

        def judge(report: Report) -> K3dAsyncError | None:
            if not report.failed:
                return None
            why = [f"{id.partition(':')[2]}: {error}" for id, error in report.failed.items()]
            why += [f"{id.partition(':')[2]} still runs" for id in report.skipped]
            return NotHalted(self.cluster, why)

        await self._walk(
            "node-stop", graph, members, run_id, seconds=seconds, told=lost, judge=judge
        )
        return True

    async def _members(self, run: str) -> Members | None:
        try:
            return await members_of(self.backend.runtime, self.cluster, run=run)
        except ClusterNotFound:
            return None  # registries, and what is left of a cluster

    async def _walk(
        self,
        operation: str,
        graph: Graph[ClusterTask],
        members: Members | None,
        run_id: str,
        *,
        seconds: float | None = None,
        told: Sequence[str] = (),
        judge: Callable[[Report], K3dAsyncError | None] = first_failure,
    ) -> None:
        context = quiet_context(members.cluster if members else None, self.backend)
        watch = watch_of(members.cluster, members.details, self.backend) if members else None
        if watch is not None:
            context = replace(context, watch=watch)

        run = Run(
            id=run_id,
            operation=operation,
            **about(self.cluster),
            facts=self.facts,
            k3s=members.k3s if members else "",
            sinks=self.sinks,
            is_rehearsal=self.backend.is_rehearsal,
        )
        try:
            await OneWay(
                graph=graph,
                act=acting(context),
                seconds=seconds,
                keep_going=operation == "node-stop",
                judge=judge,
                backend=self.backend if operation == "node-stop" else None,
                beside=watch.follow if watch and operation == "node-start" else None,
                told=told,
            ).perform(run)
        finally:
            ends = run.ends
            self.done.extend(
                name
                for name in self.names
                if any(isinstance(ends.get(id), TaskDone) for id in wake.steps(name))
            )
            run.close()


def _node_of(found: ContainerDetail, members: Members | None) -> Node:
    """Return a container as a node; what is none of a cluster counts as a registry."""
    name = found.state.name
    known = {node.name: node for node in members.cluster.nodes} if members else {}
    container = container_spec(found, next(iter(found.state.addresses), ""))
    unknown = Node(name=name, role=Role.REGISTRY, is_init=False, container=container)
    return known.get(name, unknown)


def _status(members: Members) -> dict[str, Status]:
    return {name: one.state.status for name, one in members.details.items()}


def _waiting(nodes: Sequence[Node], members: Members) -> tuple[wake.Waiting | None, list[str]]:
    """Return who is waited for and by whom that is known, None and why if nobody can know."""
    cluster, starting = members.cluster, {node.name for node in nodes}
    concerned = [node for node in nodes if node.role in _IN_KUBERNETES]
    if not concerned or cluster.is_elsewhere:
        return None, []
    servers = [one.name for one in cluster.servers]
    up = [name for name in servers if members.runs(name) or name in starting]
    balancer = cluster.loadbalancer
    why = ""
    if not up:
        why = f"no server of cluster {cluster.name} runs"
    elif members.has_etcd and 2 * len(up) <= len(servers):
        why = f"{len(up)} of {len(servers)} servers are no quorum"
    elif balancer and not (members.runs(balancer.name) or balancer.name in starting):
        why = f"the load balancer {balancer.name} does not run"
    if why:
        names = ", ".join(node.name for node in concerned)
        return None, [f"{names}: started, and not waited for: {why}"]
    return wake.Waiting(cluster=cluster, nodes=tuple(concerned), server=up[0]), []


def _elsewhere(nodes: Sequence[Node], members: Members | None) -> tuple[str, ...]:
    """Return those whose cluster is somewhere else: each is asked itself how it is."""
    if members is None or not members.cluster.is_elsewhere:
        return ()
    return tuple(node.name for node in nodes if node.role is Role.AGENT)


def _let_in(nodes: Sequence[Node], members: Members | None) -> Rebalance | None:
    """Return what lets started servers into a load balancer of ours."""
    started = [node.name for node in nodes if node.role is Role.SERVER]
    if members is None or not started:
        return None
    found = members.rebalance(members.cluster, (*members.running_servers(), *started))
    return found if found and found.is_ours else None


def _lost_quorum(nodes: Sequence[Node], members: Members | None) -> list[str]:
    """Return what is told if etcd has a quorum, and will have none without these nodes."""
    if members is None or not members.has_etcd:
        return []
    servers, names = [node.name for node in members.cluster.servers], {node.name for node in nodes}
    running, going = members.running_servers(), [name for name in servers if name in names]
    if not is_lost_without(servers, running, going):
        return []
    rest = f"{len(members.running_servers(names))} of {len(servers)} servers"
    text = f"without {', '.join(going)} etcd has no quorum, {rest}: the API"
    back = f"k3dasync node start {' '.join(going)}"
    return [f"{text} answers nothing until enough of them run again: {back}"]


def _let_out(
    nodes: Sequence[Node], members: Members | None, rest: Sequence[str]
) -> Rebalance | None:
    """Return what lets servers that are to stop stand by in a load balancer of ours."""
    if members is None or not rest or not any(node.role is Role.SERVER for node in nodes):
        return None
    found = members.rebalance(members.cluster, rest)
    is_there = found is not None and found.name not in {node.name for node in nodes}
    return found if found and found.is_ours and is_there else None
