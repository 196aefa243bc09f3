"""The laws of the log, checked on the events of one run."""

from collections.abc import Sequence

from k3dasync import events
from k3dasync.events import AnyEvent, PlannedTask, to_undo
from k3dasync.graph import Graph, TaskId


class Keeper:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.events: list[AnyEvent] = []

    def write(self, event: AnyEvent) -> None:
        self.events.append(event)

    def of(self, run: str) -> list[AnyEvent]:
        return [event for event in self.events if event.run == run]


def segments(log: Sequence[AnyEvent]) -> list[list[AnyEvent]]:
    """Split a log at its plans."""
    found: list[list[AnyEvent]] = []
    for event in log:
        if isinstance(event, events.RunStarted | events.RunReplanned):
            found.append([])
        found[-1].append(event)
    return found


def assert_laws(log: Sequence[AnyEvent], *, is_continued: bool = False) -> None:
    """Check a run's whole log; *is_continued* allows a rollback by a later process."""
    assert list(range(len(log))) == [event.seq for event in log], "seq has a gap"
    times = [event.t for event in log]
    assert times == sorted(times), "time goes backward"
    assert isinstance(log[0], events.RunStarted), "the first line says what the run is"
    ends = [event for event in log if isinstance(event, events.RunDone | events.RunFailed)]
    assert isinstance(log[-1], events.RunDone | events.RunFailed), "the last line is the end"
    assert is_continued or len(ends) == 1, "a run ends once"
    for segment in segments(log):
        _assert_segment(segment, is_cut=is_continued)
    _assert_undo_order(log)


def _assert_segment(segment: Sequence[AnyEvent], *, is_cut: bool) -> None:
    first = segment[0]
    assert isinstance(first, events.RunStarted | events.RunReplanned)
    plan = {task.id: task for task in first.plan}
    begun: set[TaskId] = set()
    done: set[TaskId] = set()
    ended: set[TaskId] = set()
    is_undoing = False
    for event in segment:
        match event:
            case events.TaskStarted():
                assert not is_undoing, f"{event.task} started while undoing"
                assert event.task not in begun, f"{event.task} started twice"
                assert set(plan[event.task].needs) <= done, f"{event.task} did not wait"
                begun.add(event.task)
            case events.TaskDone() | events.TaskFailed() | events.TaskCancelled():
                assert not is_undoing, f"{event.task} ended while undoing"
                assert event.task in begun - ended, f"{event.task} ended wrongly"
                assert min(event.waited, event.queued, event.ran) >= 0
                ended.add(event.task)
                if isinstance(event, events.TaskDone):
                    done.add(event.task)
            case events.TaskSkipped():
                assert event.task not in begun | ended, f"{event.task} is not skipped"
                ended.add(event.task)
            case events.UndoStarted():
                is_undoing = True
            case _:
                pass
    assert is_cut or set(plan) == ended, "every planned task has exactly one end"


def _assert_undo_order(log: Sequence[AnyEvent]) -> None:
    """Check that what a thing is used by has gone before the thing goes."""
    plan: tuple[PlannedTask, ...] = ()
    undone: set[TaskId] = set()
    for index, event in enumerate(log):
        match event:
            case events.RunStarted() | events.RunReplanned():
                plan, undone = event.plan, set()
            case events.UndoStarted():
                pending = set(to_undo(log[:index]))
                graph = Graph(map(_Member, plan)).only(pending | {event.task}).reversed()
                missing = graph.needs(event.task) - undone
                assert not missing, f"{event.task} went before {missing}"
            case events.UndoDone():
                undone.add(event.task)
            case _:
                pass


class _Member:
    def __init__(self, task: PlannedTask) -> None:
        self.id, self.needs = task.id, frozenset(task.needs)
