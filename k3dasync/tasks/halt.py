"""Nodes that are to be still: stopped, or frozen where they are."""

from collections.abc import Iterable
from dataclasses import dataclass

from k3dasync.cluster import Node, Role
from k3dasync.entrypoint import WITHOUT_DRAIN
from k3dasync.errors import NotFound
from k3dasync.graph import Graph, TaskId
from k3dasync.runtime import File, Runtime
from k3dasync.tasks import _ids
from k3dasync.undo import NOTHING, Undo

USUAL_GRACE = 10
"""Seconds that an engine gives a container to end by itself."""
KILL_SECONDS = 1
"""What a kill and the engine's work after it take at most, here 0.4 s for fourteen at once."""


def grace_within(seconds: float | None) -> int | None:
    """Return the grace of a stop that is to be over after so many seconds; None: the usual one."""
    if seconds is None or seconds >= USUAL_GRACE + KILL_SECONDS:
        return None
    return max(int(seconds) - KILL_SECONDS, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Stop a node's container. It *is drained* first, by its entrypoint, if it is a server.

    With all servers of a cluster there is nowhere to drain to, and soon nobody to ask.
    *grace*: after how many seconds it is killed, None: the engine's usual ones.
    """

    node: Node
    is_drained: bool
    grace: int | None = None
    needs: frozenset[TaskId] = frozenset()

    @property
    def id(self) -> TaskId:
        return _ids.stop(self.node.name)

    @property
    def does(self) -> str:
        return "drain and stop" if self.is_drained and self.node.role is Role.SERVER else "stop"

    @property
    def undo(self) -> Undo:
        return NOTHING

    @property
    def left(self) -> str:
        """What is so without it, for people."""
        return f"{self.node.name} still runs"

    async def run(self, runtime: Runtime) -> None:
        """Stop it; what is not there any more does not run."""
        try:
            if self.node.role is Role.SERVER and not self.is_drained:
                await runtime.write_files(self.node.name, [File(path=WITHOUT_DRAIN, content=b"")])
            await runtime.stop_container(self.node.name, grace=self.grace)
        except NotFound:
            return


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Freeze a node's container: it keeps its memory and its connections, and takes no CPU."""

    node: Node
    needs: frozenset[TaskId] = frozenset()

    @property
    def id(self) -> TaskId:
        return _ids.pause(self.node.name)

    @property
    def does(self) -> str:
        return "pause"

    @property
    def undo(self) -> Undo:
        return NOTHING

    @property
    def left(self) -> str:
        """What is so without it, for people."""
        return f"{self.node.name} still runs"

    async def run(self, runtime: Runtime) -> None:
        """Freeze it."""
        await runtime.pause_container(self.node.name)


Halt = Stop | Pause


def stops(nodes: Iterable[Node], *, is_drained: bool, grace: int | None = None) -> Graph[Halt]:
    """Return the stops of these nodes, all at once."""
    return Graph(Stop(node=node, is_drained=is_drained, grace=grace) for node in nodes)


def pauses(nodes: Iterable[Node]) -> Graph[Halt]:
    """Return the pauses of these nodes, all at once."""
    return Graph(Pause(node=node) for node in nodes)
