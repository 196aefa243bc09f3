"""An image that is built, and then exported and imported like any other one."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from k3dasync.build import Builder, BuildRequest
from k3dasync.graph import Graph, TaskId
from k3dasync.image_errors import BuildFailed
from k3dasync.image_match import find, match
from k3dasync.runtime import Runtime, Status
from k3dasync.tasks import _ids
from k3dasync.tasks.image_import import Export, ImportContext, ImportInto, Source, tasks
from k3dasync.undo import NOTHING, Undo


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """Let a builder build the images, and see that the engine has them."""

    request: BuildRequest
    builder: Builder
    needs: frozenset[TaskId] = frozenset()

    @property
    def id(self) -> TaskId:
        return _ids.build(", ".join(self.request.tags))

    @property
    def does(self) -> str:
        return f"build from {self.request.shown}"

    @property
    def undo(self) -> Undo:
        return NOTHING

    async def run(self, context: ImportContext) -> None:
        """Raise BuildFailed if it fails, or if the builder keeps the images for itself."""
        context.report.waiting("the builder")
        await self.builder.build(self.request)
        images = await context.runtime.images()
        absent = [tag for tag in self.request.tags if find(tag, images) is None]
        if absent:
            words = "it was built, but the engine does not have it; let the builder load it there"
            raise BuildFailed(absent, words)


BuildTask = Build | Export | ImportInto


def plan(
    request: BuildRequest,
    builder: Builder,
    runtime: Runtime,
    nodes: Sequence[tuple[str, Status]],
) -> Graph[BuildTask]:
    """Return a build, and the import of its images into *nodes* behind it."""

    @asynccontextmanager
    async def built() -> AsyncIterator[AsyncIterator[bytes]]:
        # Under the names that the engine gives them, which are known only now.
        found = match(request.tags, await runtime.images(), lambda _path: False)
        async with runtime.export_images(found.tags) as pieces:
            yield pieces

    build = Build(request=request, builder=builder)
    source = Source(name=", ".join(request.tags), open=built)
    return Graph([build, *tasks([source], nodes, frozenset({build.id}))])
