"""Registries that a cluster which is there is to use, or to use no more."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from k3dasync.errors import EngineError
from k3dasync.graph import Graph, TaskId
from k3dasync.runtime import File
from k3dasync.tasks import _ids
from k3dasync.tasks._context import ClusterTask, Context
from k3dasync.tasks.registry import ConnectRegistry
from k3dasync.undo import NOTHING, Undo


@dataclass(frozen=True, slots=True, kw_only=True)
class TellNode:
    """Put files into a node, running or not, and then run commands in it if it runs.

    Each may be done twice. A command that ends with an error fails the task.
    """

    id: TaskId
    node: str
    does: str
    files: tuple[File, ...]
    commands: tuple[tuple[str, ...], ...] = ()
    needs: frozenset[TaskId] = frozenset()

    @property
    def undo(self) -> Undo:
        return NOTHING

    async def run(self, context: Context) -> None:
        if self.files:
            await context.runtime.write_files(self.node, self.files)
        for command in self.commands:
            ended = await context.runtime.execute(self.node, command)
            if ended.code:
                said = (ended.err or ended.out).decode(errors="replace").strip()
                words = f"it ended with {ended.code}" + (f": {said}" if said else "")
                raise EngineError("run", f"{command[0]} in {self.node}", words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """Take a registry out of the cluster's network."""

    registry: str
    network: str
    needs: frozenset[TaskId]

    @property
    def id(self) -> TaskId:
        return _ids.remove("connection", self.registry)

    @property
    def does(self) -> str:
        return f"disconnect from {self.network}"

    @property
    def undo(self) -> Undo:
        return NOTHING

    async def run(self, context: Context) -> None:
        await context.runtime.disconnect_network(self.registry, self.network, {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a node is to know: files, and commands for those that run."""

    node: str
    files: tuple[File, ...]
    commands: tuple[tuple[str, ...], ...] = ()


def _tells(told: Sequence[Told], does: str, needs: frozenset[TaskId]) -> Iterator[ClusterTask]:
    for one in told:
        yield TellNode(
            id=_ids.tell(one.node),
            node=one.node,
            does=does,
            files=one.files,
            commands=one.commands,
            needs=needs,
        )


def _hosting(cluster: str, told: Told | None, needs: frozenset[TaskId]) -> Iterator[ClusterTask]:
    if told is not None:
        yield TellNode(
            id=_ids.hosting(cluster),
            node=told.node,
            does="tell tools where to push images to",
            files=told.files,
            commands=told.commands,
            needs=needs,
        )


def connects(
    cluster: str, connections: Sequence[ConnectRegistry], told: Sequence[Told], hosting: Told | None
) -> Graph[ClusterTask]:
    """Return what lets a cluster use registries: reached first, known then."""
    reached = frozenset(one.id for one in connections)
    known = frozenset(_ids.tell(one.node) for one in told)
    return Graph(
        [
            *connections,
            *_tells(told, "tell it of registries", reached),
            *_hosting(cluster, hosting, reached | known),
        ]
    )


def disconnects(
    cluster: str,
    network: str,
    registries: Sequence[str],
    told: Sequence[Told],
    hosting: Told | None,
) -> Graph[ClusterTask]:
    """Return what lets a cluster use registries no more: forgotten first, out of reach then."""
    known = frozenset(_ids.tell(one.node) for one in told)
    last = known | ({_ids.hosting(cluster)} if hosting is not None else frozenset())
    return Graph(
        [
            *_tells(told, "let it forget registries", frozenset()),
            *_hosting(cluster, hosting, known),
            *(Leave(registry=one, network=network, needs=last) for one in registries),
        ]
    )
