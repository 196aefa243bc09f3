"""Walking a graph with every step told: the forward half of a run.

Each task that was planned gets exactly one end, whatever happens, because start and end stand in
one function.
"""

from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import anyio

from k3dasync import events
from k3dasync.errors import K3dAsyncError, TaskFailed
from k3dasync.events import Emitter, PlannedTask
from k3dasync.graph import Graph, Identified, TaskId
from k3dasync.limits import on_queued, urgency
from k3dasync.retrying import on_retry
from k3dasync.scheduler import Report, walk
from k3dasync.tasks import TaskReport
from k3dasync.undo import Undo

QUIET_SECONDS = 5.0
"""Without any change for so long, people wonder whether it hangs: then say what is waited for."""
PROGRESS_INTERVAL = 0.2
"""Byte counts arrive by the hundred a second; a display needs five."""


class Step(Identified, Protocol):
    """A task as the log shows it: what it does, and what takes it back."""

    @property
    def does(self) -> str: ...
    @property
    def undo(self) -> Undo: ...


StepT = TypeVar("StepT", bound=Step)


def planned(graph: Graph[StepT]) -> tuple[PlannedTask, ...]:
    """Return the plan as it stands in the log."""
    return tuple(
        PlannedTask(
            id=task.id,
            needs=tuple(sorted(graph.needs(task.id))),
            does=task.does,
            undo=task.undo,
        )
        for task in graph
    )


@dataclass(slots=True)
class _Voice:
    """The TaskReport of one running task."""

    emitter: Emitter
    id: TaskId
    started: float
    queued: float = 0.0
    on: str = ""
    since: float = 0.0
    _last_progress: float = field(default=-PROGRESS_INTERVAL)

    def progress(
        self, text: str, *, done: int | None = None, total: int | None = None, unit: str = ""
    ) -> None:
        now = self.emitter.now()
        if now - self._last_progress < PROGRESS_INTERVAL and done != total:
            return
        self._last_progress = now
        self.emitter.emit(
            events.TaskProgress, task=self.id, text=text, done=done, total=total, unit=unit or None
        )

    def waiting(self, on: str) -> None:
        if on != self.on:
            self.on, self.since = on, self.emitter.now()
            self.emitter.emit(events.TaskWaiting, task=self.id, on=on, since=0.0)

    def retry(self, attempt: int, delay: float, error: str) -> None:
        self.emitter.emit(
            events.TaskRetry, task=self.id, attempt=attempt, delay=round(delay, 3), error=error
        )

    def add_queued(self, seconds: float) -> None:
        self.queued += seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A task that was cut: what it waited for, and for how many seconds it had run."""

    task: str
    on: str = ""
    seconds: float | None = None

    def __str__(self) -> str:
        took = "" if self.seconds is None else f"for {self.seconds:.1f} s"
        details = "; ".join(filter(None, (self.on, took)))
        return f"{self.task} ({details})" if details else self.task


class Forward(Generic[StepT]):
    """One walk over one graph, with its events; *act* does one task.

    `ends` says when each task was done, in seconds of the run; `cut` names the tasks that were
    running when the walk was cancelled, with what they waited for, or else what was to come.
    """

    def __init__(
        self,
        graph: Graph[StepT],
        act: Callable[[StepT, TaskReport], Awaitable[None]],
        emitter: Emitter,
    ) -> None:
        self._graph, self._act, self._emitter = graph, act, emitter
        self._running: dict[TaskId, _Voice] = {}
        self._started: set[TaskId] = set()
        self._began = emitter.now()
        self.ends: dict[TaskId, float] = {}
        self.cut: list[Cut] = []

    async def walk(
        self,
        *,
        keep_going: bool = False,
        beside: Callable[[], Coroutine[Any, Any, None]] | None = None,
    ) -> Report:
        """Run every task, and *beside* them what never ends by itself.

        Raises TaskFailed at the first failure unless *keep_going*.
        """
        report, failure = Report(), None
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._speak_up)
                if beside is not None:
                    group.start_soon(beside)
                try:
                    report = await walk(self._graph, self._visit, keep_going=keep_going)
                except TaskFailed as error:
                    failure = error
                group.cancel_scope.cancel()
        finally:
            self._skip_the_rest(failure.task if failure else None)
        if failure is not None:
            raise failure
        return report

    async def _visit(self, task: StepT) -> None:
        with self._told(task) as voice:
            await self._act(task, voice)

    @contextmanager
    def _told(self, task: StepT) -> Iterator[_Voice]:
        emitter = self._emitter
        voice = _Voice(emitter, task.id, emitter.now())
        on_queued.set(voice.add_queued)
        on_retry.set(voice.retry)
        urgency.set(self._graph.urgency[task.id])
        waited = round(voice.started - self._began, 6)
        self._started.add(task.id)
        emitter.emit(events.TaskStarted, task=task.id, waited=waited)
        self._running[task.id] = voice
        try:
            yield voice
        except Exception as error:
            emitter.emit(events.TaskFailed, **self._end(voice, waited), **_failure(error))
            raise
        except BaseException:
            ran = self._emitter.now() - voice.started
            self.cut.append(Cut(task=task.id, on=voice.on, seconds=ran))
            emitter.emit(events.TaskCancelled, **self._end(voice, waited))
            raise
        else:
            self.ends[task.id] = emitter.emit(events.TaskDone, **self._end(voice, waited)).t

    def _end(self, voice: _Voice, waited: float) -> dict[str, object]:
        self._running.pop(voice.id, None)
        ran = self._emitter.now() - voice.started - voice.queued
        return {
            "task": voice.id,
            "waited": waited,
            "queued": round(voice.queued, 6),
            "ran": round(max(ran, 0.0), 6),
        }

    def _skip_the_rest(self, failed: str | None) -> None:
        because = f"{failed} failed" if failed else "the run was stopped"
        skipped = [id for id in self._graph.ids if id not in self._started]
        for id in skipped:
            self._emitter.emit(events.TaskSkipped, task=id, because=because)
        if skipped and not self.cut:
            # What was running then ended well, as a call to the engine does that is not cut.
            self.cut.append(Cut(task=f"{skipped[0]} and {len(skipped) - 1} more had not begun"))

    async def _speak_up(self) -> None:
        """Say what is waited for whenever nothing else has been said for a while."""
        spoken = 0.0
        while True:
            quiet = self._emitter.now() - max(self._emitter.last_change, spoken)
            if quiet < QUIET_SECONDS:
                # A millisecond more: a rest lost in rounding must not become a busy loop.
                await anyio.sleep(QUIET_SECONDS - quiet + 0.001)
                continue
            spoken = self._emitter.now()
            for id, voice in self._running.items():
                since = round(spoken - (voice.since or voice.started), 3)
                on = voice.on or "the engine"
                self._emitter.emit(events.TaskWaiting, task=id, on=on, since=since)


def _failure(error: Exception) -> dict[str, object]:
    """Return what an event says of a failure."""
    text = str(error) or type(error).__name__
    if not isinstance(error, K3dAsyncError):
        return {"code": "INTERNAL", "error": text}
    return {"code": error.code, "error": text, "hint": error.hint, "log": error.log}
