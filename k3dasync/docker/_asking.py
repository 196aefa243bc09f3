"""What every part of a Docker runtime asks with: the connection, the limits, the deadlines."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import anyio
from anyio.lowlevel import checkpoint_if_cancelled

from k3dasync.docker.connection import Connection
from k3dasync.limits import Limiters

CALL_TIMEOUT = 60.0
"""For a single call; the slowest of these, an `/info` on a busy engine, takes a second. Longer is
an engine that hangs."""


class Asking:
    """One engine, once it is connected."""

    def __init__(self, limiters: Limiters) -> None:
        self._limiters = limiters
        self._connection: Connection | None = None

    @property
    def _engine(self) -> Connection:
        if self._connection is None:
            raise RuntimeError("a DockerRuntime is usable inside `async with` only")
        return self._connection

    @contextmanager
    def _asking(
        self, operation: str, resource: str, *, seconds: float = CALL_TIMEOUT
    ) -> Iterator[None]:
        with self._engine.mapped(operation, resource), anyio.fail_after(seconds):
            yield

    @asynccontextmanager
    async def _changing(
        self, operation: str, resource: str, *, seconds: float = CALL_TIMEOUT
    ) -> AsyncIterator[None]:
        """Shield a call that changes something from cancellation, within its own deadline.

        A call cut in flight often takes effect after we have left, and then a rollback that looks
        for what is there comes too early. So we wait for its end first; whoever has cancelled us
        before it began is heard at once, everybody else right after.
        """
        await checkpoint_if_cancelled()
        with self._engine.mapped(operation, resource), anyio.fail_after(seconds, shield=True):
            yield
