"""One stream to many readers, as fast as the slowest of them, and no faster."""

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

DEPTH = 4
"""Pieces that wait for one reader. Two keep a reader busy while the next is fetched; the pieces
are shared by all readers, so that four of 256 kB are 1 MB in all as long as nobody lags."""
STALL_SECONDS = 60.0
"""A node writes what it reads to its disk, and a disk that flushes stands still for seconds. Ten
times the longest of these is a reader that hangs, and the others are waiting for it."""


class Stalled(Exception):
    """A reader took nothing for too long, and gets no more."""


class Broken(Exception):
    """The stream ended before its end; the cause says why."""


@dataclass(slots=True)
class _Outlet:
    """The way to one reader."""

    send: MemoryObjectSendStream[bytes]
    receive: MemoryObjectReceiveStream[bytes]
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    is_stalled: bool = False


class Fanout:
    """Hands each piece to all readers that are left; one that goes away holds up nobody."""

    def __init__(
        self, readers: Iterable[str], *, depth: int = DEPTH, stall_seconds: float = STALL_SECONDS
    ) -> None:
        self._outlets = {
            name: _Outlet(*anyio.create_memory_object_stream[bytes](depth)) for name in readers
        }
        self._stall_seconds = stall_seconds
        self._open = dict(self._outlets)
        self._error: Exception | None = None
        self._has_ended = False

    @property
    def has_readers(self) -> bool:
        """Whether anybody is left to read."""
        return bool(self._open)

    async def send(self, piece: bytes) -> None:
        """Hand out a piece, and return when every reader has room for it or has gone."""
        waiting = [name for name, outlet in self._open.items() if not _take(outlet, piece)]
        if waiting:
            async with anyio.create_task_group() as group:
                for name in waiting:
                    group.start_soon(self._wait_for, name, piece)

    async def _wait_for(self, name: str, piece: bytes) -> None:
        outlet = self._outlets[name]
        try:
            with anyio.fail_after(self._stall_seconds):
                await outlet.send.send(piece)
        except TimeoutError:
            outlet.is_stalled = True
            outlet.scope.cancel()
            self._close(name)
        except anyio.BrokenResourceError:
            self._close(name)

    def end(self, error: Exception | None = None) -> None:
        """Let every reader come to the end of the stream, or to *error* as Broken's cause."""
        if self._has_ended:
            return
        self._error, self._has_ended = error, True
        for name in tuple(self._open):
            self._close(name)

    def _close(self, name: str) -> None:
        outlet = self._open.pop(name, None)
        if outlet is not None:
            outlet.send.close()

    @contextmanager
    def reading(self, name: str) -> Iterator[AsyncIterator[bytes]]:
        """Read the pieces; on leaving, the reader gets no more.

        Raises Stalled if it took nothing for too long; iteration raises Broken if the stream does
        not come to its end.
        """
        outlet = self._outlets[name]
        with outlet.scope, outlet.receive:
            yield _Pieces(self, outlet.receive)
        if outlet.is_stalled:
            raise Stalled(f"took nothing for {self._stall_seconds:g} s")

    def leave(self, name: str) -> None:
        """Let a reader be gone that never reads; harmless when repeated."""
        # The sender's side stays open: it may be waiting there, and finds out by itself.
        self._outlets[name].receive.close()

    def close(self) -> None:
        """Let go of what nobody ever read or sent; harmless when repeated."""
        for outlet in self._outlets.values():
            outlet.send.close()
            outlet.receive.close()

    def _check_end(self) -> None:
        if self._error is not None:
            raise Broken from self._error
        if not self._has_ended:
            raise Broken


class _Pieces:
    """What one reader iterates over: no generator, which would have to be closed."""

    def __init__(self, fanout: Fanout, receive: MemoryObjectReceiveStream[bytes]) -> None:
        self._fanout, self._receive = fanout, receive

    def __aiter__(self) -> "_Pieces":
        return self

    async def __anext__(self) -> bytes:
        try:
            return await self._receive.receive()
        except anyio.EndOfStream:
            self._fanout._check_end()  # noqa: SLF001 - of one file
            raise StopAsyncIteration from None


def _take(outlet: _Outlet, piece: bytes) -> bool:
    try:
        outlet.send.send_nowait(piece)
    except (anyio.WouldBlock, anyio.BrokenResourceError):
        return False
    return True
