"""What lists have in common: their forms on standard output."""

from collections.abc import Sequence
from typing import Annotated

from cyclopts import Parameter

from k3dasync.errors import SpecError

OutputFlag = Annotated[str, Parameter(name=["--output", "-o"], help="table, json or yaml.")]
NoHeadersFlag = Annotated[bool, Parameter(negative="", help="Rows only.")]
_GAP, _NARROWEST = 3, 6


def form_of(output: str) -> str:
    """Return `table`, `json` or `yaml`; raises SpecError for anything else."""
    how = output.lower()
    if how not in {"table", "json", "yaml"}:
        raise SpecError(f"--output {output!r}: expected table, json or yaml")
    return how


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Return k3d's table: cells padded to the widest and three blanks more, the last as it is."""
    if not rows:
        return ""
    widths = [
        max(_NARROWEST, max(len(row[i]) for row in rows) + _GAP) for i in range(len(rows[0]) - 1)
    ]
    return "\n".join(
        "".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)) + row[-1]
        for row in rows
    )


def structured(value: object, how: str) -> str:
    """Return JSON on one line, or YAML with sorted keys."""
    if how == "json":
        import json

        return json.dumps(value, separators=(",", ":"))
    import yaml

    return str(yaml.safe_dump(value, sort_keys=True)).rstrip("\n")
