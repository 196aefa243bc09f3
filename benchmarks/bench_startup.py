"""What it costs to start: commands that do little, against an interpreter that does nothing."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.options import Options, median
from benchmarks.table import Report, Row

ROUNDS = 13
COMMANDS: Mapping[str, Sequence[str]] = {
    "--help": ("--help",),
    "create --help": ("create", "--help"),
    "version": ("version",),
    "list": ("list",),
}
MOST_HELP = 200.0
"""Milliseconds of CPU. The ratios below are the same aim for machines of another speed."""
MOST_LIST = 300.0
"""Milliseconds, by the clock, the engine's answer included."""
MOST_HELP_RATIO, MOST_LIST_RATIO = 14.0, 28.0
PASS = (sys.executable, "-c", "pass")
ROOT = Path(__file__).parents[1]


@dataclass(slots=True)
class Costs:
    """Milliseconds of every round."""

    cpu: list[float]
    wall: list[float]


def _once(command: Sequence[str], environ: Mapping[str, str]) -> tuple[float, float] | None:
    """Return the milliseconds of CPU and of the clock a command needs, None if it fails."""
    began = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    # wait4, not the sum over all children: exact for this one.
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - began
    if process.returncode:
        return None
    return 1e3 * (used.ru_utime + used.ru_stime), 1e3 * wall


def measure(rounds: int) -> dict[str, Costs]:
    """Return what each command costs; those that fail (no engine, say) are left out."""
    ours = {name: (sys.executable, "-m", "k3dasync", *rest) for name, rest in COMMANDS.items()}
    commands: dict[str, Sequence[str]] = {"pass": PASS, **ours}
    found: dict[str, Costs] = {}
    with tempfile.TemporaryDirectory(prefix="k3dasync-bench-") as folder:
        environ = {**os.environ, "XDG_STATE_HOME": folder}
        for name in [*commands]:
            if _once(commands[name], environ) is None:  # the first one also compiles
                del commands[name]
        for _ in range(rounds):
            for name, command in commands.items():
                if once := _once(command, environ):
                    costs = found.setdefault(name, Costs([], []))
                    costs.cpu.append(once[0])
                    costs.wall.append(once[1])
    return found


def run(options: Options) -> Report:
    """Measure all commands."""
    rounds, report = options.runs or ROUNDS, Report()
    found = measure(rounds)
    base = found.pop("pass")
    for name, costs in found.items():
        is_list = name == "list"
        report.rows.append(
            _row(
                f"{name}, CPU",
                costs.cpu,
                min(base.cpu),
                most=MOST_HELP if "--help" in name else None,
                most_ratio=MOST_LIST_RATIO if is_list else MOST_HELP_RATIO,
            )
        )
        if is_list:
            report.rows.append(
                _row(f"{name}, clock", costs.wall, min(base.wall), most=MOST_LIST, most_ratio=None)
            )
    report.notes.append(
        f"startup: least of {rounds} interleaved rounds, CPU is user + system of the process; "
        f"medians: "
        + ", ".join(f"{name} {median(costs.wall):.0f} ms" for name, costs in found.items())
    )
    if "list" not in found:
        report.notes.append("startup: list was not measured, no container engine answers")
    return report


def _row(
    case: str,
    values: Sequence[float],
    reference: float,
    *,
    most: float | None,
    most_ratio: float | None,
) -> Row:
    return Row(
        benchmark="startup",
        case=case,
        ours=min(values),
        unit="ms",
        against="python -c pass",
        reference=reference,
        low=min(values),
        high=max(values),
        runs=len(values),
        most=most,
        most_ratio=most_ratio,
    )
