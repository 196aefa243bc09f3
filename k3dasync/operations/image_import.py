"""Importing images into the nodes of clusters: read once, given to all of them at the same time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from k3dasync import events, local_archives, unpacking
from k3dasync.backend import Backend
from k3dasync.errors import ImportFailed, Interrupted, K3dAsyncError
from k3dasync.events import EventSink
from k3dasync.graph import Graph, TaskId
from k3dasync.image_archive import full_name
from k3dasync.image_match import STDIN, match
from k3dasync.operations._image_targets import running_nodes, shared_locks
from k3dasync.operations._one_way import OneWay
from k3dasync.operations._run import Run, Stop, new_run_id
from k3dasync.runtime import Runtime
from k3dasync.scheduler import Report
from k3dasync.tasks import TaskReport
from k3dasync.tasks import image_import as tasks
from k3dasync.tasks.image_import import ImageTask, Source

ImageTaskT = TypeVar("ImageTaskT", bound=ImageTask)


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

    Raises ImageNotFound, ClusterNotFound or SpecError before anything is read, ImportFailed then
    if nothing of a cluster runs; ImportFailed if a node lacks something afterwards, when all
    others have got it; DeadlineExceeded, Interrupted.
    """
    stop = stop or Stop()
    facts = await backend.runtime.facts()
    clusters = tuple(dict.fromkeys(clusters))
    with shared_locks(clusters, facts.id):
        sources = await _sources(words, backend.runtime)
        graph = tasks.plan(sources, await running_nodes(clusters, backend.runtime))
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
            with stop.scope():
                return await perform(graph, run, backend.runtime, seconds)
        finally:
            run.close()
    raise Interrupted(stop.because or "stopped")


def judge(report: Report) -> K3dAsyncError | None:
    """Return one error for all failures, the nodes' first: a source fails with its last reader.

    If it was the source that broke off, and for all of them, it is told once.
    """
    if not report.failed:
        return None
    by_node = {id: why for id, why in report.failed.items() if id.startswith("load:")}
    by_source = {id: why for id, why in report.failed.items() if id not in by_node}
    if by_source and all(str(why).startswith(tasks.BROKEN_OFF) for why in by_node.values()):
        return ImportFailed(f"not imported: {_grouped(by_source)}")
    failed = by_node or report.failed
    done = sum(id.startswith("load:") for id in report.done)
    rest = f"; done on {done} other node{'s' * (done != 1)}" if done else ""
    return ImportFailed(f"not imported into {_grouped(failed)}{rest}")


def _grouped(failed: Mapping[TaskId, Exception]) -> str:
    """Return what failed with the reasons, each reason once."""
    by_reason: dict[str, list[str]] = {}
    for id, why in failed.items():
        by_reason.setdefault(str(why), []).append(id.partition(":")[2])
    return "; ".join(f"{', '.join(sorted(names))}: {why}" for why, names in by_reason.items())


async def perform(
    graph: Graph[ImageTaskT],
    run: Run,
    runtime: Runtime,
    seconds: float | None,
    judge: Callable[[Report], K3dAsyncError | None] = judge,
) -> Imported:
    """Walk a graph of imports and what comes before them; *judge* says what failures mean."""
    passages = tasks.passages(graph)

    async def act(task: ImageTaskT, report: TaskReport) -> None:
        await task.run(tasks.ImportContext(runtime=runtime, passages=passages, report=report))

    def warn() -> None:
        for name, passage in passages.items():
            if not passage.scanner.is_archive and passage.is_taken:
                run.emitter.emit(
                    events.Warned,
                    text=f"{name} is compressed in a way that only the nodes can read: that they "
                    "have its images is their own word",
                )

    way = OneWay(graph=graph, act=act, seconds=seconds, keep_going=True, judge=judge, finish=warn)
    try:
        await way.perform(run)
    finally:
        for passage in passages.values():
            passage.fanout.close()
    names = (name for one in passages.values() for name in one.scanner.names())
    nodes = (task.node for task in graph if isinstance(task, tasks.ImportInto))
    return Imported(images=tuple(dict.fromkeys(names)), nodes=tuple(nodes))


async def _sources(words: Sequence[str], runtime: Runtime) -> tuple[Source, ...]:
    asked = match(words, await runtime.images(), local_archives.is_file)
    sources: list[Source] = []
    if asked.tags:
        opened = partial(runtime.export_images, asked.tags)
        names = tuple(map(full_name, asked.tags))
        sources.append(
            Source(name=", ".join(asked.tags), open=opened, about=asked.size, names=names)
        )
    sources += [_file(path) for path in asked.files]
    if asked.stdin:
        local_archives.refuse_terminal()
        piped = partial(unpacking.unpacked, local_archives.from_stdin, STDIN)
        sources.append(Source(name=STDIN, open=piped))
    return tuple(sources)


def _file(path: str) -> Source:
    size = local_archives.size_of(path)
    is_packed = unpacking.is_packed(local_archives.head_of(path, unpacking.LONGEST_MAGIC))
    opened = partial(unpacking.unpacked, partial(local_archives.from_file, path), path)
    # How long it is when it is unpacked stands nowhere that is quick to read.
    return Source(name=path, open=opened, size=None if is_packed else size, about=size)
