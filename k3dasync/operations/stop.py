"""Stopping and pausing clusters: all their nodes at once, several clusters at a time."""

from collections.abc import Sequence
from dataclasses import replace

import anyio

from k3dasync.backend import Backend
from k3dasync.cluster import LABEL_ROLE, Role
from k3dasync.errors import K3dAsyncError
from k3dasync.events import EventSink
from k3dasync.life_errors import NotHalted
from k3dasync.operations._existing import existing_cluster
from k3dasync.operations._inspect import inspect_present
from k3dasync.operations._one_way import OneWay
from k3dasync.operations._recall import recall
from k3dasync.operations._recover import CHANGES, recover
from k3dasync.operations._run import Run, Stop, new_run_id
from k3dasync.operations._several import Ends, each_cluster
from k3dasync.operations.start import StartOptions, start_locked
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
    seconds: float | None = None,
    sinks: Sequence[EventSink] = (),
    stop: Stop | None = None,
) -> Ends:
    """Stop these clusters, or all with None; say which were stopped, and which did not run.

    Nothing is drained: with a whole cluster there is nowhere to drain to. A registry that other
    networks use too runs on, and a warning says so.

    Raises ClusterNotFound before anything is stopped; NotHalted if a node still runs,
    DeadlineExceeded if that is so after *seconds* (None: no limit).
    """
    return await _halt("stop", names, backend=backend, seconds=seconds, sinks=sinks, stop=stop)


async def pause(
    names: Sequence[str] | None,
    *,
    backend: Backend,
    seconds: float | None = None,
    sinks: Sequence[EventSink] = (),
    stop: Stop | None = None,
) -> Ends:
    """Freeze these clusters, or all with None: they keep their memory and take no CPU.

    Raises as `stop_clusters` does.
    """
    return await _halt("pause", names, backend=backend, seconds=seconds, sinks=sinks, stop=stop)


async def restart(
    names: Sequence[str] | None,
    options: StartOptions,
    *,
    backend: Backend,
    sinks: Sequence[EventSink] = (),
    stop: Stop | None = None,
) -> tuple[str, ...]:
    """Stop and start these clusters, or all with None, and return their names when they are ready.

    The seconds of the options are for both. Raises what a stop and a start raise.
    """

    async def restart_one(name: str, facts: EngineFacts) -> bool:
        began, rest = anyio.current_time(), options
        await _halt_locked(
            "stop", name, backend=backend, facts=facts, seconds=options.seconds, sinks=sinks
        )
        if options.seconds is not None:
            left = options.seconds - (anyio.current_time() - began)
            rest = replace(options, seconds=max(left, 0.0))
        await start_locked(name, rest, backend=backend, facts=facts, sinks=sinks)
        return True

    undone = "not restarted"
    ends = await each_cluster(names, restart_one, backend=backend, stop=stop, undone=undone)
    return tuple(ends.done)


async def _halt(
    operation: str,
    names: Sequence[str] | None,
    *,
    backend: Backend,
    seconds: float | None,
    sinks: Sequence[EventSink],
    stop: Stop | None,
) -> Ends:
    async def halt_one(name: str, facts: EngineFacts) -> bool:
        return await _halt_locked(
            operation, name, backend=backend, facts=facts, seconds=seconds, sinks=sinks
        )

    undone = "not stopped" if operation == "stop" else "not paused"
    return await each_cluster(names, halt_one, backend=backend, stop=stop, undone=undone)


async def _halt_locked(
    operation: str,
    name: str,
    *,
    backend: Backend,
    facts: EngineFacts,
    seconds: float | None,
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
    live = [node for node in nodes if _runs(operation, details[node.name])]
    if operation == "pause":
        graph = halt.pauses(live)
    else:
        graph = halt.stops(live, is_drained=False, grace=halt.grace_within(seconds))
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
            seconds=seconds,
            keep_going=True,
            judge=judge,
            left=lambda task: task.left,
            told=told,
        ).perform(run)
    finally:
        run.close()
    return True


def _runs(operation: str, found: ContainerDetail) -> bool:
    if operation == "pause":
        return found.state.status is Status.RUNNING
    return found.state.status in _LIVE


def _is_shared(found: ContainerDetail, network: str) -> bool:
    """Whether it is a registry that others use too."""
    is_registry = found.state.labels.get(LABEL_ROLE) == Role.REGISTRY
    return is_registry and bool(set(found.state.addresses) - _DEFAULT_NETWORKS - {network})
