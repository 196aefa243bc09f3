"""Archives in forms that not every node can read, unpacked once on their way to all of them.

containerd reads plain and gzipped ones; zstd since 1.6, so not in older k3s; xz and bzip2 never.
"""

import bz2
import lzma
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import import_module
from typing import Any, Protocol

from anyio import to_thread

from k3dasync.errors import ImportFailed

PIECE = 256 * 2**10
"""Bytes unpacked at a time, at most: a few kB of zeros would be many MB."""


class Decompressor(Protocol):
    """What the standard library's have in common."""

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...


def _zstd() -> Decompressor:
    is_standard = sys.version_info >= (3, 14)
    module: Any = import_module("compression.zstd" if is_standard else "backports.zstd")
    made: Decompressor = module.ZstdDecompressor()
    return made


_FORMS: Mapping[bytes, Callable[[], Decompressor]] = {
    b"\x28\xb5\x2f\xfd": _zstd,
    b"\xfd7zXZ\x00": lzma.LZMADecompressor,
    b"BZh": bz2.BZ2Decompressor,
}
"""By what a file begins with."""
LONGEST_MAGIC = max(map(len, _FORMS))


def is_packed(head: bytes) -> bool:
    """Say whether what begins like this will be unpacked here."""
    return _form_of(head) is not None


@asynccontextmanager
async def unpacked(
    source: Callable[[], AbstractAsyncContextManager[AsyncIterator[bytes]]], name: str
) -> AsyncIterator[AsyncIterator[bytes]]:
    """Read *source*, unpacked if it is to be; iteration raises ImportFailed if it is broken."""
    async with source() as pieces:
        yield _Unpacked(pieces, name)


def _form_of(head: bytes) -> Callable[[], Decompressor] | None:
    return next((make for magic, make in _FORMS.items() if head.startswith(magic)), None)


class _Unpacked:
    """The pieces as nodes can read them: no generator, which would have to be closed."""

    def __init__(self, pieces: AsyncIterator[bytes], name: str) -> None:
        self._pieces, self._name = pieces, name
        self._make: Callable[[], Decompressor] | None = None
        self._decompressor: Decompressor | None = None
        self._held = b""
        self._has_begun = False

    def __aiter__(self) -> "_Unpacked":
        return self

    async def __anext__(self) -> bytes:
        if not self._has_begun:
            await self._begin()
        if self._make is None:
            held, self._held = self._held, b""
            return held or await anext(self._pieces)
        while True:
            plain = await self._step(self._make)
            if plain:
                return plain

    async def _begin(self) -> None:
        """Read so much that its form is known."""
        self._has_begun = True
        while len(self._held) < LONGEST_MAGIC:
            piece = await anext(self._pieces, b"")
            if not piece:
                break
            self._held += piece
        self._make = _form_of(self._held)

    async def _step(self, make: Callable[[], Decompressor]) -> bytes:
        """Unpack some more; several streams may stand one behind the other."""
        current = self._decompressor
        if current is not None and current.eof:
            self._held = current.unused_data.lstrip(b"\0") or await self._next_stream()
            current = None
        if current is None:
            current = self._decompressor = make()
        elif current.needs_input and not self._held:
            self._held = await anext(self._pieces, b"")
            if not self._held:
                raise ImportFailed(f"cannot unpack {self._name}: it ends before its end")
        given, self._held = self._held, b""
        try:
            return await to_thread.run_sync(current.decompress, given, PIECE)
        except Exception as error:  # zstd's has no base in common with the others'
            raise ImportFailed(f"cannot unpack {self._name}: {error}") from error

    async def _next_stream(self) -> bytes:
        """Return what follows a stream's end; zeros fill up to a block. Raises at the very end."""
        while not (piece := (await anext(self._pieces)).lstrip(b"\0")):
            pass
        return piece
