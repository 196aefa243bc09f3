"""Images: one task per distinct image."""

from collections.abc import Iterator
from dataclasses import dataclass

from k3dasync.cluster import Cluster
from k3dasync.graph import TaskId
from k3dasync.tasks import _ids
from k3dasync.tasks._context import Context
from k3dasync.undo import NOTHING, Undo


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsureImage:
    """Pull an image unless the engine has it. It stays after a rollback: others may use it."""

    image: str
    needs: frozenset[TaskId] = frozenset()

    @property
    def id(self) -> TaskId:
        return _ids.image(self.image)

    @property
    def does(self) -> str:
        return "pull unless present"

    @property
    def undo(self) -> Undo:
        return NOTHING

    async def run(self, context: Context) -> None:
        if await context.runtime.has_image(self.image):
            return

        def progress(done: int, total: int | None) -> None:
            context.report.progress("pulling", done=done, total=total, unit="bytes")

        context.report.waiting(f"the pull of {self.image}")
        await context.runtime.pull_image(self.image, progress)


def tasks(cluster: Cluster) -> Iterator[EnsureImage]:
    """Yield one task for each distinct image, in the order of first use."""
    for image in dict.fromkeys(node.container.image for node in cluster.nodes):
        yield EnsureImage(image=image)
