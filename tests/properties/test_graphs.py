"""Random graphs of tasks that make things, at random speeds, with trouble at every await."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import anyio
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from k3dasync import events
from k3dasync.cluster import LABEL_RUN
from k3dasync.errors import EngineError, K3dAsyncError, TaskFailed
from k3dasync.events import Emitter
from k3dasync.fake import FakeRuntime, Latency, backend_of
from k3dasync.graph import Graph, TaskId
from k3dasync.operations._backward import take_back
from k3dasync.operations._forward import Forward, planned
from k3dasync.runtime import VolumeSpec
from k3dasync.tasks import TaskReport
from k3dasync.undo import RemoveVolume, Undo
from tests.laws import Keeper, assert_laws


@dataclass(frozen=True)
class Making:
    """A task that takes a while, makes a volume, and takes a while again."""

    id: TaskId
    needs: frozenset[TaskId]
    before: float
    after: float
    fails: bool = False
    does: str = "make a volume"

    @property
    def undo(self) -> Undo:
        return RemoveVolume(self.id)


@st.composite
def graphs(draw: st.DrawFn) -> Graph[Making]:
    """Return up to eight tasks with needs among the earlier ones; some of them fail."""
    seconds = st.sampled_from([0.0, 0.1, 1.0, 7.0])
    tasks = []
    for number in range(draw(st.integers(1, 8))):
        needs = {TaskId(f"t:{other}") for other in range(number) if draw(st.booleans())}
        tasks.append(
            Making(
                id=TaskId(f"t:{number}"),
                needs=frozenset(needs),
                before=draw(seconds),
                after=draw(seconds),
                fails=draw(st.integers(0, 9)) == 0,
            )
        )
    return Graph(tasks)


class Steps(trio.abc.Instrument):
    """Does something after that many steps of the event loop: every await is one."""

    def __init__(self, number: int, act: Callable[[], object]) -> None:
        self._left, self._act = number, act

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        self._left -= 1
        if self._left == 0:
            self._act()


async def perform(graph: Graph[Making], cut_after: int | None) -> None:
    """Walk the graph, cut it after so many steps of the loop, take everything back."""
    keeper = Keeper()
    async with FakeRuntime(latency=Latency().scaled(0.1)) as runtime:
        emitter = Emitter(run="r", cluster="c", clock=anyio.current_time, journal=keeper)

        async def act(task: Making, _report: TaskReport) -> None:
            await anyio.sleep(task.before)
            if task.fails:
                raise EngineError("make", task.id, "refused")
            await runtime.create_volume(VolumeSpec(name=task.id, labels={LABEL_RUN: "r"}))
            await anyio.sleep(task.after)

        plan = planned(graph)
        emitter.emit(
            events.RunStarted,
            schema=events.SCHEMA,
            started_at="",
            operation="test",
            version="",
            k3s="",
            engine=events.Engine(id="e", endpoint="x"),
            plan=plan,
        )
        is_done = False
        with anyio.CancelScope() as scope:
            if cut_after is not None:
                trio.lowlevel.add_instrument(Steps(cut_after, scope.cancel))
            try:
                await Forward(graph, act, emitter).walk()
                is_done = True
            except TaskFailed:
                assert any(task.fails for task in graph)
        if is_done:
            assert len(graph) == len(await runtime.volumes())
            emitter.emit(events.RunDone, seconds=0.0)
        else:
            await give_up(runtime, plan, emitter, keeper)
        assert_laws(keeper.events)


async def give_up(
    runtime: FakeRuntime,
    plan: tuple[events.PlannedTask, ...],
    emitter: Emitter,
    keeper: Keeper,
) -> None:
    pending = events.to_undo(keeper.events)
    left = await take_back(plan, pending, backend=backend_of(runtime), emitter=emitter)
    emitter.emit(events.RunFailed, seconds=0.0, code="X", cause="x", rolled_back=True, left=left)
    assert () == left
    assert runtime.is_empty()
    assert {} == events.to_undo(keeper.events)


@given(graphs(), st.none() | st.integers(1, 400))
@settings(max_examples=150, deadline=None)
def test_the_laws_hold_for_any_graph(graph: Graph[Making], cut_after: int | None) -> None:
    """Whatever fails or is cut, wherever: the laws hold, and the engine is empty or complete."""
    options = {"clock": MockClock(autojump_threshold=0)}
    anyio.run(partial(perform, graph, cut_after), backend="trio", backend_options=options)


def test_every_single_step_can_be_the_last() -> None:
    """The exhaustive sweep for one graph: cut after each step of the event loop in turn."""
    shape = Graph(
        Making(TaskId(f"t:{i}"), frozenset(map(TaskId, needs)), 0.1, 0.1)
        for i, needs in enumerate([(), ("t:0",), ("t:0",), ("t:1", "t:2")])
    )
    options = {"clock": MockClock(autojump_threshold=0)}
    for cut_after in range(1, 150):
        try:
            anyio.run(partial(perform, shape, cut_after), backend="trio", backend_options=options)
        except K3dAsyncError as error:
            raise AssertionError(f"step {cut_after}") from error
