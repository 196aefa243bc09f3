"""Events: numbering, the log's form, and the folds over it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k3dasync import events
from k3dasync.errors import JournalError
from k3dasync.events import AnyEvent, Emitter, PlannedTask, critical_path, decode, encode, to_undo
from k3dasync.graph import TaskId
from k3dasync.undo import RemoveContainer, RemoveKubeconfigEntries, RemoveNetwork

A, B = TaskId("container:a"), TaskId("network:b")
PLAN = (
    PlannedTask(id=B, undo=RemoveNetwork("b")),
    PlannedTask(id=A, needs=(B,), undo=RemoveContainer("a")),
)


class Keeper:
    def __init__(self) -> None:
        self.events: list[AnyEvent] = []

    def write(self, event: AnyEvent) -> None:
        self.events.append(event)


def emitter(keeper: Keeper, **more: object) -> Emitter:
    return Emitter(run="r", cluster="c", clock=lambda: 5.0, journal=keeper, **more)  # type: ignore[arg-type]


def started(one: Emitter, plan: tuple[PlannedTask, ...] = PLAN) -> None:
    engine = events.Engine(id="e", endpoint="unix://x")
    one.emit(
        events.RunStarted,
        schema=events.SCHEMA,
        started_at="2026-11-22T18:00:00Z",
        operation="create",
        version="1",
        k3s="v1",
        engine=engine,
        plan=plan,
    )


def test_lines_are_numbered_without_gaps() -> None:
    """Seq counts from zero, whatever the kind."""
    keeper = Keeper()
    one = emitter(keeper)
    started(one)
    one.emit(events.TaskStarted, task=A, waited=0.0)
    one.emit(events.TaskWaiting, task=A, on="x", since=1.0)

    assert [0, 1, 2] == [event.seq for event in keeper.events]


def test_a_log_can_be_continued() -> None:
    """A rollback in a later process goes on with the numbers of the first."""
    keeper = Keeper()
    started(emitter(keeper))
    emitter(keeper, after=keeper.events[-1]).emit(events.UndoStarted, task=A)

    assert [0, 1] == [event.seq for event in keeper.events]


def test_the_journal_comes_first_and_may_stop_the_run() -> None:
    """If the journal cannot write, nobody else is told."""

    class Full:
        def write(self, event: AnyEvent) -> None:
            raise OSError("disk full")

    keeper = Keeper()
    one = Emitter(run="r", cluster="c", clock=lambda: 0, journal=Full(), sinks=(keeper,))
    with pytest.raises(OSError, match="disk full"):
        one.emit(events.Warned, text="x")

    assert [] == keeper.events


def test_every_kind_survives_the_log() -> None:
    """What is written is read back equal."""
    keeper = Keeper()
    one = emitter(keeper)
    undo = RemoveKubeconfigEntries("c", "/k", "old")
    started(one, (*PLAN, PlannedTask(id=TaskId("kubeconfig:c"), undo=undo)))
    one.emit(events.TaskProgress, task=A, text="pulling", done=1, total=None, unit="bytes")
    one.emit(events.TaskDone, task=A, waited=0.1, queued=0.2, ran=0.3)
    outputs = events.Outputs(api="https://x", context="k3d-c", kubeconfig=None, nodes=("a",))
    one.emit(events.RunDone, seconds=1.0, critical_path=(B, A), outputs=outputs)

    assert keeper.events == [decode(encode(event)) for event in keeper.events]


def test_a_kind_of_a_later_version_is_ignored() -> None:
    """Readers skip what they do not know."""
    assert None is decode(b'{"event":"task_pondered","seq":1,"t":0,"run":"r","cluster":"c"}')


def test_fields_of_a_later_version_are_ignored() -> None:
    """A known kind with more in it is still that kind."""
    line = encode(events.Warned(seq=1, t=0.5, run="r", cluster=None, text="x"))
    more = line.replace(b'"text"', b'"mood":"calm","text"')

    assert decode(line) == decode(more)


def test_what_was_begun_is_to_be_undone() -> None:
    """Done, failed and cut tasks count alike; an undone one does not."""
    keeper = Keeper()
    one = emitter(keeper)
    started(one)
    one.emit(events.TaskStarted, task=B, waited=0.0)
    one.emit(events.TaskDone, task=B, waited=0.0, queued=0.0, ran=0.0)
    one.emit(events.TaskStarted, task=A, waited=0.0)
    assert {A, B} == set(to_undo(keeper.events))

    one.emit(events.UndoFailed, task=A, seconds=0.0, error="x")
    assert {A, B} == set(to_undo(keeper.events))

    one.emit(events.UndoDone, task=A, seconds=0.0)
    assert {B} == set(to_undo(keeper.events))


def test_a_new_plan_keeps_what_is_pending() -> None:
    """What an old plan has left is not forgotten by a new one."""
    keeper = Keeper()
    one = emitter(keeper)
    started(one)
    one.emit(events.TaskStarted, task=A, waited=0.0)
    one.emit(events.RunReplanned, because="x", attempt=2, plan=())

    assert {A} == set(to_undo(keeper.events))


def test_the_critical_path_goes_back_from_the_last_end() -> None:
    """At each task the need that ended last is the one that mattered."""
    plan = (
        PlannedTask(id=TaskId("a")),
        PlannedTask(id=TaskId("b")),
        PlannedTask(id=TaskId("c"), needs=(TaskId("a"), TaskId("b"))),
    )
    ends = {TaskId("a"): 1.0, TaskId("b"): 2.0, TaskId("c"): 3.0}

    assert ("b", "c") == critical_path(plan, ends)
    assert () == critical_path(plan, {})


@given(st.binary(max_size=80))
def test_no_line_crashes_the_reader(line: bytes) -> None:
    """Damage raises the one error that a reader handles."""
    import msgspec

    try:
        decode(line)
    except msgspec.DecodeError as error:
        assert str(error)  # noqa: PT017 - both outcomes are right


class FullDisk:
    """A journal that takes nothing."""

    def write(self, event: events.AnyEvent) -> None:
        raise JournalError(f"no room for {event.seq}")


def test_a_log_that_cannot_be_written_stops_what_is_to_come_and_nothing_else() -> None:
    """No act without its line; but what was done is told, and taking back goes on."""
    keeper = Keeper()
    one = Emitter(run="r", cluster="c", clock=lambda: 0.0, journal=FullDisk(), sinks=(keeper,))
    task = TaskId("container:a")
    with pytest.raises(JournalError):
        one.emit(events.TaskStarted, task=task, waited=0.0)
    one.emit(events.UndoStarted, task=task)
    one.emit(events.RunFailed, seconds=1.0, code="X", cause="x", rolled_back=True)

    assert [events.UndoStarted, events.RunFailed] == [type(event) for event in keeper.events]
