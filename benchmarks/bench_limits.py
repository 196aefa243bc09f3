"""What limits on the engine's calls are good for: makespans of 3+10 with each of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.bench_engine import CONDITIONS
from benchmarks.engine import place, variant
from benchmarks.options import Options, Shape, load, median
from benchmarks.table import Report, Row

RUNS = 5
SHAPE = Shape(3, 10)
STARTS: Sequence[int] = (0, 8, 4, 2, 1)
REMOVALS: Sequence[int] = (0, 4, 1)
"""Calls at a time; 0 is no limit, which the others are compared with."""


@dataclass(slots=True)
class Times:
    """Seconds of every run, by the limit."""

    create: dict[int, list[float]] = field(default_factory=dict)
    delete: dict[int, list[float]] = field(default_factory=dict)


def run(options: Options) -> Report:
    """Measure creates with each limit of starts, and deletes with each limit of removals."""
    runs, report = options.runs or RUNS, Report()
    with place() as here:
        image, before = variant("bench-0", CONDITIONS[0].settings), load()
        for shape in options.shapes or (SHAPE,):
            times = Times()
            for number in range(runs):
                # Each round begins with another one, so that none is always the first.
                for index in range(len(STARTS)):
                    start = STARTS[(index + number) % len(STARTS)]
                    remove = REMOVALS[(index + number) % len(REMOVALS)]
                    seconds = here.create("limits", shape, image, f"start={start}")
                    times.create.setdefault(start, []).append(seconds)
                    seconds = here.delete("limits", f"remove={remove}")
                    times.delete.setdefault(remove, []).append(seconds)
            report.rows.extend(_rows("create", f"{shape}, start", times.create, STARTS))
            report.rows.extend(_rows("delete", f"{shape}, remove", times.delete, REMOVALS))
    report.notes.append(f"limits: load {before:.1f} before the runs, {load():.1f} after them")
    return report


def _rows(
    what: str, case: str, times: dict[int, list[float]], limits: Sequence[int]
) -> Sequence[Row]:
    return [
        Row(
            benchmark="limits",
            case=f"{what} {case}={limit or 'none'}",
            ours=median(times[limit]),
            unit="s",
            against="no limit",
            reference=median(times[0]),
            low=min(times[limit]),
            high=max(times[limit]),
            runs=len(times[limit]),
        )
        for limit in limits
        if limit in times and 0 in times
    ]
