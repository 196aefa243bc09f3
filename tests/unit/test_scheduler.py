"""The walk: order, concurrency, failure, cancellation."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import anyio
import anyio.lowlevel
import pytest

from k3dasync.errors import TaskFailed
from k3dasync.graph import Graph, TaskId
from k3dasync.scheduler import walk
from tests.support import virtual_time


@dataclass(frozen=True)
class Item:
    id: TaskId
    needs: frozenset[TaskId] = frozenset()


def graph(**needs: str) -> Graph[Item]:
    """Build a graph from `c="a b"`: c needs a and b."""
    return Graph(
        Item(TaskId(id), frozenset(map(TaskId, text.split()))) for id, text in needs.items()
    )


@dataclass
class Recorder:
    """Visits that take the seconds they are told, and a diary."""

    seconds: dict[str, float] = field(default_factory=dict)
    failing: frozenset[str] = frozenset()
    diary: list[str] = field(default_factory=list)

    async def __call__(self, item: Item) -> None:
        self.diary.append(f"+{item.id}")
        try:
            await anyio.sleep(self.seconds.get(item.id, 0))
            if item.id in self.failing:
                raise ValueError(item.id)
        finally:
            self.diary.append(f"-{item.id}")


async def test_visits_after_needs() -> None:
    """A task is visited when all it needs is done, not before."""
    visit = Recorder()
    report = await walk(graph(a="", b="a", c="a b"), visit)

    assert ["+a", "-a", "+b", "-b", "+c", "-c"] == visit.diary
    assert ["a", "b", "c"] == report.done


@virtual_time
async def test_takes_as_long_as_the_critical_path() -> None:
    """Independent tasks run at once: the walk is as long as its longest chain."""
    visit = Recorder({"a": 3, "b": 100, "c": 50, "d": 7})
    began = anyio.current_time()
    await walk(graph(a="", b="a", c="a", d="c"), visit)

    assert 103 == pytest.approx(anyio.current_time() - began)


async def test_one_failure_cancels_the_rest_and_is_the_only_cause() -> None:
    """The first failure ends the walk; siblings are cut, dependents never start."""
    visit = Recorder({"b": 1000.0}, failing=frozenset("a"))
    with pytest.raises(TaskFailed) as caught:
        await walk(graph(a="", b="", c="a"), visit)

    assert "a" == caught.value.task
    assert isinstance(caught.value.cause, ValueError)
    assert ["+a", "+b", "-a", "-b"] == sorted(visit.diary)


async def test_keep_going_skips_dependents_only() -> None:
    """With keep_going the failures are reported and what does not depend on them goes on."""
    visit = Recorder(failing=frozenset("a"))
    report = await walk(graph(a="", b="a", c="b", d=""), visit, keep_going=True)

    assert (["d"], ["a"], ["b", "c"]) == (report.done, list(report.failed), report.skipped)


async def test_nothing_runs_after_a_cancelled_walk() -> None:
    """When a cancelled walk is over, every visit has ended and none has begun since."""
    visit = Recorder({"a": 1000.0})
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:

            async def cut() -> None:
                await anyio.wait_all_tasks_blocked()
                scope.cancel()

            group.start_soon(cut)
            await walk(graph(a="", b="a"), visit)

    assert ["+a", "-a"] == visit.diary


async def test_a_task_done_while_being_cancelled_starts_nothing() -> None:
    """A visit that ends well inside a shield does not set off its users any more."""
    diary: list[str] = []

    async def visit(item: Item) -> None:
        diary.append(item.id)
        if item.id == "fails":
            raise ValueError
        with anyio.CancelScope(shield=True):
            await anyio.lowlevel.checkpoint()
            await anyio.lowlevel.checkpoint()

    with pytest.raises(TaskFailed):
        await walk(graph(slow="", fails="", late="slow"), visit)

    assert "late" not in diary


async def test_an_empty_graph_is_done_at_once() -> None:
    """Nothing to do is no error."""
    assert [] == (await walk(graph(), Recorder())).done


async def test_every_task_is_in_exactly_one_list() -> None:
    """The report accounts for every task once, also when several fail at once."""
    failing: Callable[[Item], Awaitable[None]] = Recorder(failing=frozenset("abcd"))
    tasks = graph(a="", b="", c="a", d="b", e="")
    report = await walk(tasks, failing, keep_going=True)

    found = [*report.done, *report.failed, *report.cancelled, *report.skipped]
    assert sorted(tasks.ids) == sorted(found)
