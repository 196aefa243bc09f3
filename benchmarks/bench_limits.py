"""What limits on the engine's calls are good for: makespans of one large cluster, and of many small
ones at once, with each of them."""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import anyio

from benchmarks.bench_engine import CONDITIONS
from benchmarks.engine import Place, place, variant
from benchmarks.options import Options, Shape, load, median
from benchmarks.table import Report, Row
from k3dasync.docker import backend_of
from k3dasync.docker.runtime import DockerRuntime
from k3dasync.limits import ADAPTIVE, Limits
from k3dasync.operations.create import create
from k3dasync.operations.delete import delete

RUNS = 5
SHAPE, SMALL, MANY = Shape(3, 10), Shape(1, 1), 12
NONE = "0"
STARTS: Sequence[str] = (NONE, "8", "4", "2", "1", ADAPTIVE)
REMOVALS: Sequence[str] = (NONE, "4", "1")
"""Calls at a time; 0 is no limit, which the others are compared with."""
SECONDS = 180.0
"""For twelve clusters at once; they take 15 s."""


@dataclass(slots=True)
class Times:
    """Seconds of every run, by the limit."""

    create: dict[str, list[float]] = field(default_factory=dict)
    delete: dict[str, list[float]] = field(default_factory=dict)
    many: dict[str, list[float]] = field(default_factory=dict)


def run(options: Options) -> Report:
    """Measure creates with each limit of starts, and deletes with each limit of removals."""
    runs, report = options.runs or RUNS, Report()
    with place() as here:
        before = load()
        for one in CONDITIONS:
            image = variant(f"bench-{CONDITIONS.index(one)}", one.settings)
            for shape in options.shapes or (SHAPE,):
                times = Times()
                for number in range(runs):
                    print(f"benchmarks: limits: {one.name}, {number + 1}", file=sys.stderr)
                    _round(here, shape, image, number, times)
                case = f"{one.name} conditions, start"
                report.rows.extend(_rows(f"create {shape}, {case}", times.create, STARTS))
                report.rows.extend(_rows(f"create {MANY} of {SMALL}, {case}", times.many, STARTS))
                report.rows.extend(_rows(f"delete {shape}, remove", times.delete, REMOVALS))
    report.notes.append(f"limits: load {before:.1f} before the runs, {load():.1f} after them")
    return report


def _round(here: Place, shape: Shape, image: str, number: int, times: Times) -> None:
    """Measure each limit once. Each round begins with another one: none is always the first."""
    for index in range(len(STARTS)):
        start = STARTS[(index + number) % len(STARTS)]
        remove = REMOVALS[(index + number) % len(REMOVALS)]
        seconds = here.create("limits", shape, image, f"start={start}")
        times.create.setdefault(start, []).append(seconds)
        seconds = here.delete("limits", f"remove={remove}")
        times.delete.setdefault(remove, []).append(seconds)
        seconds = anyio.run(_many, here, image, f"start={start}")
        times.many.setdefault(start, []).append(seconds)


async def _many(here: Place, image: str, limits: str) -> float:
    """Create many small clusters at once, in one process and on one connection; return seconds."""
    specs = [here.spec(f"many-{number}", SMALL, image) for number in range(MANY)]
    with anyio.fail_after(SECONDS):
        async with DockerRuntime(Limits.parse(limits)) as runtime:
            backend = backend_of(runtime)
            began = time.perf_counter()
            async with anyio.create_task_group() as group:
                for spec in specs:
                    group.start_soon(partial(create, spec, backend=backend))
            seconds = time.perf_counter() - began
            await delete([spec.name for spec in specs], backend=backend)
    return seconds


def _rows(case: str, times: Mapping[str, Sequence[float]], limits: Sequence[str]) -> Sequence[Row]:
    return [
        Row(
            benchmark="limits",
            case=f"{case}={'none' if limit == NONE else limit}",
            ours=median(times[limit]),
            unit="s",
            against="no limit",
            reference=median(times[NONE]),
            low=min(times[limit]),
            high=max(times[limit]),
            runs=len(times[limit]),
        )
        for limit in limits
        if limit in times and NONE in times
    ]
