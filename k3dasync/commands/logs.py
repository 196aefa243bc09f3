"""`logs`: the nodes' logs as one."""

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from k3dasync.commands._create_flags import RuntimeFlag
from k3dasync.grammar.names import DEFAULT_NAME, check_given

if TYPE_CHECKING:
    from k3dasync.operations.logs import NodeLine, Query

_COLORS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)
"""Of ANSI, those that can be read on black and on white; the nodes take turns."""
_LATEST = 10**9
"""Seconds: a `--since` above it is a moment, counted from 1970; a log is not thirty years old."""


def logs(
    name: str = DEFAULT_NAME,
    /,
    *nodes: str,
    follow: Annotated[
        bool, Parameter(name=["--follow", "-f"], negative="", help="And what comes, until Ctrl-C.")
    ] = False,
    tail: Annotated[
        str, Parameter(name=["--tail", "-n"], help="The last lines of each node; all if not given.")
    ] = "all",
    since: Annotated[
        str | None, Parameter(help="Not older than that: 10m, or a time as --times shows it.")
    ] = None,
    times: Annotated[
        bool, Parameter(name=["--times", "-t"], negative="", help="When each line was written.")
    ] = False,
    prefix: Annotated[bool, Parameter(help="The node's name in front of each line.")] = True,
    runtime: RuntimeFlag = "docker",
) -> None:
    """Print the logs of a cluster's nodes, or of those named, in order of time."""
    import anyio

    from k3dasync import backend
    from k3dasync.commands._output import Output
    from k3dasync.operations.logs import read_logs
    from k3dasync.streams import say

    check_given(name)
    output = Output()
    query = _query(tail, since, follow=follow)
    form = Form(name, has_prefix=prefix, has_times=times, has_colors=_has_colors())

    async def write(lines: "Sequence[NodeLine]") -> None:
        await output.write(form.text(lines).encode())

    async def perform() -> None:
        async with backend.find(runtime)() as opened:
            engine = opened.runtime
            await read_logs(
                name, nodes, query, runtime=engine, write=write, meet=form.meet, tell=say
            )

    anyio.run(perform)


class Form:
    """How lines look: names without what all share, as wide as the widest so far."""

    def __init__(
        self, cluster: str, *, has_prefix: bool, has_times: bool, has_colors: bool
    ) -> None:
        self._cluster = cluster
        self._has_prefix, self._has_times, self._has_colors = has_prefix, has_times, has_colors
        self._width = 0
        self._fronts: dict[str, str] = {}

    def text(self, lines: "Sequence[NodeLine]") -> str:
        """Return lines with what stands in front of each, ends included."""
        from k3dasync.loglines import stamp

        self.meet(line.node for line in lines)
        found = []
        for one in lines:
            time = f"{stamp(one.line.at)} " if self._has_times else ""
            found.append(f"{self._fronts.get(one.node, '')}{time}{one.line.text}\n")
        return "".join(found)

    def meet(self, nodes: Iterable[str]) -> None:
        """Learn of nodes whose lines may come, so that all of them are aligned."""
        new = [node for node in dict.fromkeys(nodes) if node not in self._fronts]
        if not new or not self._has_prefix:
            return
        known = [*self._fronts, *new]
        short = {node: node.removeprefix(f"k3d-{self._cluster}-") for node in known}
        self._width = max(map(len, short.values()))
        for place, node in enumerate(known):
            front = f"{short[node]:<{self._width}} |"
            color = _COLORS[place % len(_COLORS)]
            self._fronts[node] = (
                f"\x1b[{color}m{front}\x1b[0m " if self._has_colors else f"{front} "
            )


def _has_colors() -> bool:
    from k3dasync import verbosity

    wished = verbosity.current.get().colors
    return sys.stdout.isatty() if wished is None else wished and sys.stdout.isatty()


def _query(tail: str, since: str | None, *, follow: bool) -> "Query":
    from k3dasync.invalid import InvalidValue
    from k3dasync.operations.logs import Query

    if tail != "all" and not tail.isdecimal():
        raise InvalidValue(f"--tail {tail!r}: expected a number of lines, or all")
    lines = None if tail == "all" else int(tail)
    return Query(tail=lines, since=moment(since) if since else 0, follow=follow)


def moment(text: str) -> int:
    """Return the moment that `--since` names, in nanoseconds since 1970.

    A duration before now, a time, or seconds since 1970. Raises SpecError if it is none of them.
    """
    import time

    from k3dasync.loglines import NANO, nanoseconds
    from k3dasync.spec import parse_duration

    at = nanoseconds(text)
    if at is not None:
        return at
    if text.isdecimal() and int(text) > _LATEST:
        return int(text) * NANO
    return time.time_ns() - int((parse_duration(text, "--since") or 0.0) * NANO)
