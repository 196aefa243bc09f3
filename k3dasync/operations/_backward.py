"""Taking back what a run made: the backward half, live and after a crash alike.

Only when nothing of the forward walk runs any more; users before what they use; never anything
that lacks the run's label; always shielded, always with a deadline.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import anyio

from k3dasync import events, kubeconfig
from k3dasync.backend import Backend
from k3dasync.cluster import LABEL_RUN
from k3dasync.errors import K3dAsyncError, NotFound
from k3dasync.events import Emitter, PlannedTask
from k3dasync.gather import gather
from k3dasync.graph import Graph, TaskId
from k3dasync.operations._bring_back import readmit, uncordon
from k3dasync.operations._put_back import put_back
from k3dasync.operations._take_out import take_out
from k3dasync.retrying import on_retry
from k3dasync.runtime import File, Runtime, Status
from k3dasync.scheduler import walk
from k3dasync.undo import (
    DisconnectContainer,
    ForgetNode,
    Nothing,
    Readmit,
    RemoveContainer,
    RemoveKubeconfigEntries,
    RemoveNetwork,
    RemoveVolume,
    RestoreContainer,
    RestoreFile,
    RestoreFiles,
    Uncordon,
    Undo,
    leftovers,
)

UNDO_SECONDS = 60.0
"""For one removal. The engine kills a container and frees its mounts in 0.2 s alone and in 5 s
among 14 on two cores; ten times that is an engine that hangs."""
UNLABELLED = (
    RemoveKubeconfigEntries,
    DisconnectContainer,
    RestoreContainer,
    ForgetNode,
    RestoreFiles,
    Uncordon,
    Readmit,
)
"""What is changed in things that stay."""
ASK_SECONDS = 10.0
"""For asking the engine what is there: three listings, of milliseconds each."""


@dataclass(frozen=True, slots=True)
class _Undoing:
    """A planned task seen as a member of a graph."""

    task: PlannedTask

    @property
    def id(self) -> TaskId:
        return self.task.id

    @property
    def needs(self) -> frozenset[TaskId]:
        return frozenset(self.task.needs)


async def take_back(
    plan: tuple[PlannedTask, ...],
    pending: Mapping[TaskId, PlannedTask],
    *,
    backend: Backend,
    emitter: Emitter,
) -> tuple[str, ...]:
    """Undo the *pending* tasks of a plan and return what is still there afterwards.

    Does not raise for anything that could not be removed, and is not cut by cancellation.
    """
    graph = Graph(map(_Undoing, plan)).only(pending).reversed()
    labels, runtime = {LABEL_RUN: emitter.run}, backend.runtime

    async def visit(member: _Undoing) -> None:
        def retry(attempt: int, delay: float, error: str) -> None:
            again = {"attempt": attempt, "delay": round(delay, 3), "error": error}
            emitter.emit(events.TaskRetry, task=member.id, **again)

        began = emitter.now()
        on_retry.set(retry)
        emitter.emit(events.UndoStarted, task=member.id)
        try:
            with anyio.fail_after(UNDO_SECONDS):
                await _apply(member.task, backend, labels)
        except Exception as error:
            text = str(error) or f"not done after {UNDO_SECONDS:g} s"
            seconds = round(emitter.now() - began, 6)
            emitter.emit(events.UndoFailed, task=member.id, seconds=seconds, error=text)
            raise
        seconds = round(emitter.now() - began, 6)
        emitter.emit(events.UndoDone, task=member.id, seconds=seconds)

    # Each undo has its deadline, and so has each call of the sweep: the shield ends.
    with anyio.CancelScope(shield=True):
        report = await walk(graph, visit, keep_going=True)
        unseen = [graph[id].task.undo for id in (*report.failed, *report.skipped)]
        # A server that etcd could not let go stays: without it there might be no quorum.
        spared = {undo.name for undo in unseen if isinstance(undo, ForgetNode) and undo.is_server}
        try:
            await _sweep(runtime, labels, [task.undo for task in pending.values()], spared)
            with anyio.fail_after(ASK_SECONDS):
                left = await remaining(runtime, labels)
        except (K3dAsyncError, TimeoutError):
            return leftovers(unseen)  # the engine cannot be asked: what we could not undo
    # Some have no labels to be found by.
    return (*left, *leftovers([undo for undo in unseen if isinstance(undo, UNLABELLED)]))


async def _apply(task: PlannedTask, backend: Backend, labels: Mapping[str, str]) -> None:
    runtime = backend.runtime
    match task.undo:
        case RemoveContainer(name):
            await runtime.remove_container(name, labels)
        case RemoveNetwork(name):
            await runtime.remove_network(name, labels)
        case RemoveVolume(name):
            await runtime.remove_volume(name, labels)
        case RemoveKubeconfigEntries(cluster, path, previous):
            kubeconfig.remove_from(path, cluster, previous)
        case DisconnectContainer(container, network):
            await runtime.disconnect_network(container, network, labels)
        case RestoreContainer():
            await put_back(task.undo, runtime, labels[LABEL_RUN])
        case ForgetNode():
            await take_out(task.undo, backend, labels)
        case RestoreFiles(container, files, signal):
            await _restore(container, files, signal, runtime)
        case Uncordon():
            await uncordon(task.undo, runtime)
        case Readmit():
            await readmit(task.undo, backend, labels[LABEL_RUN])
        case Nothing():
            pass


async def _restore(
    container: str, files: Sequence[RestoreFile], signal: str, runtime: Runtime
) -> None:
    try:
        found = await runtime.inspect_container(container)
    except NotFound:
        return
    before = [File(path=one.path, content=one.text.encode(), mode=one.mode) for one in files]
    await runtime.write_files(container, before)
    if signal and found.state.status is Status.RUNNING:
        await runtime.signal_container(container, signal)


async def _sweep(
    runtime: Runtime, labels: Mapping[str, str], undone: Sequence[Undo], spared: Collection[str]
) -> None:
    """Remove what carries the run's label all the same, containers before what they use.

    A call cut by the death of its process can take effect after the undo has looked.
    """
    with anyio.fail_after(ASK_SECONDS):
        found = await runtime.containers(labels)
    containers = [one for one in found if one.name not in spared]
    await gather(partial(_try, runtime.remove_container, one.name, labels) for one in containers)
    for one in undone:
        if isinstance(one, DisconnectContainer):
            await _try(partial(runtime.disconnect_network, one.container), one.network, labels)
    with anyio.fail_after(ASK_SECONDS):
        networks, volumes = await runtime.networks(labels), await runtime.volumes(labels)
    await gather(partial(_try, runtime.remove_network, one.name, labels) for one in networks)
    await gather(partial(_try, runtime.remove_volume, one.name, labels) for one in volumes)


async def _try(
    remove: Callable[[str, Mapping[str, str]], Awaitable[bool]],
    name: str,
    labels: Mapping[str, str],
) -> None:
    # What it means if this fails is asked right after.
    with suppress(K3dAsyncError), anyio.move_on_after(UNDO_SECONDS):
        await remove(name, labels)


async def remaining(runtime: Runtime, labels: Mapping[str, str]) -> tuple[str, ...]:
    """Return what the engine has with these labels, each as `container k3d-dev-agent-0`."""
    return (
        *(f"container {container.name}" for container in await runtime.containers(labels)),
        *(f"network {network.name}" for network in await runtime.networks(labels)),
        *(f"volume {volume.name}" for volume in await runtime.volumes(labels)),
    )
