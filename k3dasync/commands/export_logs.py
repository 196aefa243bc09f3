"""`export-logs`, also as `cluster export-logs` and `debug export-logs`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from k3dasync.commands._clusters import AllFlag, wanted
from k3dasync.commands._create_flags import RuntimeFlag

if TYPE_CHECKING:
    from k3dasync.backend import Backend

BLOCK = 2**20
"""Bytes of an archive written to standard output at a time."""


def export_logs(
    *names: str,
    all: AllFlag = False,
    output: Annotated[
        str | None,
        Parameter(
            name=["--output", "-o"], allow_leading_hyphen=True, help="The archive; - is stdout."
        ),
    ] = None,
    path: Annotated[
        str | None, Parameter(name=["--path", "-p"], help="The folder for it; here if not given.")
    ] = None,
    node: Annotated[
        tuple[str, ...],
        Parameter(name=["--node", "-n"], negative="", help="Only these nodes; repeatable."),
    ] = (),
    since: Annotated[
        str | None, Parameter(help="No older lines of nodes' logs: 10m, or a time.")
    ] = None,
    runtime: RuntimeFlag = "docker",
) -> None:
    """Pack logs, states, versions and the engine's facts of clusters into an archive.

    Secrets are masked. What could not be had is named in it, and on standard error.
    """
    import tempfile

    from k3dasync.invalid import ConflictingFlags

    if output is not None and path is not None:
        raise ConflictingFlags("give --output or --path, not both")
    asked = wanted(names, is_all=all)
    if output != "-":
        archive = Path(output) if output else Path(path or ".") / _name(asked)
        _export(asked, node, since, archive, runtime, is_shown=True)
        return
    with tempfile.TemporaryDirectory(prefix="k3dasync-") as folder:
        archive = Path(folder) / _name(asked)
        _export(asked, node, since, archive, runtime, is_shown=False)


def _name(names: list[str] | None) -> str:
    import time

    what = names[0] if names and len(names) == 1 else "clusters"
    return f"k3dasync-logs-{what}-{time.strftime('%Y%m%d-%H%M%S')}.tar.gz"


def _export(
    names: list[str] | None,
    nodes: tuple[str, ...],
    since: str | None,
    archive: Path,
    runtime: str,
    *,
    is_shown: bool,
) -> None:
    from k3dasync.access_errors import ExportIncomplete
    from k3dasync.commands._run import Session, run
    from k3dasync.commands.logs import moment
    from k3dasync.errors import Interrupted
    from k3dasync.operations import export_logs as operation
    from k3dasync.streams import pour, say, show

    what = operation.Wanted(names=names, nodes=nodes, since=moment(since) if since else 0)

    async def perform(session: Session) -> tuple[str, ...]:
        backend = session.backend
        with session.stop.scope():
            beside = await _beside(backend)
            return await operation.export_logs(
                what, archive, runtime=backend.runtime, beside=beside
            )
        raise Interrupted(f"{session.stop.because}; nothing was exported")

    problems = run(perform, runtime=runtime)
    for problem in problems:
        say(problem)
    if is_shown:
        show(str(archive))
    else:
        with archive.open("rb") as file:
            while block := file.read(BLOCK):
                pour(block)
    if problems:
        raise ExportIncomplete(str(archive) if is_shown else "the archive", problems)


async def _beside(backend: "Backend") -> Mapping[str, str]:
    """Return what is to be known of us and the engine, whatever the clusters are."""
    import msgspec

    from k3dasync.commands.doctor import document
    from k3dasync.operations.doctor import examine
    from k3dasync.operations.engine_info import shown
    from k3dasync.spec import ClusterSpec

    found = await examine(ClusterSpec(), backend=backend)
    facts = msgspec.to_builtins(found.facts, order="sorted")
    return {
        "versions.json": json.dumps(_versions(), indent=2),
        "engine.json": json.dumps({**facts, "k3d": shown(found.facts)}, indent=2),
        "doctor.json": json.dumps(document(found), indent=2),
    }


def _versions() -> dict[str, str]:
    import platform
    from importlib import metadata

    from k3dasync import __version__
    from k3dasync.images import K3S_VERSION

    names = ("aiodocker", "aiohttp", "anyio", "cyclopts", "grpcio", "msgspec", "PyYAML")
    return {
        "k3dasync": __version__,
        "k3s (default)": K3S_VERSION,
        "python": platform.python_version(),
        "platform": platform.platform(),
        **{name: metadata.version(name) for name in names},
    }
