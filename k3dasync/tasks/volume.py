"""The cluster's volumes: the one for images, and those which users have named for it."""

from collections.abc import Iterator
from dataclasses import dataclass

from k3dasync.cluster import LABEL_RUN, Cluster
from k3dasync.errors import NameTaken
from k3dasync.graph import TaskId
from k3dasync.runtime import VolumeSpec
from k3dasync.tasks import _ids
from k3dasync.tasks._context import Context
from k3dasync.undo import RemoveVolume, Undo


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateVolume:
    """Create the volume; the engine answers yes to a name that is there, so read it back."""

    spec: VolumeSpec
    needs: frozenset[TaskId] = frozenset()

    @property
    def id(self) -> TaskId:
        return _ids.volume(self.spec.name)

    @property
    def does(self) -> str:
        return "create"

    @property
    def undo(self) -> Undo:
        return RemoveVolume(self.spec.name)

    async def run(self, context: Context) -> None:
        found = await context.runtime.create_volume(self.spec)
        if found.labels.get(LABEL_RUN) != self.spec.labels[LABEL_RUN]:
            owner = found.labels.get(LABEL_RUN)
            raise NameTaken(
                "volume", self.spec.name, f"run {owner}" if owner else "a volume that is not ours"
            )


def tasks(cluster: Cluster) -> Iterator[CreateVolume]:
    """Yield a task for each volume that is ours to make."""
    for spec in cluster.volumes:
        yield CreateVolume(spec=spec)
