"""What a live display shows, folded from events: one row a resource, its tasks in order. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from k3dasync import events
from k3dasync.events import AnyEvent, PlannedTask
from k3dasync.graph import TaskId
from k3dasync.sinks.plain import megabytes


class State(StrEnum):
    """Where a task is."""

    PLANNED = "planned"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CUT = "cut"
    UNDOING = "undoing"
    UNDONE = "undone"


@dataclass(slots=True)
class Cell:
    """One task of a row."""

    task: PlannedTask
    state: State = State.PLANNED
    since: float = 0.0
    took: float = 0.0
    note: str = ""

    @property
    def kind(self) -> str:
        """The kind of the task: `start` of `start:k3d-dev-agent-0`."""
        return self.task.id.partition(":")[0]


@dataclass(slots=True)
class Board:
    """All rows of one run, by the name of the resource."""

    title: str = ""
    began: float = 0.0
    now: float = 0.0
    ended: str = ""
    notes: list[str] = field(default_factory=list)
    cells: dict[TaskId, Cell] = field(default_factory=dict)

    def write(self, event: AnyEvent) -> None:
        """Take one event in."""
        self.now = event.t
        match event:
            case events.RunStarted():
                self.title = f"{event.operation} {event.cluster}"
                self._plan(event.plan)
            case events.RunReplanned():
                self.notes.append(f"planned again: {event.because}")
                self._plan(event.plan)
            case events.Warned():
                self.notes.append(event.text)
            case events.RunDone():
                self.ended = f"done in {event.seconds:.1f} s"
            case events.RunFailed():
                self.ended = f"failed after {event.seconds:.1f} s"
            case _:
                cell = self.cells.get(event.task)
                if cell is not None:
                    _apply(cell, event)

    def _plan(self, plan: tuple[PlannedTask, ...]) -> None:
        self.cells = {task.id: Cell(task) for task in plan}

    def rows(self) -> Iterator[tuple[str, list[Cell]]]:
        """Yield name and tasks of each row, in the order of planning."""
        rows: dict[str, list[Cell]] = {}
        for id, cell in tuple(self.cells.items()):
            rows.setdefault(id.partition(":")[2], []).append(cell)
        yield from rows.items()

    def count(self, *states: State) -> int:
        """Return how many tasks are in one of these states."""
        return sum(cell.state in states for cell in tuple(self.cells.values()))

    def unmet(self, cell: Cell) -> list[TaskId]:
        """Return the needs that keep a planned task from starting."""
        return [
            need
            for need in cell.task.needs
            if (other := self.cells.get(need)) is not None and other.state is not State.DONE
        ]

    def says(self, row: list[Cell], now: float) -> str:
        """Return what a row is doing just now, or what it waits for."""
        for cell in row:
            if cell.state in {State.RUNNING, State.UNDOING}:
                what = cell.note or cell.task.does
                return f"{what} ({now - cell.since:.1f} s)"
            if cell.state is State.FAILED:
                return cell.note
        waiting = next((cell for cell in row if cell.state is State.PLANNED), None)
        if waiting is not None:
            return f"needs {', '.join(self.unmet(waiting)[:2])}"
        return ""


def _apply(cell: Cell, event: events.TaskEvent) -> None:
    match event:
        case events.TaskStarted():
            cell.state, cell.since = State.RUNNING, event.t
        case events.TaskProgress():
            done = event.done
            shown = megabytes(done, event.total) if done is not None else ""
            cell.note = f"{event.text} {shown}".strip()
        case events.TaskWaiting():
            cell.note = f"waits for {event.on}"
        case events.TaskRetry():
            cell.note = f"tries again: {event.error}"
        case events.TaskDone():
            cell.state, cell.took, cell.note = State.DONE, event.ran, ""
        case events.TaskFailed():
            cell.state, cell.took, cell.note = State.FAILED, event.ran, event.error
        case events.TaskCancelled() | events.TaskSkipped():
            cell.state = State.CUT
        case events.UndoStarted():
            cell.state, cell.since, cell.note = State.UNDOING, event.t, "removing"
        case events.UndoDone():
            cell.state = State.UNDONE
        case events.UndoFailed():
            cell.state, cell.note = State.FAILED, event.error
        case _:
            pass
