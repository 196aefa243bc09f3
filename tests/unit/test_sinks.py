"""Lines and streams: what they say, and that they never stop a run."""

import io
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from k3dasync import events
from k3dasync.errors import SpecError
from k3dasync.events import AnyEvent, Emitter, PlannedTask
from k3dasync.graph import TaskId
from k3dasync.sinks.jsonl import JsonLines, open_sink
from k3dasync.sinks.plain import Plain, megabytes, sentence

PULL, MAKE, START = TaskId("image:k3s"), TaskId("container:a"), TaskId("start:a")
PLAN = (
    PlannedTask(id=PULL, does="pull unless present"),
    PlannedTask(id=MAKE, needs=(PULL,), does="create"),
    PlannedTask(id=START, needs=(MAKE,), does="start"),
)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def story(*sinks: object, ends: bool = True) -> Sequence[AnyEvent]:
    """Tell a short run to the sinks: a pull, a container, a start that fails, an undo."""
    clock = Clock()
    told: list[AnyEvent] = []

    class Told:
        def write(self, event: AnyEvent) -> None:
            told.append(event)

    one = Emitter(run="r", cluster="c", clock=clock, journal=Told(), sinks=sinks)  # type: ignore[arg-type]
    one.emit(
        events.RunStarted,
        schema=events.SCHEMA,
        started_at="",
        operation="create",
        version="1",
        k3s="",
        engine=events.Engine(id="e", endpoint="x"),
        plan=PLAN,
    )
    one.emit(events.Warned, text="mind the gap")
    one.emit(events.TaskStarted, task=PULL, waited=0.0)
    clock.now = 1.5
    one.emit(events.TaskProgress, task=PULL, text="pulling", done=5_000_000, total=9_000_000,
             unit="bytes")  # fmt: skip
    if not ends:
        return told
    one.emit(events.TaskDone, task=PULL, waited=0.0, queued=0.0, ran=1.5)
    one.emit(events.TaskStarted, task=MAKE, waited=1.5)
    for number in range(2):
        clock.now = 6.5
        one.emit(events.TaskWaiting, task=(MAKE, START)[number], on="paint to dry", since=5.0)
    one.emit(events.TaskRetry, task=MAKE, attempt=1, delay=0.1, error="busy")
    one.emit(events.TaskFailed, task=MAKE, waited=0, queued=0, ran=5, code="X", error="no brush")
    one.emit(events.TaskSkipped, task=START, because="container:a failed")
    one.emit(events.UndoStarted, task=MAKE)
    one.emit(events.UndoDone, task=MAKE, seconds=0.25)
    one.emit(events.RunFailed, seconds=6.5, code="X", cause="no brush", rolled_back=True)
    return told


def test_plain_lines() -> None:
    """One line for what matters, with the time; alike waits are said once."""
    stream = io.StringIO()
    story(Plain(stream))

    assert [
        "[   0.00] create c: 3 tasks, run r",
        "[   0.00] warning: mind the gap",
        "[   1.50] image:k3s: pulling 5.0 of 9.0 MB",
        "[   1.50] image:k3s: done (1.50 s)",
        "[   6.50] container:a: waiting for 5 s now, for paint to dry",
        "[   6.50] container:a: trying again in 0.1 s (busy)",
        "[   6.50] container:a: failed: no brush",
        "[   6.50] container:a: undone (0.25 s)",
        "[   6.50] failed after 6.5 s",
    ] == stream.getvalue().splitlines()


def test_a_display_that_is_closed_does_not_stop_the_run() -> None:
    """Somebody has closed the terminal."""
    stream = io.StringIO()
    stream.close()
    story(Plain(stream))


def test_events_that_cannot_be_written_are_told_of_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The run goes on; whoever asked for the file learns that it is not complete."""
    sink = open_sink("/dev/full")
    story(sink)
    sink.close()
    sink.close()

    assert [
        "warning: --events: not all of them are written: No space left on device"
    ] == capsys.readouterr().err.splitlines()


def test_a_descriptor_that_takes_nothing_is_refused_at_once() -> None:
    """Not after the cluster is made."""
    with Path("/dev/null").open() as file, pytest.raises(SpecError, match="reading only"):
        open_sink(f"fd:{file.fileno()}")


def test_a_killed_run_is_taken_back_not_failed() -> None:
    """Whoever finishes its job reads what has become of it."""
    emitter = Emitter(run="r", cluster="c", clock=Clock(), journal=None)
    event = emitter.emit(
        events.RunFailed, seconds=2.0, code=events.ABANDONED, cause="gone", rolled_back=True
    )

    assert "taken back after 2.0 s" == sentence(event)


def test_json_lines_are_whole_and_equal() -> None:
    """What comes out of the pipe is what was told."""
    reader, writer = os.pipe()
    told = story(JsonLines(writer, owned=True))
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        assert list(told) == [events.decode(line) for line in pipe]


def test_a_reader_that_has_gone_does_not_stop_the_run() -> None:
    """A broken pipe is noticed once and then nothing is written any more."""
    reader, writer = os.pipe()
    os.close(reader)
    sink = JsonLines(writer, owned=True)
    story(sink)
    sink.close()
    sink.close()


def test_a_descriptor_is_used_and_left_open() -> None:
    """fd:N belongs to whoever opened it."""
    reader, writer = os.pipe()
    sink = open_sink(f"fd:{writer}")
    story(sink)
    sink.close()
    os.write(writer, b"still open")
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        assert pipe.read().endswith(b"still open")


@pytest.mark.parametrize(
    ("done", "total", "text"), [(0, None, "0.0 MB"), (1_234_567, 98_000_000, "1.2 of 98.0 MB")]
)
def test_megabytes(done: int, total: int | None, text: str) -> None:
    """Without a total only what is done."""
    assert text == megabytes(done, total)
