"""Removing a cluster that was complete, whoever made it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from k3dasync import k3d_files, kubeconfig
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
    network: str = ""
    needs: frozenset[TaskId] = frozenset()
    keeps_volumes: bool = False

    @property
    def id(self) -> TaskId:
        return _ids.remove(self.kind, self.name)

    @property
    def does(self) -> str:
        return f"disconnect from {self.network}" if self.kind == "connection" else "remove"

    @property
    def undo(self) -> Undo:
        return NOTHING

    @property
    def what(self) -> str:
        """The thing, for people."""
        match self.kind:
            case "kubeconfig":
                return f"entries in {self.name}"
            case "connection":
                return f"connection of {self.name} to network {self.network}"
            case _:
                return f"{self.kind} {self.name}"

    async def run(self, runtime: Runtime) -> None:
        """Remove it; what is not there any more is removed."""
        labels = dict(self.labels)
        match self.kind:
            case "container":
                await runtime.remove_container(self.name, labels, keeps_volumes=self.keeps_volumes)
            case "connection":
                await runtime.disconnect_network(self.name, self.network, labels)
            case "network":
                await runtime.remove_network(self.name, labels)
            case "volume":
                await runtime.remove_volume(self.name, labels)
            case "folder":
                k3d_files.remove(Path(self.name))
            case _:
                kubeconfig.remove_from(self.name, self.cluster)


def plan(
    cluster: str,
    *,
    containers: Mapping[str, Mapping[str, str]],
    connections: tuple[tuple[str, str], ...] = (),
    networks: tuple[str, ...],
    volumes: tuple[str, ...],
    kubeconfigs: tuple[str, ...],
    labels: Mapping[str, str],
    network_labels: Mapping[str, str],
    folders: tuple[str, ...] = (),
) -> Graph[Removal]:
    """Return the removals: containers at once, then what they used, the user's files beside.

    *containers* are given with the labels that they must carry to be removed; *connections* are
    containers that stay, each with a network that goes.
    """

    def removals() -> Iterator[Removal]:
        of_cluster = tuple(labels.items())
        for name, carried in containers.items():
            yield Removal(kind="container", name=name, labels=tuple(carried.items()))
        for name, network in connections:
            yield Removal(kind="connection", name=name, network=network)
        users = frozenset(_ids.remove("container", name) for name in containers)
        members = users | {_ids.remove("connection", name) for name, _ in connections}
        for name in networks:
            of_network = tuple(network_labels.items())
            yield Removal(kind="network", name=name, labels=of_network, needs=members)
        for name in volumes:
            yield Removal(kind="volume", name=name, labels=of_cluster, needs=users)
        for path in kubeconfigs:
            yield Removal(kind="kubeconfig", name=path, cluster=cluster)
        for path in folders:
            yield Removal(kind="folder", name=path, needs=users)

    return Graph(removals())
