"""Tasks, their order, and the text of both. Pure: no I/O, no event loop, no containers."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Generic, NewType, Protocol, Self, TypeVar

TaskId = NewType("TaskId", str)
"""Kind and resource, `network:k3d-dev`: what the user sees and what the log records."""


class Identified(Protocol):
    """What a graph asks of its members: who they are and what they wait for."""

    @property
    def id(self) -> TaskId: ...
    @property
    def needs(self) -> frozenset[TaskId]: ...


class GraphError(Exception):
    """The tasks do not form a graph: a programming error, never the user's."""


MemberT = TypeVar("MemberT", bound=Identified)


class Graph(Generic[MemberT]):
    """An immutable, acyclic set of tasks in the order in which they were planned.

    Raises GraphError if an id appears twice, if a task needs one that is not there, or if the
    needs form a circle.
    """

    __slots__ = ("_members", "_needs", "_urgency")

    def __init__(
        self,
        members: Iterable[MemberT],
        needs: Mapping[TaskId, Collection[TaskId]] | None = None,
    ) -> None:
        self._members: dict[TaskId, MemberT] = {}
        for member in members:
            if member.id in self._members:
                raise GraphError(f"{member.id} is planned twice")
            self._members[member.id] = member
        self._needs: dict[TaskId, frozenset[TaskId]] = {
            id: frozenset(member.needs if needs is None else needs[id])
            for id, member in self._members.items()
        }
        self._urgency: dict[TaskId, int] | None = None
        self._check()

    def _check(self) -> None:
        for id, needs in self._needs.items():
            for need in sorted(needs):
                if need not in self._members:
                    raise GraphError(f"{id} needs {need}, which is not planned")
        try:
            TopologicalSorter(self._needs).prepare()
        except CycleError as error:
            raise GraphError(f"circle: {' -> '.join(_canonical(error.args[1]))}") from None

    def __getitem__(self, id: TaskId) -> MemberT:
        return self._members[id]

    def __contains__(self, id: object) -> bool:
        return id in self._members

    def __iter__(self) -> Iterator[MemberT]:
        return iter(self._members.values())

    def __len__(self) -> int:
        return len(self._members)

    @property
    def ids(self) -> tuple[TaskId, ...]:
        """All ids, in the order of planning."""
        return tuple(self._members)

    def needs(self, id: TaskId) -> frozenset[TaskId]:
        """Return what *id* waits for in this graph (its users, in a reversed one)."""
        return self._needs[id]

    def reversed(self) -> Self:
        """Return the same tasks with every arrow turned round, the last planned first."""
        users: dict[TaskId, set[TaskId]] = {id: set() for id in self._members}
        for id, needs in self._needs.items():
            for need in needs:
                users[need].add(id)
        return type(self)(reversed(self._members.values()), users)

    def only(self, ids: Collection[TaskId]) -> Self:
        """Return the sub-graph of *ids*; an order that ran through a dropped task is kept."""
        wanted = frozenset(ids)
        kept = [member for id, member in self._members.items() if id in wanted]
        return type(self)(kept, {member.id: self._nearest(member.id, wanted) for member in kept})

    def _nearest(self, id: TaskId, wanted: frozenset[TaskId]) -> set[TaskId]:
        found: set[TaskId] = set()
        seen: set[TaskId] = set()
        stack = list(self._needs[id])
        while stack:
            need = stack.pop()
            if need in seen:
                continue
            seen.add(need)
            if need in wanted:
                found.add(need)
            else:
                stack.extend(self._needs[need])
        return found

    @property
    def urgency(self) -> Mapping[TaskId, int]:
        """For each task, how many tasks wait for it one after the other."""
        if self._urgency is None:
            self._urgency = self._chains()
        return self._urgency

    def _chains(self) -> dict[TaskId, int]:
        found: dict[TaskId, int] = dict.fromkeys(self._members, 0)
        # Users before what they need: a task's number is complete when it is passed on.
        for id in reversed(tuple(TopologicalSorter(self._needs).static_order())):
            for need in self._needs[id]:
                found[need] = max(found[need], found[id] + 1)
        return found

    def sorter(self) -> TopologicalSorter[TaskId]:
        """Return a prepared sorter that hands out ids as their needs are done."""
        sorter = TopologicalSorter(self._needs)
        sorter.prepare()
        return sorter

    def text(self, describe: Callable[[MemberT], str] | None = None) -> str:
        """Return one line a task: its id, what *describe* says of it, and what it waits for."""
        position = {id: index for index, id in enumerate(self._members)}
        lines = []
        for id, member in self._members.items():
            line = f"{id}" + (f"  {describe(member)}" if describe else "")
            needs = sorted(self._needs[id], key=position.__getitem__)
            lines.append(line + (f"  <- {', '.join(needs)}" if needs else ""))
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.text()


def _canonical(circle: list[TaskId]) -> list[TaskId]:
    """Rotate a circle (first and last are the same) to its smallest id: stable messages."""
    ring = circle[:-1]
    start = ring.index(min(ring))
    turned = ring[start:] + ring[:start]
    return [*turned, turned[0]]
