"""Archives on this machine as streams: files, and standard input."""

import os
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import BinaryIO

import anyio
from anyio import to_thread

from k3dasync.errors import SpecError

PIECE = 256 * 2**10
"""Bytes read at a time: a thread's round trip costs 0.1 ms, the copy of so much about as long."""


def is_file(path: str) -> bool:
    """Say whether a word names a file of this machine, a link to one included."""
    return Path(path).is_file()


def size_of(path: str) -> int:
    """Return a file's bytes; raises SpecError if it cannot be read."""
    with _readable(path), Path(path).open("rb") as file:
        return os.fstat(file.fileno()).st_size


def head_of(path: str, count: int) -> bytes:
    """Return a file's first bytes; raises SpecError if it cannot be read."""
    with _readable(path), Path(path).open("rb") as file:
        return file.read(count)


def refuse_terminal() -> None:
    """Raise SpecError if standard input is a terminal: nobody types an archive."""
    if sys.stdin.isatty():
        raise SpecError("-: standard input is a terminal; pipe an archive into it")


@asynccontextmanager
async def from_file(path: str) -> AsyncIterator[AsyncIterator[bytes]]:
    """Read a file; raises SpecError if that fails."""
    with _readable(path):
        file = await to_thread.run_sync(_open, path)
    try:
        yield _FilePieces(file, path)
    finally:
        file.close()


@asynccontextmanager
async def from_stdin() -> AsyncIterator[AsyncIterator[bytes]]:
    """Read standard input to its end."""
    yield _InputPieces(sys.stdin.fileno())


class _FilePieces:
    """The pieces of a file, read in a thread: disks have no readiness to wait for."""

    def __init__(self, file: BinaryIO, path: str) -> None:
        self._file, self._path = file, path

    def __aiter__(self) -> "_FilePieces":
        return self

    async def __anext__(self) -> bytes:
        with _readable(self._path):
            piece = await to_thread.run_sync(self._file.read, PIECE)
        if not piece:
            raise StopAsyncIteration
        return piece


class _InputPieces:
    """The pieces of a pipe, read when there are some: a thread that waits could not be stopped."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        kind = os.fstat(descriptor).st_mode
        self._can_wait = stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind)

    def __aiter__(self) -> "_InputPieces":
        return self

    async def __anext__(self) -> bytes:
        with _readable("standard input"):
            if self._can_wait:
                await anyio.wait_readable(self._descriptor)
                piece = os.read(self._descriptor, PIECE)
            else:
                piece = await to_thread.run_sync(os.read, self._descriptor, PIECE)
        if not piece:
            raise StopAsyncIteration
        return piece


def _open(path: str) -> BinaryIO:
    return Path(path).open("rb", buffering=0)


def _readable(path: str) -> AbstractContextManager[None]:
    """Raise SpecError for whatever keeps a file from being read inside."""

    @contextmanager
    def guard() -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SpecError(f"cannot read {path}: {error.strerror or error}") from error

    return guard()
