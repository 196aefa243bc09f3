"""`prune`."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from k3dasync.commands._create_flags import EventsFlag, RuntimeFlag
from k3dasync.commands._tables import columns, form_of, structured
from k3dasync.invalid import MissingValue

if TYPE_CHECKING:
    from k3dasync.commands._run import Session
    from k3dasync.operations._stray import Stray
    from k3dasync.operations.prune import Pruned, Wanted


def prune(
    *names: Annotated[str, Parameter(help="What is left of these clusters only.", negative="")],
    dry_run: Annotated[
        bool, Parameter(negative="", help="Print what would be removed, and touch nothing.")
    ] = False,
    force: Annotated[
        bool, Parameter(name=["--force", "-f"], negative="", help="Do not ask.")
    ] = False,
    older_than: Annotated[
        str, Parameter(show_default=False, help="At least so old, as in 24h; 15m if not given.")
    ] = "",
    external: Annotated[
        bool,
        Parameter(
            negative="", help="Also volumes and networks for several clusters that none uses."
        ),
    ] = False,
    output: Annotated[
        str, Parameter(name=["--output", "-o"], help="table, json or yaml.")
    ] = "table",
    events: EventsFlag = None,
    runtime: RuntimeFlag = "docker",
) -> None:
    """Remove what belongs to no cluster, and clusters whose --ttl is over."""
    from k3dasync.commands._run import run
    from k3dasync.operations import prune as operation
    from k3dasync.spec import check_name
    from k3dasync.streams import show
    from k3dasync.verbosity import inform

    how = form_of(output, "table", "json", "yaml")
    wanted = operation.Wanted(
        clusters=tuple(map(check_name, names)),
        older_than=_seconds(older_than),
        is_external=external,
    )
    found = run(_finding(wanted), runtime=runtime)
    if dry_run or not found:
        if found or how != "table":
            show(shown(found, how))
        inform(f"{total(found)} would be removed" if found else "nothing to prune")
        return
    if not force and not _wants(found):
        inform("nothing was removed")
        return

    async def perform(session: "Session") -> "Pruned":
        return await operation.remove(
            found, wanted, backend=session.backend, sinks=session.sinks, stop=session.stop
        )

    done = run(
        perform, runtime=runtime, events=events, shows_progress=True, to_finish="k3dasync prune"
    )
    show(shown(done.removed, how))
    for name in done.busy:
        inform(f"cluster {name} is being worked on: nothing of it was removed")
    inform(f"{total(done.removed)} removed")


def _finding(wanted: "Wanted") -> Any:
    from k3dasync.operations import prune as operation

    async def perform(session: "Session") -> "tuple[Stray, ...]":
        backend = session.backend
        return await operation.find(wanted, backend.runtime, sees_files=not backend.is_rehearsal)

    return perform


def _seconds(text: str) -> float | None:
    """Return an age; nothing given is none, and 0s is none at all."""
    from k3dasync.spec import parse_duration

    return (parse_duration(text, "--older-than") or 0.0) if text else None


def _wants(found: "Sequence[Stray]") -> bool:
    """Ask the user whether that is to be removed; raises SpecError where nobody can be asked."""
    from k3dasync.streams import say

    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise MissingValue(
            f"{total(found)} would be removed, and nobody can be asked here: pass --force, or see "
            "them with --dry-run"
        )
    say(shown(found, "table"))
    say(f"remove {total(found)}? [y/N]")
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def shown(found: "Sequence[Stray]", how: str) -> str:
    """Return what is stray as a table, JSON or YAML."""
    if how != "table":
        return structured(
            [
                {
                    "kind": one.kind,
                    "name": one.name,
                    "cluster": one.cluster,
                    "why": one.why,
                    "bytes": one.size,
                }
                for one in found
            ],
            how,
        )
    rows = [["KIND", "CLUSTER", "SIZE", "NAME", "WHY"]]
    rows += [[one.kind, one.cluster, _size(one.size), one.name, one.why] for one in found]
    return columns(rows)


def total(found: "Sequence[Stray]") -> str:
    """Return how many things these are, and their bytes as far as they are known."""
    count, size = len(found), sum(one.size or 0 for one in found)
    return f"{count} thing{'s' * (count != 1)}" + (f", {_size(size)}" if size else "")


def _size(size: int | None) -> str:
    if size is None:
        return ""
    from k3dasync.operations._k3d_json import human_size

    return human_size(size) or "0B"
