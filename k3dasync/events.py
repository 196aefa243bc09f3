"""Everything a run can say, as one union of frozen values; writing and reading them as JSON lines.

The events are the progress display, the machine output and the journal in one. Pure: the clock
and the sinks come in from outside.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import msgspec

from k3dasync.errors import JournalError
from k3dasync.graph import TaskId
from k3dasync.undo import NOTHING, Undo

SCHEMA = "k3dasync.events/1.3"
"""Raised in its minor part when something is added, in its major part when a meaning changes."""


ABANDONED = "ABANDONED"
"""The code of a run that was killed: its log is ended by whoever takes back what it made."""


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", omit_defaults=False):
    """What every line has.

    `seq` has no gaps; `t` is seconds since the run began, monotonic; `cluster` is null on the
    lines of a run over several clusters.
    """

    seq: int
    t: float
    run: str
    cluster: str | None


class PlannedTask(msgspec.Struct, frozen=True, kw_only=True):
    """One task of a plan: what it waits for, what it does, what would take it back."""

    id: TaskId
    needs: tuple[TaskId, ...] = ()
    does: str = ""
    undo: Undo = NOTHING


class Engine(msgspec.Struct, frozen=True, kw_only=True):
    """Which engine a run works on: `id` is the engine's own, `endpoint` how it was reached."""

    id: str
    endpoint: str
    version: str = ""


class RunStarted(Event, frozen=True, kw_only=True, tag="run_started"):
    """First line: schema, wall-clock time (RFC 3339, UTC), versions, engine and the whole plan."""

    schema: str
    started_at: str
    operation: str
    version: str
    k3s: str
    engine: Engine
    plan: tuple[PlannedTask, ...]


class RunReplanned(Event, frozen=True, kw_only=True, tag="run_replanned"):
    """A claim was lost, what the old plan made is undone, and this is the new plan."""

    because: str
    attempt: int
    plan: tuple[PlannedTask, ...]


class Warned(Event, frozen=True, kw_only=True, tag="warning"):
    """Something the user should know that stops nothing."""

    text: str


class TaskEvent(Event, frozen=True, kw_only=True):
    """Something about one task."""

    task: TaskId


class TaskStarted(TaskEvent, frozen=True, kw_only=True, tag="task_started"):
    """The task begins; on disk before it acts. `waited`: seconds it waited for its needs."""

    waited: float


class TaskProgress(TaskEvent, frozen=True, kw_only=True, tag="task_progress"):
    """How far it is; `done` and `total` in `unit`, null where unknown."""

    text: str
    done: int | None = None
    total: int | None = None
    unit: str | None = None


class TaskWaiting(TaskEvent, frozen=True, kw_only=True, tag="task_waiting"):
    """Nothing has changed for a while: what is waited for, for how many seconds."""

    on: str
    since: float


class TaskRetry(TaskEvent, frozen=True, kw_only=True, tag="task_retry"):
    """A passing refusal; the task tries again after `delay` seconds."""

    attempt: int
    delay: float
    error: str


class TaskEnd(TaskEvent, frozen=True, kw_only=True):
    """Seconds: `waited` for needs, `queued` for limits, `ran` for the rest."""

    waited: float
    queued: float
    ran: float


class TaskDone(TaskEnd, frozen=True, kw_only=True, tag="task_done"):
    """The task did what it does."""


class TaskFailed(TaskEnd, frozen=True, kw_only=True, tag="task_failed"):
    """The task could not; `code` is from the stable list in the documentation.

    `hint`: what to do, in one line; `log`: the last useful lines of a node's, the fatal one first.
    """

    code: str
    error: str
    hint: str | None = None
    log: tuple[str, ...] = ()


class TaskCancelled(TaskEnd, frozen=True, kw_only=True, tag="task_cancelled"):
    """The task was cut because another one failed, time was up, or the user said stop."""


class TaskSkipped(TaskEvent, frozen=True, kw_only=True, tag="task_skipped"):
    """The task never began."""

    because: str


class UndoStarted(TaskEvent, frozen=True, kw_only=True, tag="undo_started"):
    """What the task made is being removed."""


class UndoDone(TaskEvent, frozen=True, kw_only=True, tag="undo_done"):
    """Nothing of the task is left."""

    seconds: float


class UndoFailed(TaskEvent, frozen=True, kw_only=True, tag="undo_failed"):
    """Something of the task is still there."""

    seconds: float
    error: str


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """What a created cluster can be used by; `registry`: where images for it are pushed to."""

    api: str
    context: str
    kubeconfig: str | None
    nodes: tuple[str, ...]
    registry: str | None = None


class RunDone(Event, frozen=True, kw_only=True, tag="run_done"):
    """Last line of a run that did what was asked."""

    seconds: float
    critical_path: tuple[TaskId, ...] = ()
    outputs: Outputs | None = None
    left: tuple[str, ...] = ()


class RunFailed(Event, frozen=True, kw_only=True, tag="run_failed"):
    """Last line of a run that did not; `left` names what it could not take back.

    `rolled_back` is false if the user wanted everything kept; `hint` and `log` as in `task_failed`.
    """

    seconds: float
    code: str
    cause: str
    rolled_back: bool
    critical_path: tuple[TaskId, ...] = ()
    left: tuple[str, ...] = ()
    hint: str | None = None
    log: tuple[str, ...] = ()


TaskEnded = TaskDone | TaskFailed | TaskCancelled
AnyEvent = (
    RunStarted
    | RunReplanned
    | Warned
    | TaskStarted
    | TaskProgress
    | TaskWaiting
    | TaskRetry
    | TaskDone
    | TaskFailed
    | TaskCancelled
    | TaskSkipped
    | UndoStarted
    | UndoDone
    | UndoFailed
    | RunDone
    | RunFailed
)


INTENTIONS = (RunStarted, RunReplanned, TaskStarted)
"""What an act follows: it must be in the log before that."""


class EventSink(Protocol):
    """Someone who is told. `write` must not raise for reasons of display and must not block."""

    def write(self, event: AnyEvent) -> None: ...


EventT = TypeVar("EventT", bound=Event)


class Emitter:
    """Numbers, stamps and hands out events: to the journal first, then to everybody else.

    The journal may refuse what is about to be done, and then it must not be done; the other sinks
    are never allowed to stop a run.
    """

    def __init__(
        self,
        *,
        run: str,
        cluster: str | None,
        clock: Callable[[], float],
        journal: EventSink | None,
        sinks: Sequence[EventSink] = (),
        after: AnyEvent | None = None,
    ) -> None:
        """Begin a run's log, or go on with one whose last line is *after*."""
        self.run = run
        self._cluster = cluster
        self._clock = clock
        self._start = clock() - (after.t if after else 0.0)
        self._journal = journal
        self._sinks = tuple(sinks)
        self._seq = after.seq + 1 if after else 0
        self.last_change = 0.0

    def now(self) -> float:
        """Return seconds since the run began."""
        return self._clock() - self._start

    def _log(self, event: Event) -> None:
        if self._journal is None:
            return
        try:
            self._journal.write(event)  # type: ignore[arg-type]  # it is one of the union
        except JournalError:
            if isinstance(event, INTENTIONS):
                raise
            # What has been done cannot be refused any more, and whoever takes it back must not be
            # stopped: a log that ends too early only makes somebody undo it once more.

    def emit(self, kind: type[EventT], /, **facts: object) -> EventT:
        """Build one event of that *kind*, write it to journal and sinks, and return it."""
        t = round(self.now(), 6)
        event = kind(seq=self._seq, t=t, run=self.run, cluster=self._cluster, **facts)
        self._seq += 1
        if not isinstance(event, TaskWaiting):
            self.last_change = t
        self._log(event)
        for sink in self._sinks:
            sink.write(event)  # type: ignore[arg-type]  # same
        return event


_encoder = msgspec.json.Encoder(decimal_format="number")
_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)
_kind_only = msgspec.json.Decoder(dict[str, object])


def encode(event: AnyEvent) -> bytes:
    """Return the event as one JSON line."""
    return _encoder.encode(event) + b"\n"


def decode(line: bytes) -> AnyEvent | None:
    """Return the event of one line, or None for a kind that this version does not know.

    Raises msgspec.DecodeError if the line is no event at all (a torn last line, say).
    """
    try:
        return _decoder.decode(line)
    except msgspec.ValidationError:
        known = _kind_only.decode(line).get("event")
        if isinstance(known, str) and known not in _KINDS:
            return None
        raise


_KINDS = frozenset(str(kind.__struct_config__.tag) for kind in AnyEvent.__args__)


def plan_of(events: Sequence[AnyEvent]) -> tuple[PlannedTask, ...]:
    """Return the plan in force at the end of *events*."""
    for event in reversed(events):
        if isinstance(event, RunStarted | RunReplanned):
            return event.plan
    return ()


def to_undo(events: Sequence[AnyEvent]) -> dict[TaskId, PlannedTask]:
    """Return the tasks whose effect may still be there.

    A task counts from the moment its start was written, whether or not it was seen to end,
    until its undo was seen to end: a call that was cut has often taken effect.
    """
    pending: dict[TaskId, PlannedTask] = {}
    plan: dict[TaskId, PlannedTask] = {}
    for event in events:
        match event:
            case RunStarted() | RunReplanned():
                plan = {task.id: task for task in event.plan}
            case TaskStarted() if event.task in plan and plan[event.task].undo != NOTHING:
                pending[event.task] = plan[event.task]
            case UndoDone():
                pending.pop(event.task, None)
            case _:
                pass
    return pending


def is_closed(events: Sequence[AnyEvent]) -> bool:
    """Say whether the run ended by itself and left nothing behind."""
    match events[-1] if events else None:
        case RunDone() | RunFailed(left=()):
            return True
        case _:
            return False


def critical_path(plan: Sequence[PlannedTask], ends: dict[TaskId, float]) -> tuple[TaskId, ...]:
    """Return the chain of tasks that made the run as long as it was, first to last.

    *ends* are the seconds at which tasks ended; a task that never ended is on no path.
    """
    needs = {task.id: task.needs for task in plan}
    path: list[TaskId] = []
    candidates: Sequence[TaskId] = tuple(ends)
    while candidates:
        last = max(candidates, key=lambda id: ends[id])
        path.append(last)
        candidates = [need for need in needs.get(last, ()) if need in ends]
    return tuple(reversed(path))
