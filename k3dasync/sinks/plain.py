"""One line for people an event, where standard error is no terminal."""

import sys
from datetime import UTC, datetime
from typing import TextIO

from k3dasync import events
from k3dasync.events import AnyEvent
from k3dasync.streams import silence
from k3dasync.verbosity import Level

_ABOUT = {
    "prune": "what is of no cluster",
    **dict.fromkeys(("registry-create", "registry-delete", "registry-start", "registry-stop"), ""),
}
"""What runs are about that are about no cluster; the others are about several."""


def megabytes(done: int, total: int | None) -> str:
    """Return `12.3 of 98.0 MB`; without a total only what is done."""
    return f"{done / 1e6:.1f}" + (f" of {total / 1e6:.1f} MB" if total else " MB")


def sentence(event: AnyEvent) -> str | None:
    """Return what a person wants to know of an event, None for what nobody does."""
    match event:
        case events.RunStarted():
            about = event.cluster or _ABOUT.get(event.operation, "several clusters")
            what = f"{event.operation} {about}".rstrip()
            return f"{what}: {len(event.plan)} tasks, run {event.run}"
        case events.RunReplanned():
            return f"planning again ({event.because})"
        case events.Warned():
            return f"warning: {event.text}"
        case events.TaskProgress(done=int(done)) if event.unit == "bytes":
            return f"{event.task}: {event.text} {megabytes(done, event.total)}"
        case events.TaskWaiting() if event.since:
            return f"{event.task}: waiting for {event.since:.0f} s now, for {event.on}"
        case events.TaskRetry():
            return f"{event.task}: trying again in {event.delay:g} s ({event.error})"
        case events.TaskDone():
            return f"{event.task}: done ({event.ran:.2f} s)"
        case events.TaskFailed():
            return f"{event.task}: failed: {event.error}"
        case events.UndoDone():
            return f"{event.task}: undone ({event.seconds:.2f} s)"
        case events.UndoFailed():
            return f"{event.task}: cannot be undone: {event.error}"
        case events.RunDone():
            return f"done in {event.seconds:.1f} s"
        case events.RunFailed(code=events.ABANDONED):
            return f"taken back after {event.seconds:.1f} s"
        case events.RunFailed():
            return f"failed after {event.seconds:.1f} s"
        case _:
            return None


def detail(event: AnyEvent) -> str | None:
    """Return what only somebody who looks for a fault wants to know of an event."""
    match event:
        case events.TaskStarted():
            return f"{event.task}: started, after {event.waited:.2f} s"
        case events.TaskWaiting():
            return f"{event.task}: waits for {event.on}"
        case events.TaskProgress():
            return f"{event.task}: {event.text}"
        case events.TaskCancelled():
            return f"{event.task}: cancelled"
        case events.TaskSkipped():
            return f"{event.task}: skipped, {event.because}"
        case events.UndoStarted():
            return f"{event.task}: undoing"
        case _:
            return None


def is_trouble(event: AnyEvent) -> bool:
    """Say whether an event tells of something that is not as it should be."""
    match event:
        case events.Warned() | events.TaskRetry() | events.TaskFailed() | events.UndoFailed():
            return True
        case events.RunReplanned() | events.RunFailed():
            return True
        case _:
            return False


class Plain:
    """Writes lines to standard error; one that is closed does not stop the run."""

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        level: Level = Level.INFO,
        timestamps: bool = False,
    ) -> None:
        self._stream = stream or sys.stderr
        self._level, self._timestamps = level, timestamps
        self._said: set[str] = set()

    def write(self, event: AnyEvent) -> None:
        text = self._text(event)
        if text is None:
            return
        when = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}" if self._timestamps else f"{event.t:7.2f}"
        try:
            print(f"[{when}] {text}", file=self._stream, flush=True)
        except (OSError, ValueError):
            silence(self._stream)  # nobody reads it any more

    def _text(self, event: AnyEvent) -> str | None:
        match self._level:
            case Level.ERROR:
                return None  # the error itself is told at the end
            case Level.WARN:
                return sentence(event) if is_trouble(event) else None
            case Level.INFO:
                text = sentence(event)
                return None if text is None or self._is_repetition(event) else text
            case Level.DEBUG:
                return sentence(event) or detail(event)
            case Level.TRACE:
                return events.encode(event).decode().rstrip()

    def _is_repetition(self, event: AnyEvent) -> bool:
        """Say whether the same has just been said of another task: ten agents wait alike."""
        if not isinstance(event, events.TaskWaiting):
            self._said.clear()
            return False
        key = f"{event.t:.0f} {event.on}"
        is_repetition = key in self._said
        self._said.add(key)
        return is_repetition

    def close(self) -> None:
        """Leave the stream as it is."""
