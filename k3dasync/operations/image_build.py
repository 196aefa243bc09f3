"""Building an image and importing it into the nodes of clusters, in one run."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from anyio import to_thread

from k3dasync import build_context, local_archives
from k3dasync.backend import Backend
from k3dasync.build import DOCKERFILE, STDIN, Builder, BuildRequest, BuildSpec, arguments_of
from k3dasync.errors import Interrupted, K3dAsyncError, TaskFailed
from k3dasync.events import EventSink
from k3dasync.invalid import ConflictingFlags
from k3dasync.operations._image_targets import running_nodes, shared_locks
from k3dasync.operations._run import Run, Stop, new_run_id
from k3dasync.operations.image_import import Imported, judge, perform
from k3dasync.runtime import Runtime
from k3dasync.scheduler import Report
from k3dasync.streams import say
from k3dasync.tasks import image_build as tasks


async def build_images(
    request: BuildRequest,
    clusters: Sequence[str],
    *,
    builder: Builder,
    seconds: float | None,
    backend: Backend,
    sinks: Sequence[EventSink] = (),
    stop: Stop | None = None,
) -> Imported:
    """Build an image, and import it into all nodes of clusters under all of its tags.

    *seconds* is for both together, None means no limit. Raises SpecError or ClusterNotFound before
    anything is built, BuildFailed before anything is imported, and else what an import raises.
    """
    stop = stop or Stop()
    if not request.is_remote and request.context != STDIN:
        await to_thread.run_sync(build_context.refuse_missing, request.context, request.file)
    facts = await backend.runtime.facts()
    clusters = tuple(dict.fromkeys(clusters))
    with shared_locks(clusters, facts.id):
        nodes = await running_nodes(clusters, backend.runtime)
        graph = tasks.plan(request, builder, backend.runtime, nodes)
        run = Run(
            id=new_run_id(),
            operation="build",
            cluster=clusters[0] if len(clusters) == 1 else None,
            facts=facts,
            k3s="",
            sinks=sinks,
            is_rehearsal=backend.is_rehearsal,
        )
        try:
            with stop.scope():
                return await perform(graph, run, backend.runtime, seconds, judge=_judge)
        finally:
            run.close()
    raise Interrupted(stop.because or "stopped")


def _judge(report: Report) -> K3dAsyncError | None:
    """Return the builder's own error if it has failed: then nothing was imported."""
    for id, error in report.failed.items():
        if id.startswith("build:"):
            return error if isinstance(error, K3dAsyncError) else TaskFailed(id, error)
    return judge(report)


_Opened = tuple[AsyncIterator[bytes] | None, str, tuple[str, ...]]


class EngineBuilder:
    """The engine's own builder, where there is no docker command."""

    def __init__(self, runtime: Runtime, environ: dict[str, str]) -> None:
        self._runtime, self._environ = runtime, environ

    async def build(self, request: BuildRequest) -> None:
        if request.further:
            raise ConflictingFlags(
                "flags behind -- are for docker's own command, and there is none on PATH"
            )
        if request.reads_stdin:
            local_archives.refuse_terminal()
        async with self._context(request) as (pieces, dockerfile, bases):
            spec = BuildSpec(
                tags=request.tags,
                dockerfile=dockerfile,
                arguments=arguments_of(request.arguments, self._environ),
                target=request.target,
                platform=request.platform,
                no_cache=request.no_cache,
                pull=request.pull,
                remote=request.context if request.is_remote else "",
                bases=bases,
            )
            await self._runtime.build_image(pieces, spec, say)

    @asynccontextmanager
    async def _context(self, request: BuildRequest) -> AsyncIterator[_Opened]:
        """Open the context, and say what its Dockerfile is called and begins with."""
        if request.is_remote:
            yield None, request.file or DOCKERFILE, ()
        elif request.context == STDIN:
            async with build_context.from_stdin() as pieces:
                yield pieces, request.file or DOCKERFILE, ()
        else:
            context = await to_thread.run_sync(
                build_context.read_context, request.context, request.file
            )
            async with build_context.packed(context) as pieces:
                yield pieces, context.dockerfile, context.bases
