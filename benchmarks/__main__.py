"""`python -m benchmarks [NAME…]`: run benchmarks and print one table of ratios."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from benchmarks.options import Options, Shape, Unavailable, conditions
from benchmarks.table import Report, as_json, as_markdown, as_text

USUAL = ("scheduler", "makespan", "startup", "engine")
NAMES = (*USUAL, "life", "import", "joins", "members", "limits")
"""Those which are not usual take minutes and answer one question, which was answered: see
docs/joins.md, docs/limits.md and docs/images.md."""
WRITERS = {"text": as_text, "json": as_json, "markdown": as_markdown}
NO_ENGINE = 69


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for and return the exit code: 0, or 69 if something was unavailable."""
    given = _parser().parse_args(arguments)
    options = Options(runs=given.runs, shapes=tuple(given.shapes))
    report, code = Report(notes=[conditions()]), 0
    for name in given.names or USUAL:
        print(f"benchmarks: {name} …", file=sys.stderr, flush=True)
        try:
            report.add(import_module(f"benchmarks.bench_{name}").run(options))
        except Unavailable as error:
            print(f"benchmarks: {name}: {error}", file=sys.stderr, flush=True)
            report.notes.append(f"{name} was not measured: {error}")
            code = NO_ENGINE
        except KeyboardInterrupt:
            print("benchmarks: interrupted; everything is removed", file=sys.stderr, flush=True)
            return 130
    print(WRITERS[given.output](report))
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[[], *NAMES], help=_names())
    parser.add_argument("--runs", type=_positive, help="repetitions of each measurement")
    parser.add_argument(
        "--shapes", type=_shapes, default=(), help="clusters as SERVERS+AGENTS, such as 1+2,3+10"
    )
    parser.add_argument("-o", "--output", choices=WRITERS, default="text")
    return parser


def _names() -> str:
    return f"{', '.join(NAMES)}; without any: {', '.join(USUAL)}"


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def _shapes(text: str) -> tuple[Shape, ...]:
    return tuple(Shape.parse(part) for part in text.split(","))


if __name__ == "__main__":
    sys.exit(main())
