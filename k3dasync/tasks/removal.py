"""Removing a cluster that was complete, whoever made it."""

from collections.abc import Iterator
from dataclasses import dataclass

from k3dasync import kubeconfig
from k3dasync.graph import Graph, TaskId
from k3dasync.runtime import Runtime
from k3dasync.tasks import _ids
from k3dasync.undo import NOTHING, Undo


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """Remove one thing if it carries the labels; there is no way back."""

    kind: str
    name: str
    labels: tuple[tuple[str, str], ...] = ()
    cluster: str = ""
    needs: frozenset[TaskId] = frozenset()

    @property
    def id(self) -> TaskId:
        return _ids.remove(self.kind, self.name)

    @property
    def does(self) -> str:
        return "remove"

    @property
    def undo(self) -> Undo:
        return NOTHING

    @property
    def what(self) -> str:
        """The thing, for people."""
        return (
            f"entries in {self.name}" if self.kind == "kubeconfig" else f"{self.kind} {self.name}"
        )

    async def run(self, runtime: Runtime) -> None:
        """Remove it; what is not there any more is removed."""
        labels = dict(self.labels)
        match self.kind:
            case "container":
                await runtime.remove_container(self.name, labels)
            case "network":
                await runtime.remove_network(self.name, labels)
            case "volume":
                await runtime.remove_volume(self.name, labels)
            case _:
                kubeconfig.remove_from(self.name, self.cluster)


def plan(
    cluster: str,
    *,
    containers: tuple[str, ...],
    networks: tuple[str, ...],
    volumes: tuple[str, ...],
    kubeconfigs: tuple[str, ...],
    labels: dict[str, str],
    network_labels: dict[str, str],
) -> Graph[Removal]:
    """Return the removals: containers at once, then what they used, the user's files beside."""

    def removals() -> Iterator[Removal]:
        of_cluster = tuple(labels.items())
        for name in containers:
            yield Removal(kind="container", name=name, labels=of_cluster)
        users = frozenset(_ids.remove("container", name) for name in containers)
        for name in networks:
            of_network = tuple(network_labels.items())
            yield Removal(kind="network", name=name, labels=of_network, needs=users)
        for name in volumes:
            yield Removal(kind="volume", name=name, labels=of_cluster, needs=users)
        for path in kubeconfigs:
            yield Removal(kind="kubeconfig", name=path, cluster=cluster)

    return Graph(removals())
