"""What lists have in common: their forms on standard output."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from k3dasync.invalid import InvalidOutput

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from k3dasync.runtime import EngineReader

OutputFlag = Annotated[str, Parameter(name=["--output", "-o"], help="table, json or yaml.")]
NoHeadersFlag = Annotated[bool, Parameter(negative="", help="Rows only.")]
_GAP, _NARROWEST = 3, 6


def form_of(output: str, *forms: str) -> str:
    """Return which of the *forms* is asked for; raises SpecError for anything else."""
    how = output.lower()
    if how not in forms:
        raise InvalidOutput(f"--output {output!r}: expected {', '.join(forms[:-1])} or {forms[-1]}")
    return how


def print_list(
    output: str, runtime: str, ask: "Callable[[EngineReader, str], Awaitable[str]]"
) -> None:
    """Print what *ask* makes of an engine in the form that is asked for, if it is anything.

    Raises SpecError if there is no such form or runtime, and what *ask* raises.
    """
    import anyio

    from k3dasync import backend
    from k3dasync.streams import show

    how = form_of(output, "table", "json", "yaml")

    async def perform() -> str:
        async with backend.reading(runtime) as engine:
            return await ask(engine, how)

    text = anyio.run(perform)
    if text:
        show(text)


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
