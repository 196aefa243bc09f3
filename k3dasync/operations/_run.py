"""One run: its identity, its log, its listeners, and the wish to stop it."""

import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import anyio

from k3dasync import __version__, events, journal
from k3dasync.events import AnyEvent, Emitter, EventSink, PlannedTask
from k3dasync.graph import TaskId
from k3dasync.journal import Journal
from k3dasync.runtime import EngineFacts


def new_run_id() -> str:
    """Return an id that sorts by time and is unlike every other: `20261122-181500-4f2a1c`."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


class Stop:
    """Someone's wish that an operation stop: it cancels what goes forward, never a rollback."""

    def __init__(self) -> None:
        self._scopes: set[anyio.CancelScope] = set()
        self.because = ""

    def request(self, because: str) -> None:
        """Ask for the stop; the first reason counts."""
        self.because = self.because or because
        for scope in self._scopes:
            scope.cancel()

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Run what may be stopped: at once if that has been asked for before."""
        with anyio.CancelScope() as scope:
            self._scopes.add(scope)
            if self.because:
                scope.cancel()
            try:
                yield
            finally:
                self._scopes.discard(scope)


@dataclass(slots=True)
class _Memory:
    """Keeps what a rollback and a report need; byte counts are not among it."""

    events: list[AnyEvent] = field(default_factory=list)

    def write(self, event: AnyEvent) -> None:
        if not isinstance(event, events.TaskProgress | events.TaskWaiting):
            self.events.append(event)


class Run:
    """A run whose log is open: emits its first and last lines, and remembers the rest."""

    def __init__(
        self,
        *,
        id: str,
        operation: str,
        cluster: str | None,
        facts: EngineFacts,
        k3s: str,
        sinks: Sequence[EventSink],
        is_rehearsal: bool = False,
        place: str | None = None,
    ) -> None:
        """Prepare a run about *cluster*; *place* is where its log is, if that is elsewhere."""
        self.id, self.cluster = id, cluster
        self._operation, self._facts, self._k3s = operation, facts, k3s
        self._memory = _Memory()
        self._journal = None if is_rehearsal else Journal.for_run(place or cluster, id)
        self._has_started = False
        self.emitter = Emitter(
            run=id,
            cluster=cluster,
            clock=anyio.current_time,
            journal=self._journal,
            sinks=(self._memory, *sinks),
        )

    def start(self, plan: tuple[PlannedTask, ...]) -> None:
        """Write the first line."""
        self._has_started = True
        self.emitter.emit(
            events.RunStarted,
            schema=events.SCHEMA,
            started_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            operation=self._operation,
            version=__version__,
            k3s=self._k3s,
            engine=events.Engine(
                id=self._facts.id, endpoint=self._facts.endpoint, version=self._facts.version
            ),
            plan=plan,
        )

    def replan(self, plan: tuple[PlannedTask, ...], *, because: str, attempt: int) -> None:
        """Write the first line of another try."""
        self.emitter.emit(events.RunReplanned, because=because, attempt=attempt, plan=plan)

    @property
    def has_started(self) -> bool:
        """Whether the first line is written: without it there is nothing to end."""
        return self._has_started

    @property
    def plan(self) -> tuple[PlannedTask, ...]:
        """The plan in force."""
        return events.plan_of(self._memory.events)

    @property
    def pending(self) -> dict[TaskId, PlannedTask]:
        """What may have to be undone."""
        return events.to_undo(self._memory.events)

    @property
    def ends(self) -> dict[TaskId, AnyEvent]:
        """How each task of the plan in force has ended so far."""
        found: dict[TaskId, AnyEvent] = {}
        for event in self._memory.events:
            match event:
                case events.RunStarted() | events.RunReplanned():
                    found = {}
                case (
                    events.TaskDone()
                    | events.TaskFailed()
                    | events.TaskCancelled()
                    | events.TaskSkipped()
                ):
                    found[event.task] = event
                case _:
                    pass
        return found

    @property
    def critical_path(self) -> tuple[TaskId, ...]:
        """The chain of tasks that made the run as long as it is."""
        ends: dict[TaskId, float] = {}
        for event in self._memory.events:
            if isinstance(event, events.RunReplanned):
                ends = {}
            elif isinstance(event, events.TaskDone):
                ends[event.task] = event.t
        return events.critical_path(self.plan, ends)

    def close(self) -> None:
        """Close the log, and remove logs too old to be of use."""
        if self._journal is not None:
            self._journal.close()
            journal.tidy(time.time())
