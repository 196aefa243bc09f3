"""Nodes that run and do not get on: found out by few, bounded looks at the ends of their logs.

An agent that is refused, or reaches nobody, retries for ever and never exits. Readiness is not read
from these words, only why it does not come.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from k3dasync import diagnosis
from k3dasync.errors import K3dAsyncError
from k3dasync.node_errors import NodeStuck
from k3dasync.runtime import ContainerDetail, Runtime

FIRST_LOOK = 8.0
"""Seconds without a change, after the start of the node and of the API. Real k3s registers an agent
7-8 s after that, so that those which join as they should are hardly ever looked at; one that is
refused has said so three times by then, as it asks every 2 s."""
GROWTH = 2.0
"""The time doubles from one look to the next: 8, 16, 32 s and so on, six looks in four minutes."""
NOT_PASSING = 15.0
"""Seconds after which a node that does not reach a server which answers will not by itself: by then
it has tried seven times. A network of the engine is there when a container starts."""
TAIL = 20
"""Lines of a look: a node that cannot join writes one or two with each try."""


@dataclass(slots=True)
class _Look:
    """What was seen of a node that has not got on `since` then."""

    since: float
    due: float
    line: str = ""


class Stalls:
    """Remembers when nodes were looked at, and what they said.

    *mask* takes secrets out of a line; *is_server_up* asks the server through the published port.
    None: the cluster is elsewhere, and nobody here starts its servers or deletes a Node there.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        mask: Callable[[str], str],
        is_server_up: Callable[[], Awaitable[bool]] | None,
    ) -> None:
        self._runtime, self._mask, self._is_server_up = runtime, mask, is_server_up
        self._looks: dict[str, _Look] = {}

    def due(self, node: str, since: float) -> float:
        """Return when to look next at a node that has not got on *since* then."""
        return self._of(node, since).due

    def said(self, node: str, since: float) -> str:
        """Return what a node has complained of since then, without time and level."""
        return diagnosis.message(self._of(node, since).line)

    def _of(self, node: str, since: float) -> _Look:
        look = self._looks.get(node)
        if look is None or look.since != since:
            look = self._looks[node] = _Look(since=since, due=since + FIRST_LOOK)
        return look

    async def listen(self, node: str, since: float, now: float) -> None:
        """Look once at a server that has no API yet, for those who wait to be told what it says.

        It joins nobody, so it is not stuck: a datastore outside may come up later than it.
        """
        log = await self._tail(node, since, now)
        said = [line for line in log if line.strip()]
        self._of(node, since).line = diagnosis.last_trouble(log) or "".join(said[-1:])

    async def look(self, node: str, since: float, now: float) -> NodeStuck | None:
        """Look once and return the error if it will not get on by itself."""
        look = self._of(node, since)
        log = await self._tail(node, since, now)
        before, look.line = look.line, diagnosis.last_trouble(log)
        cause = diagnosis.of_delay(look.line, is_elsewhere=self._is_server_up is None)
        if cause is None:
            return None
        if cause is diagnosis.UNREACHABLE and not await self._lasts(look, before, now):
            return None
        return NodeStuck(
            node, server=await self._server(node), cause=cause, log=diagnosis.last_words(log)
        )

    async def _tail(self, node: str, since: float, now: float) -> list[str]:
        """Return its last lines, and let the next look be later."""
        self._of(node, since).due = since + max(now - since, FIRST_LOOK) * GROWTH
        try:
            return [self._mask(line) for line in await self._runtime.logs(node, tail=TAIL)]
        except K3dAsyncError:
            return []  # it may be gone, and that is noticed elsewhere

    async def _lasts(self, look: _Look, before: str, now: float) -> bool:
        """Say whether a node has said twice, each time anew, that it does not reach its server."""
        said_before = diagnosis.of_delay(before) is diagnosis.UNREACHABLE and before != look.line
        is_old = now - look.since >= NOT_PASSING
        if not (said_before and is_old):
            return False
        return self._is_server_up is None or await self._is_server_up()

    async def _server(self, node: str) -> str:
        try:
            return server_of(await self._runtime.inspect_container(node))
        except K3dAsyncError:
            return ""


def server_of(detail: ContainerDetail) -> str:
    """Return the URL of the server that a node is to join: its flag's before its variable's."""
    by_flag = flag_value(detail.command, "--server")
    by_variable = [one[len("K3S_URL=") :] for one in detail.env if one.startswith("K3S_URL=")]
    return by_flag or "".join(by_variable[-1:])


def flag_value(command: Sequence[str], flag: str) -> str:
    """Return the last value of a flag, behind `=` or as the next word; empty if it has none."""
    found = ""
    for word, after in zip(command, (*command[1:], ""), strict=True):
        name, has_value, value = word.partition("=")
        if name == flag:
            found = value if has_value else after
    return found
