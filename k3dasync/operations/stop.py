"""Stopping and pausing clusters: all their nodes at once, several clusters at a time."""

from collections.abc import Callable, Iterable, Sequence

from k3dasync.backend import Backend
from k3dasync.cluster import LABEL_ROLE, Node, Role
from k3dasync.errors import K3dAsyncError
from k3dasync.events import EventSink
from k3dasync.graph import Graph
from k3dasync.journal import cluster_lock
from k3dasync.life_errors import NotHalted
from k3dasync.operations._existing import existing_cluster
from k3dasync.operations._inspect import inspect_present
from k3dasync.operations._one_way import OneWay
from k3dasync.operations._recall import recall
from k3dasync.operations._recover import CHANGES, recover
from k3dasync.operations._run import Run, Stop, new_run_id
from k3dasync.operations._several import Ends, each, merged
from k3dasync.operations.start import StartOptions, known_names, start_locked
from k3dasync.runtime import ContainerDetail, EngineFacts, Status
from k3dasync.scheduler import Report
from k3dasync.spec import WaitLevel
from k3dasync.tasks import TaskReport, halt

_LIVE = frozenset({Status.RUNNING, Status.RESTARTING, Status.PAUSED})
_DEFAULT_NETWORKS = frozenset({"bridge", "host"})


async def stop_clusters(
    names: Sequence[str] | None,
    *,
    backend: Backend,
    sinks: Sequence[EventSink] = (),
    stop: Stop | None = None,
) -> Ends:
    """Stop these clusters, or all with None; say which were stopped, and which did not run.

    Nothing is drained: with a whole cluster there is nowhere to drain to. A registry that other
    networks use too runs on, and a warning says so.

    Raises ClusterNotFound before anything is stopped, NotHalted if a node still runs.
    """
    return await _halt("stop", names, backend=backend, sinks=sinks, stop=stop)


async def pause(
    names: Sequence[str] | None,
    *,
    backend: Backend,
    sinks: Sequence[EventSink] = (),
    stop: Stop | None = None,
) -> Ends:
    """Freeze these clusters, or all with None: they keep their memory and take no CPU.

    Raises as `stop_clusters` does.
    """
    return await _halt("pause", names, backend=backend, sinks=sinks, stop=stop)


async def restart(
    names: Sequence[str] | None,
    options: StartOptions,
    *,
    backend: Backend,
    sinks: Sequence[EventSink] = (),
    stop: Stop | None = None,
) -> tuple[str, ...]:
    """Stop and start these clusters, or all with None, and return their names when they are ready.

    Raises what a stop and a start raise.
    """
    facts = await backend.runtime.facts()
    wanted = await known_names(names, backend.runtime)

    async def restart_one(name: str) -> bool:
        with cluster_lock(name, facts.id):
            await _halt_locked("stop", name, backend=backend, facts=facts, sinks=sinks)
            await start_locked(name, options, backend=backend, facts=facts, sinks=sinks)
        return True

    ends = await each(wanted, restart_one, stop=stop or Stop(), undone="not restarted")
    if ends.failures:
        raise merged(ends.failures)
    return tuple(ends.done)


async def _halt(
    operation: str,
    names: Sequence[str] | None,
    *,
    backend: Backend,
    sinks: Sequence[EventSink],
    stop: Stop | None,
) -> Ends:
    facts = await backend.runtime.facts()
    wanted = await known_names(names, backend.runtime)

    async def halt_one(name: str) -> bool:
        with cluster_lock(name, facts.id):
            return await _halt_locked(operation, name, backend=backend, facts=facts, sinks=sinks)

    undone = "not stopped" if operation == "stop" else "not paused"
    ends = await each(wanted, halt_one, stop=stop or Stop(), undone=undone)
    if ends.failures:
        raise merged(ends.failures)
    return ends


async def _halt_locked(
    operation: str,
    name: str,
    *,
    backend: Backend,
    facts: EngineFacts,
    sinks: Sequence[EventSink],
) -> bool:
    """Stop or pause one cluster whose lock is held; say whether anything of it ran."""
    await recover(name, backend=backend, facts=facts, also_kept=False, operations=CHANGES)
    existing = await existing_cluster(backend.runtime, name)
    details = await inspect_present(backend.runtime, [one.name for one in existing.containers])
    run_id = new_run_id()
    cluster = recall(existing, details, run=run_id, wait=WaitLevel.NONE)
    nodes = [
        node for node in cluster.nodes if not _is_shared(details[node.name], cluster.network_name)
    ]
    kept = [node.name for node in cluster.nodes if node not in nodes]
    graph = _GRAPHS[operation]([node for node in nodes if _runs(operation, details[node.name])])
    if not graph.ids:
        return False
    run = Run(
        id=run_id,
        operation=operation,
        cluster=name,
        facts=facts,
        k3s="",
        sinks=sinks,
        is_rehearsal=backend.is_rehearsal,
    )

    async def act(task: halt.Halt, _report: TaskReport) -> None:
        await task.run(backend.runtime)

    def judge(report: Report) -> K3dAsyncError | None:
        if not report.failed:
            return None
        return NotHalted(name, [f"{graph[id].left}: {why}" for id, why in report.failed.items()])

    told = [f"registry {one} runs on: other networks use it too" for one in kept]
    try:
        await OneWay(
            graph=graph,
            act=act,
            keep_going=True,
            judge=judge,
            left=lambda task: task.left,
            told=told,
        ).perform(run)
    finally:
        run.close()
    return True


def _stops(nodes: Iterable[Node]) -> Graph[halt.Halt]:
    return halt.stops(nodes, is_drained=False)


_GRAPHS: dict[str, Callable[[Iterable[Node]], Graph[halt.Halt]]] = {
    "stop": _stops,
    "pause": halt.pauses,
}


def _runs(operation: str, found: ContainerDetail) -> bool:
    if operation == "pause":
        return found.state.status is Status.RUNNING
    return found.state.status in _LIVE


def _is_shared(found: ContainerDetail, network: str) -> bool:
    """Whether it is a registry that others use too."""
    is_registry = found.state.labels.get(LABEL_ROLE) == Role.REGISTRY
    return is_registry and bool(set(found.state.addresses) - _DEFAULT_NETWORKS - {network})
