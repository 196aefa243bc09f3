"""What a live display shows, folded from events: one row a resource, its tasks in order. Pure."""

from dataclasses import dataclass, field
from enum import StrEnum

from k3dasync import events
from k3dasync.events import AnyEvent, PlannedTask
from k3dasync.graph import TaskId
from k3dasync.sinks.names import Resource, needs, one_line, readable, resource
from k3dasync.sinks.plain import megabytes
from k3dasync.undo import NOTHING


class State(StrEnum):
    """Where a task is."""

    PLANNED = "planned"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CUT = "cut"
    UNDOING = "undoing"
    UNDONE = "undone"


_RUNS = {State.RUNNING, State.UNDOING}


@dataclass(slots=True)
class Cell:
    """One task of a row: since when it runs or how long it took, and what it says."""

    task: PlannedTask
    state: State = State.PLANNED
    since: float = 0.0
    took: float | None = None
    note: str = ""
    error: str = ""
    has_effect: bool = False

    def is_open(self, *, backward: bool) -> bool:
        """Say whether something is still to happen here, or should not have happened."""
        if self.state in _RUNS or self.state is State.FAILED:
            return True
        if backward:
            return self.has_effect and self.state is not State.UNDONE
        return self.state is State.PLANNED


@dataclass(slots=True)
class Row:
    """The tasks of one resource."""

    about: Resource
    cells: list[Cell] = field(default_factory=list)

    def current(self) -> Cell:
        """Return the task the row is at: what runs, what failed, what comes next, or the last."""
        for states in (_RUNS, {State.FAILED}, {State.PLANNED}):
            for cell in self.cells:
                if cell.state in states:
                    return cell
        begun = [cell for cell in self.cells if cell.took is not None]
        return (begun or self.cells)[-1]

    def is_active(self) -> bool:
        """Say whether a task runs here, or has failed."""
        state = self.current().state
        return state in _RUNS or state is State.FAILED

    def elapsed(self, now: float) -> float | None:
        """Return the seconds of the current task, so far or in all; None before it begins."""
        cell = self.current()
        return max(now - cell.since, 0.0) if cell.state in _RUNS else cell.took


@dataclass(slots=True)
class Board:
    """All rows of one run, in the order of planning.

    A display may meet a run in its middle, when what a killed process has left is taken back:
    then rows appear as their tasks are told of, and time counts from there.
    """

    title: str = ""
    cluster: str | None = None
    began: float = 0.0
    ended: str = ""
    is_backward: bool = False
    notes: list[str] = field(default_factory=list)
    cells: dict[TaskId, Cell] = field(default_factory=dict)
    rows: dict[tuple[str, str], Row] = field(default_factory=dict)

    def write(self, event: AnyEvent) -> None:
        """Take one event in."""
        if not self.title:
            self._begin(event)
        match event:
            case events.RunStarted():
                self._plan(event.plan)
            case events.RunReplanned():
                self.notes.append(f"planned again: {one_line(event.because)}")
                self._plan(event.plan)
            case events.Warned():
                self.notes.append(f"warning: {one_line(event.text)}")
            case events.RunDone():
                self.ended = f"done in {event.seconds:.1f} s"
            case events.RunFailed():
                how = "taken back" if event.code == events.ABANDONED else "failed"
                self.ended = f"{how} after {event.seconds - self.began:.1f} s"
            case _:
                self._tell(event)

    def _begin(self, event: AnyEvent) -> None:
        operation = "rollback"
        if isinstance(event, events.RunStarted):
            operation = event.operation
        else:
            self.began = event.t
        self.cluster = event.cluster
        self.title = f"{operation} {event.cluster or ''}".rstrip()

    def _plan(self, plan: tuple[PlannedTask, ...]) -> None:
        self.cells, self.rows, self.is_backward = {}, {}, False
        for task in plan:
            self._add(task)

    def _add(self, task: PlannedTask) -> Cell:
        about = resource(task.id, self.cluster)
        cell = self.cells[task.id] = Cell(task)
        self.rows.setdefault((about.kind, about.id), Row(about)).cells.append(cell)
        return cell

    def _tell(self, event: events.TaskEvent) -> None:
        cell = self.cells.get(event.task) or self._add(PlannedTask(id=event.task))
        _apply(cell, event)
        cell.note, cell.error = (readable(text, self.cluster) for text in (cell.note, cell.error))
        if isinstance(event, events.UndoStarted):
            self.is_backward = True
        elif isinstance(event, events.UndoDone):
            self._forget(self._row(cell))

    def _row(self, cell: Cell) -> Row:
        about = resource(cell.task.id, self.cluster)
        return self.rows[about.kind, about.id]

    def _forget(self, row: Row) -> None:
        """Mark what was done to a resource as undone, when that has gone."""
        for cell in row.cells:
            if cell.state is State.DONE:
                cell.state = State.UNDONE

    def count(self, *states: State) -> int:
        """Return how many tasks are in one of these states."""
        return sum(cell.state in states for cell in self.cells.values())

    def headline(self, now: float) -> str:
        """Return what the run is, how far it is, and for how long."""
        if self.ended:
            return f"{self.title}: {self.ended}"
        seconds = f"{max(now - self.began, 0.0):.1f} s"
        if not self.is_backward:
            return f"{self.title}: {self.count(State.DONE)} of {len(self.cells)} tasks, {seconds}"
        made = [cell.state for cell in self.cells.values() if cell.has_effect]
        undone = made.count(State.UNDONE)
        return f"{self.title}: taking back, {undone} of {len(made)} undone, {seconds}"

    def is_open(self, row: Row) -> bool:
        """Say whether something is still to happen in a row, or should not have happened."""
        return any(cell.is_open(backward=self.is_backward) for cell in row.cells)

    def says(self, row: Row) -> str:
        """Return what a row is doing just now, what it waits for, or what went wrong."""
        cell = row.current()
        if cell.state in _RUNS:
            return cell.note or cell.task.does
        if cell.state is State.PLANNED:
            return self._needs(cell) or cell.task.does
        if cell.error:
            return cell.error
        if self.is_backward and self.is_open(row):
            return "to be removed"
        return cell.note

    def _needs(self, cell: Cell) -> str:
        unmet = [
            id
            for id in cell.task.needs
            if (other := self.cells.get(id)) is not None and other.state is not State.DONE
        ]
        return f"needs {needs(unmet, self.cluster)}" if unmet else ""


def _apply(cell: Cell, event: events.TaskEvent) -> None:
    match event:
        case events.TaskStarted():
            cell.state, cell.since = State.RUNNING, event.t
            cell.has_effect = cell.task.undo != NOTHING
        case events.TaskProgress():
            done = event.done
            shown = megabytes(done, event.total) if done is not None else ""
            cell.note = f"{event.text} {shown}".strip()
        case events.TaskWaiting():
            # A reminder, which comes after a while without news, must not hide how far it was.
            if not (event.since and cell.note):
                cell.note = f"waits for {event.on}"
        case events.TaskRetry():
            cell.note = f"tries again: {event.error}"
        case events.TaskDone():
            cell.state, cell.took, cell.note = State.DONE, event.ran, ""
        case events.TaskFailed():
            cell.state, cell.took, cell.error = State.FAILED, event.ran, event.error
        case events.TaskCancelled():
            cell.state, cell.took, cell.note = State.CUT, event.ran, "stopped"
        case events.TaskSkipped():
            cell.state, cell.note = State.CUT, "not begun"
        case events.UndoStarted():
            cell.state, cell.since, cell.note = State.UNDOING, event.t, "removing"
            cell.has_effect = True
        case events.UndoDone():
            cell.state, cell.took, cell.note = State.UNDONE, event.seconds, ""
        case events.UndoFailed():
            cell.state, cell.took, cell.error = State.FAILED, event.seconds, event.error
        case _:
            pass
