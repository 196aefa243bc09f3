"""The cluster's network, unless it is somebody else's."""

from collections.abc import Iterator
from dataclasses import dataclass

from k3dasync.cluster import Cluster
from k3dasync.graph import TaskId
from k3dasync.runtime import NetworkSpec
from k3dasync.tasks import _ids
from k3dasync.tasks._context import Context
from k3dasync.undo import RemoveNetwork, Undo


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateNetwork:
    """Create the network, and claim its subnet by doing so."""

    spec: NetworkSpec
    needs: frozenset[TaskId] = frozenset()

    @property
    def id(self) -> TaskId:
        return _ids.network(self.spec.name)

    @property
    def does(self) -> str:
        return f"create, subnet {self.spec.subnet}"

    @property
    def undo(self) -> Undo:
        return RemoveNetwork(self.spec.name)

    async def run(self, context: Context) -> None:
        await context.runtime.create_network(self.spec)


def tasks(cluster: Cluster) -> Iterator[CreateNetwork]:
    """Yield the network's task if the network is ours to make."""
    if cluster.network is not None:
        yield CreateNetwork(spec=cluster.network)
