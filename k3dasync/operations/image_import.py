"""Importing images into the nodes of clusters: read once, given to all of them at the same time."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import anyio

from k3dasync import events, local_archives
from k3dasync.backend import Backend
from k3dasync.cluster import Role
from k3dasync.errors import (
    ClusterNotFound,
    ImportFailed,
    Interrupted,
    K3dAsyncError,
)
from k3dasync.events import EventSink
from k3dasync.graph import Graph
from k3dasync.image_archive import full_name
from k3dasync.image_match import STDIN, match
from k3dasync.journal import cluster_lock
from k3dasync.operations._deadline import deadline_exceeded
from k3dasync.operations._existing import ExistingCluster, existing_clusters
from k3dasync.operations._forward import Forward, planned
from k3dasync.operations._run import Run, Stop, new_run_id
from k3dasync.runtime import Runtime, Status
from k3dasync.scheduler import Report
from k3dasync.tasks import TaskReport
from k3dasync.tasks import image_import as tasks
from k3dasync.tasks.image_import import ImportTask, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What has been imported into how many nodes: names of images as containerd has them."""

    images: tuple[str, ...]
    nodes: tuple[str, ...]


async def import_images(
    words: Sequence[str],
    clusters: Sequence[str],
    *,
    seconds: float | None,
    backend: Backend,
    sinks: Sequence[EventSink] = (),
    stop: Stop | None = None,
) -> Imported:
    """Import images of the engine, archives and standard input (`-`) into all nodes of clusters.

    *seconds* is its deadline, None means none.

    Raises ImageNotFound, ClusterNotFound or SpecError before anything is read; ImportFailed if a
    node lacks something afterwards, when all others have got it; DeadlineExceeded, Interrupted.
    """
    stop = stop or Stop()
    facts = await backend.runtime.facts()
    clusters = tuple(dict.fromkeys(clusters))
    with ExitStack() as locks:
        for name in sorted(clusters):
            # Shared: imports do not mind each other, only a create or delete.
            locks.enter_context(cluster_lock(name, facts.id, is_shared=True))
        sources = await _sources(words, backend.runtime)
        found = await _clusters(clusters, backend.runtime)
        graph = tasks.plan(sources, [node for cluster in found for node in _nodes(cluster)])
        run = Run(
            id=new_run_id(),
            operation="import",
            cluster=clusters[0] if len(clusters) == 1 else None,
            facts=facts,
            k3s="",
            sinks=sinks,
            is_rehearsal=backend.is_rehearsal,
        )
        try:
            return await _Import(graph, run, backend).perform(stop, seconds)
        finally:
            run.close()


async def _sources(words: Sequence[str], runtime: Runtime) -> tuple[Source, ...]:
    asked = match(words, await runtime.images(), local_archives.is_file)
    sources: list[Source] = []
    if asked.tags:
        opened = partial(runtime.export_images, asked.tags)
        names = tuple(map(full_name, asked.tags))
        sources.append(
            Source(name=", ".join(asked.tags), open=opened, about=asked.size, names=names)
        )
    for path in asked.files:
        size = local_archives.size_of(path)
        sources.append(Source(name=path, open=partial(local_archives.from_file, path), size=size))
    if asked.stdin:
        local_archives.refuse_terminal()
        sources.append(Source(name=STDIN, open=local_archives.from_stdin))
    return tuple(sources)


async def _clusters(names: Sequence[str], runtime: Runtime) -> list[ExistingCluster]:
    there = await existing_clusters(runtime)
    absent = [name for name in names if name not in there or not _nodes(there[name])]
    if absent:
        raise ClusterNotFound(", ".join(absent))
    return [there[name] for name in names]


def _nodes(cluster: ExistingCluster) -> list[tuple[str, Status]]:
    roles = (Role.SERVER, Role.AGENT)
    return [(node.name, node.status) for role in roles for node in cluster.of_role(role)]


class _Import:
    """One import, from the first line of its log to the last."""

    def __init__(self, graph: Graph[ImportTask], run: Run, backend: Backend) -> None:
        self._graph, self._run, self._backend = graph, run, backend
        self._passages = tasks.passages(graph)

    async def perform(self, stop: Stop, seconds: float | None) -> Imported:
        report: Report | None = None
        self._run.start(planned(self._graph))
        forward = Forward(self._graph, self._act, self._run.emitter)
        deadline = anyio.CancelScope()
        try:
            with stop.scope(), anyio.move_on_after(seconds) as deadline:
                report = await forward.walk(keep_going=True)
        except BaseException:
            self._fail(Interrupted("cancelled from outside"))
            raise
        if report is not None:
            return self._conclude(report)
        if deadline.cancelled_caught:
            raise self._fail(deadline_exceeded(seconds, forward.cut))
        raise self._fail(Interrupted(stop.because or "stopped"))

    async def _act(self, task: ImportTask, report: TaskReport) -> None:
        await task.run(
            tasks.ImportContext(
                runtime=self._backend.runtime, passages=self._passages, report=report
            )
        )

    def _conclude(self, report: Report) -> Imported:
        for name, passage in self._passages.items():
            if not passage.scanner.is_archive and passage.is_taken:
                self._run.emitter.emit(
                    events.Warned,
                    text=f"{name} is compressed in a way that only the nodes can read: that they "
                    "have its images is their own word",
                )
        if report.failed:
            raise self._fail(_failure(report))
        self._run.emitter.emit(
            events.RunDone,
            seconds=round(self._run.emitter.now(), 6),
            critical_path=self._run.critical_path,
        )
        names = (name for one in self._passages.values() for name in one.scanner.names())
        nodes = (task.node for task in self._graph if isinstance(task, tasks.ImportInto))
        return Imported(images=tuple(dict.fromkeys(names)), nodes=tuple(nodes))

    def _fail(self, error: K3dAsyncError) -> K3dAsyncError:
        """Write the last line, and return the error."""
        self._run.emitter.emit(
            events.RunFailed,
            seconds=round(self._run.emitter.now(), 6),
            code=error.code,
            cause=str(error),
            rolled_back=False,
            critical_path=self._run.critical_path,
        )
        return error


def _failure(report: Report) -> K3dAsyncError:
    """Return one error for all failures, the nodes' first: a source fails with its last reader."""
    by_node = {id: why for id, why in report.failed.items() if id.startswith("load:")}
    failed = by_node or report.failed
    shown = [f"{id.partition(':')[2]}: {why}" for id, why in failed.items()]
    done = sum(id.startswith("load:") for id in report.done)
    rest = f"; done on {done} other node{'s' * (done != 1)}" if done else ""
    return ImportFailed(f"not imported into {'; '.join(shown)}{rest}")
