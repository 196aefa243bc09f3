"""The logs of a Docker engine's containers, as fast as whoever reads them."""

from collections import deque
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp

from k3dasync.docker._asking import Asking
from k3dasync.docker.connection import Connection
from k3dasync.errors import EngineError, EngineUnavailable
from k3dasync.loglines import NANO, Frames, LogBroken, LogLine


class Logs(Asking):
    """That part of the Runtime."""

    @asynccontextmanager
    async def follow_logs(
        self, name: str, *, tail: int | None = None, since: int = 0, follow: bool = True
    ) -> AsyncIterator[AsyncIterator[LogLine]]:
        asked = {"stdout": "1", "stderr": "1", "timestamps": "1"}
        asked |= {"tail": "all" if tail is None else str(tail), "follow": str(int(follow))}
        if since:
            asked["since"] = f"{since // NANO}.{since % NANO:09d}"
        async with AsyncExitStack() as stack:
            with self._asking("read the log of", f"container {name}"):
                path = f"containers/{name}/logs"
                answer = self._engine.content("GET", path, params=asked)
                content = await stack.enter_async_context(answer)
            yield _Lines(self._engine, name, content, may_end=follow)


class _Lines:
    """The lines of a stream. Nothing reads ahead: what is not read stays with the engine."""

    def __init__(
        self, connection: Connection, name: str, content: aiohttp.StreamReader, *, may_end: bool
    ) -> None:
        self._connection, self._name, self._content = connection, name, content
        self._may_end = may_end
        self._frames = Frames()
        self._ready: deque[LogLine] = deque()
        self._is_over = False

    def __aiter__(self) -> "_Lines":
        return self

    async def __anext__(self) -> LogLine:
        while not self._ready:
            if self._is_over:
                raise StopAsyncIteration
            await self._read()
        return self._ready.popleft()

    async def _read(self) -> None:
        try:
            with self._connection.mapped("read the log of", f"container {self._name}"):
                piece = await self._content.readany()
        except EngineUnavailable:
            if not self._may_end:
                raise
            piece = b""  # a connection that breaks ends it, and proves nothing
        if not piece:
            self._is_over = True
            self._ready.extend(self._frames.end())
            return
        try:
            self._ready.extend(self._frames.feed(piece))
        except LogBroken as error:
            resource = f"container {self._name}"
            raise EngineError("read the log of", resource, str(error)) from error
