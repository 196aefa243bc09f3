"""What `walk` costs a task, above a task group that only starts as many."""

import gc
import random
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio

from benchmarks.options import Options
from benchmarks.table import Report, Row
from k3dasync.events import Emitter
from k3dasync.graph import Graph, TaskId
from k3dasync.journal import Journal
from k3dasync.operations._forward import Forward
from k3dasync.scheduler import walk
from k3dasync.sinks.jsonl import open_sink
from k3dasync.tasks import TaskReport
from k3dasync.undo import NOTHING, Undo

SIZES = (1, 10, 100, 1_000, 10_000)
ROUNDS = 9
"""The least of so many counts: what is above it are the neighbours on the machine."""
MOST_MICROSECONDS = 30.0
MOST_GROWTH = 1.5
"""Of the ratio from 1,000 to 10,000 tasks; were the walk quadratic this would be near 10."""
NEEDS, REACH, SEED = 3, 50, 2026
"""A random graph: each task needs up to three of the fifty before it, the same ones each time."""


@dataclass(frozen=True, slots=True)
class Nothing:
    """A task without any work."""

    id: TaskId
    needs: frozenset[TaskId] = frozenset()
    does: str = "nothing"
    undo: Undo = NOTHING


def chain(size: int) -> Graph[Nothing]:
    """Return a graph in which each task needs the one before."""
    ids = _ids(size)
    return Graph(Nothing(id, frozenset(ids[max(index - 1, 0) : index])) for index, id in _of(ids))


def wide(size: int) -> Graph[Nothing]:
    """Return a graph in which all tasks need the first one and the last one needs all."""
    ids = _ids(size)
    members = [Nothing(id, frozenset(ids[:1]) - {id}) for id in ids[:-1]]
    return Graph([*members, Nothing(ids[-1], frozenset(ids[:-1]))])


def tangled(size: int) -> Graph[Nothing]:
    """Return a random graph, the same at each call."""
    ids, chance = _ids(size), random.Random(SEED)

    def needs(index: int) -> frozenset[TaskId]:
        near = ids[max(index - REACH, 0) : index]
        return frozenset(chance.sample(near, min(chance.randint(1, NEEDS), len(near))))

    return Graph(Nothing(id, needs(index)) for index, id in _of(ids))


def _ids(size: int) -> list[TaskId]:
    return [TaskId(f"task:{index}") for index in range(size)]


def _of(ids: Sequence[TaskId]) -> Iterator[tuple[int, TaskId]]:
    return enumerate(ids)


GRAPHS: dict[str, Callable[[int], Graph[Nothing]]] = {
    "chain": chain,
    "wide": wide,
    "random": tangled,
}


async def _visit(_member: Nothing) -> None:
    pass


async def _bare(graph: Graph[Nothing]) -> None:
    async with anyio.create_task_group() as group:
        for member in graph:
            group.start_soon(_visit, member)


async def _walked(graph: Graph[Nothing]) -> None:
    await walk(graph, _visit)


async def _with_events(graph: Graph[Nothing]) -> None:
    """Walk as an operation does: journal, memory and a JSON stream, all on disk."""

    async def act(_task: Nothing, _report: TaskReport) -> None:
        pass

    with tempfile.TemporaryDirectory(prefix="k3dasync-bench-") as folder:
        journal, stream = Journal(Path(folder, "journal")), open_sink(str(Path(folder, "stream")))
        emitter = Emitter(
            run="bench",
            cluster="bench",
            clock=anyio.current_time,
            journal=journal,
            sinks=(stream,),
        )
        await Forward(graph, act, emitter).walk()
        journal.close()
        stream.close()


Way = Callable[[Graph[Nothing]], Awaitable[None]]


async def _microseconds(ways: Sequence[Way], graph: Graph[Nothing], rounds: int) -> list[float]:
    """Return what a task costs in each of the *ways*: the least of interleaved rounds."""
    best = [float("inf")] * len(ways)
    repeat = max(1, 200 // len(graph))  # one task alone is too short for the clock
    for _ in range(rounds):
        for index, way in enumerate(ways):
            gc.collect()
            began = time.process_time()
            for _ in range(repeat):
                await way(graph)
            best[index] = min(best[index], (time.process_time() - began) / repeat / len(graph))
    return [1e6 * seconds for seconds in best]


def run(options: Options, sizes: Sequence[int] = SIZES) -> Report:
    """Measure all graphs and sizes."""
    rounds, report = options.runs or ROUNDS, Report()
    for name, build in GRAPHS.items():
        found = {
            size: anyio.run(_microseconds, (_walked, _bare), build(size), rounds) for size in sizes
        }
        report.rows.extend(_rows(name, found))
    size = min(1_000, sizes[-1])
    walked, told = anyio.run(
        _microseconds, (_walked, _with_events), wide(size), max(rounds // 3, 1)
    )
    report.rows.append(
        Row(
            benchmark="scheduler",
            case=f"wide, {size:,} tasks, with events, journal and JSON lines",
            ours=told,
            unit="µs/task",
            against="walk alone",
            reference=walked,
        )
    )
    report.notes.append(
        f"scheduler: asyncio, CPU time, least of {rounds} interleaved rounds. With events: three "
        "lines a task in two files."
    )
    return report


def _rows(name: str, found: dict[int, list[float]]) -> Iterator[Row]:
    for size, (walked, bare) in found.items():
        yield Row(
            benchmark="scheduler",
            case=f"{name}, {size:,} task{'s' * (size > 1)}: walk",
            ours=walked,
            unit="µs/task",
            against="a bare task group",
            reference=bare,
        )
    # A single task pays for the whole walk.
    several = {size: walked - bare for size, (walked, bare) in found.items() if size > 1}
    if several:
        worst = max(several, key=several.__getitem__)
        yield Row(
            benchmark="scheduler",
            case=f"{name}: most above the bare group ({worst:,} tasks)",
            ours=several[worst],
            unit="µs/task",
            against="",
            most=MOST_MICROSECONDS,
        )
    large = [size for size in found if size >= 1_000]
    if len(large) > 1:
        # By the bare group of as many tasks, which grows too: memory, caches, the collector.
        ratios = [walked / bare for walked, bare in (found[size] for size in large)]
        yield Row(
            benchmark="scheduler",
            case=f"{name}: ratio at {large[-1]:,} tasks",
            ours=ratios[-1],
            unit="times",
            against=f"at {large[0]:,} tasks",
            reference=ratios[0],
            most_ratio=MOST_GROWTH,
        )
