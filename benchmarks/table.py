"""What a benchmark found: rows of one table. Pure."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One comparison: ours against a reference of the same unit.

    `low` and `high` are the extremes of the repeated runs of ours. `most` is the aim for the
    value, `most_ratio` for the ratio; None: there is none.
    """

    benchmark: str
    case: str
    ours: float
    unit: str
    against: str
    reference: float | None = None
    low: float | None = None
    high: float | None = None
    runs: int = 1
    most: float | None = None
    most_ratio: float | None = None

    @property
    def ratio(self) -> float | None:
        """Ours by the reference: below 1 we are faster."""
        return self.ours / self.reference if self.reference else None

    @property
    def is_met(self) -> bool | None:
        """Whether the aim is met, None without one."""
        if self.most is not None:
            return self.ours <= self.most
        if self.most_ratio is not None and self.ratio is not None:
            return self.ratio <= self.most_ratio
        return None

    @property
    def aim(self) -> str:
        """The aim for people, and whether it is met."""
        if self.is_met is None:
            return ""
        text = (
            f"≤ {self.most:g} {self.unit}" if self.most is not None else f"≤ {self.most_ratio:.2f}"
        )
        return f"{text} {'met' if self.is_met else 'MISSED'}"


@dataclass(slots=True)
class Report:
    """The rows of one or several benchmarks, and under which conditions they were measured."""

    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, other: "Report") -> None:
        """Append what another benchmark found."""
        self.rows.extend(other.rows)
        self.notes.extend(note for note in other.notes if note not in self.notes)


HEAD = ("benchmark", "case", "ours", "spread", "against", "theirs", "ratio", "aim")
_RIGHT = frozenset({"ours", "spread", "theirs", "ratio"})


def as_text(report: Report) -> str:
    """Return the table, and the conditions below it."""
    cells = [_cells(row) for row in report.rows]
    return "\n".join([*_aligned([HEAD, *cells]), "", *report.notes])


def as_markdown(report: Report) -> str:
    """Return the table for a page of the documentation."""
    lines = [_markdown(HEAD), _markdown(["--:" if name in _RIGHT else "---" for name in HEAD])]
    lines += [_markdown(_cells(row)) for row in report.rows]
    return "\n".join([*lines, "", *(f"- {note}" for note in report.notes)])


def as_json(report: Report) -> str:
    """Return the same for machines: the fields of Row, its ratio, and whether its aim is met."""
    rows = [{**asdict(row), "ratio": row.ratio, "is_met": row.is_met} for row in report.rows]
    return json.dumps({"rows": rows, "notes": report.notes}, indent=2, ensure_ascii=False)


def number(value: float, unit: str) -> str:
    """Return a value with three significant digits or so."""
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:.{digits}f} {unit}"


def _cells(row: Row) -> tuple[str, ...]:
    spread = ""
    if row.low is not None and row.high is not None:
        low, high = number(row.low, "").strip(), number(row.high, "").strip()
        spread = f"{low}-{high} ({row.runs})"
    return (
        row.benchmark,
        row.case,
        number(row.ours, row.unit),
        spread,
        row.against,
        "" if row.reference is None else number(row.reference, row.unit),
        "" if row.ratio is None else f"{row.ratio:.2f}",
        row.aim,
    )


def _aligned(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    widths = [max(len(row[index]) for row in rows) for index in range(len(HEAD))]
    for row in rows:
        cells = (
            cell.rjust(width) if name in _RIGHT else cell.ljust(width)
            for name, cell, width in zip(HEAD, row, widths, strict=True)
        )
        yield "  ".join(cells).rstrip()


def _markdown(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
