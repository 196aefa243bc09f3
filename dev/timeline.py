"""Draws the time line of runs from their events: `.venv/bin/python dev/timeline.py EVENTS.jsonl`.

A row is a resource (a node, the network, an image), a letter a kind of task. Where tasks of one row
overlap, the one that ends first is seen. Below stands the critical path: the tasks which, one after
the other, made the run as long as it was, each with the seconds it added.
"""
# ruff: noqa: INP001, T201 - a script, which prints

import math
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from k3dasync import events, journal
from k3dasync.errors import K3dAsyncError
from k3dasync.events import AnyEvent
from k3dasync.graph import TaskId

WIDEST = 100
TICKS = 6
FAILED, CANCELLED, UNDO = "!", "/", "~"


@dataclass(slots=True)
class Bar:
    """A stretch of time, and the letter it is drawn with."""

    row: str
    letter: str
    start: float
    end: float
    mark: str = ""
    is_undo: bool = False


@dataclass(slots=True)
class Line:
    """What is known of one run."""

    started: events.RunStarted
    last: AnyEvent
    plan: dict[TaskId, events.PlannedTask] = field(default_factory=dict)
    begun: dict[TaskId, float] = field(default_factory=dict)
    ended: dict[TaskId, float] = field(default_factory=dict)
    bars: list[Bar] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """The run's length, or as much of it as is told."""
        return max(self.last.t, 0.001)

    def letters(self) -> dict[str, str]:
        """Return a letter for each kind: the first of its name that no kind before has."""
        letters: dict[str, str] = {}
        for kind in dict.fromkeys(map(kind_of, self.plan)):
            taken = letters.values()
            letters[kind] = next((c for c in kind if c.isalpha() and c not in taken), "?")
        return letters

    def row_of(self, id: TaskId) -> str:
        """Return the resource without what all resources of the cluster have in common."""
        resource = id.partition(":")[2].rpartition("/")[2]
        return resource.removeprefix(f"k3d-{self.started.cluster}-")


def kind_of(id: TaskId) -> str:
    """Return the kind of a task; removals are told apart by what they remove."""
    return id.partition(":")[0].removeprefix("remove-")


def lines(told: Sequence[AnyEvent]) -> list[Line]:
    """Return the runs that *told* begins, in their order."""
    runs: dict[str, Line] = {}
    for event in told:
        if isinstance(event, events.RunStarted):
            runs[event.run] = Line(event, event)
        if event.run in runs:
            add(runs[event.run], event)
    for line in runs.values():
        for id, start in line.begun.items():  # cut by the death of the process
            line.bars.append(Bar(line.row_of(id), kind_of(id), start, line.last.t, "?"))
    return list(runs.values())


def add(line: Line, event: AnyEvent) -> None:
    """Take one event in."""
    line.last = event
    match event:
        case events.RunStarted() | events.RunReplanned():
            line.plan |= {task.id: task for task in event.plan}
        case events.TaskStarted() | events.UndoStarted():
            line.begun[event.task] = event.t
        case events.TaskDone() | events.TaskFailed() | events.TaskCancelled():
            mark = {"task_failed": FAILED, "task_cancelled": CANCELLED}.get(tag(event), "")
            line.ended[event.task] = event.t
            start = line.begun.pop(event.task)
            bar = Bar(line.row_of(event.task), kind_of(event.task), start, event.t, mark)
            line.bars.append(bar)
        case events.UndoDone() | events.UndoFailed():
            mark = FAILED if isinstance(event, events.UndoFailed) else ""
            start = line.begun.pop(event.task)
            bar = Bar(line.row_of(event.task), UNDO, start, event.t, mark, is_undo=True)
            line.bars.append(bar)
        case _:
            pass


def tag(event: AnyEvent) -> str:
    """Return the event's name."""
    return str(event.__struct_config__.tag)


def draw(line: Line, width: int) -> Iterator[str]:
    """Yield the text of one run, no line longer than *width*."""
    letters = line.letters()
    rows = list(dict.fromkeys(map(line.row_of, line.plan)))
    margin = min(max(map(len, rows), default=0), width // 3)
    room = width - margin - 1
    yield title(line)
    yield ""
    yield " " * (margin + 1) + axis(line.seconds, room)
    for row in rows:
        bars = [bar for bar in line.bars if bar.row == row]
        cells = [" "] * room
        # What ends first is drawn last, and undoing over everything.
        for bar in sorted(bars, key=lambda bar: (bar.is_undo, -bar.end)):
            paint(cells, bar, letters.get(bar.letter, bar.letter), line.seconds)
        yield f"{row[:margin]:<{margin}} {''.join(cells)}".rstrip()
    yield ""
    yield from legend(line, letters, width)
    yield from critical_path(line)


def title(line: Line) -> str:
    """Return what the run was, and how it ended."""
    match line.last:
        case events.RunDone():
            end = f"done in {line.last.seconds:.1f} s"
        case events.RunFailed():
            end = f"failed after {line.last.seconds:.1f} s ({line.last.code})"
        case _:
            end = f"no end told, {line.last.t:.1f} s so far"
    return f"{line.started.operation} {line.started.cluster}: {end}"


def axis(seconds: float, room: int) -> str:
    """Return a scale with round numbers."""
    raw = seconds / TICKS
    power = 10 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw)
    cells = [" "] * room
    for tick in range(TICKS + 1):
        text = f"|{tick * step:g}" + (" s" if tick == 0 else "")
        at = math.floor(tick * step / seconds * room)
        if at + len(text) <= room:
            cells[at : at + len(text)] = text
    return "".join(cells).rstrip()


def paint(cells: list[str], bar: Bar, letter: str, seconds: float) -> None:
    """Draw one bar, at least one cell long."""
    first = min(math.floor(bar.start / seconds * len(cells)), len(cells) - 1)
    last = max(math.ceil(bar.end / seconds * len(cells)), first + 1)
    cells[first:last] = letter * (last - first)
    if bar.mark:
        cells[last - 1] = bar.mark


def legend(line: Line, letters: dict[str, str], width: int) -> Iterator[str]:
    """Yield what the letters mean."""
    words = [f"{letter} {kind}" for kind, letter in letters.items()]
    marks = {bar.mark for bar in line.bars} | {UNDO for bar in line.bars if bar.is_undo}
    meaning = {FAILED: "failed", CANCELLED: "cut", UNDO: "undone", "?": "end not told"}
    words += [f"{mark} {text}" for mark, text in meaning.items() if mark in marks]
    text = ""
    for word in words:
        if text and len(text) + 3 + len(word) > width:
            yield text
            text = ""
        text += ("   " if text else "") + word
    yield text


def critical_path(line: Line) -> Iterator[str]:
    """Yield the tasks that made the run as long as it was, with what each added."""
    path = getattr(line.last, "critical_path", ())
    if not path:
        return
    yield ""
    yield "critical path:"
    before = 0.0
    for id in path:
        yield f"  {line.ended[id] - before:6.2f} s  {id}  ({line.plan[id].does})"[:WIDEST]
        before = line.ended[id]


def main() -> int:
    """Draw every run of a file of events, or of a run's own log."""
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        found = lines(journal.read(Path(sys.argv[1])))
    except K3dAsyncError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    width = min(shutil.get_terminal_size((WIDEST, 24)).columns, WIDEST)
    print("\n\n".join("\n".join(draw(line, width)) for line in found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
