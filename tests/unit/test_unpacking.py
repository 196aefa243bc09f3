"""Archives that not every node can read are unpacked on their way."""

import bz2
import gzip
import lzma
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from backports import zstd

from k3dasync.errors import ImportFailed
from k3dasync.unpacking import LONGEST_MAGIC, PIECE, is_packed, unpacked

CONTENT = os.urandom(700_000) + bytes(3_000_000)
PACK: dict[str, Callable[[bytes], bytes]] = {
    "xz": lzma.compress,
    "bzip2": bz2.compress,
    "zstd": zstd.compress,
}


async def read(content: bytes, step: int = 60_000) -> list[bytes]:
    """Return the pieces of what comes in pieces of *step* bytes."""

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(content), step):
            yield content[start : start + step]

    @asynccontextmanager
    async def opened() -> AsyncIterator[AsyncIterator[bytes]]:
        yield pieces()

    async with unpacked(opened, "a.tar") as plain:
        return [piece async for piece in plain]


@pytest.mark.parametrize("form", PACK)
@pytest.mark.parametrize("step", [1_000_000, 60_000, 4])
async def test_what_is_packed_comes_out_as_it_was(form: str, step: int) -> None:
    """In pieces that stay small, however much a few bytes unpack to."""
    content = CONTENT if step > 4 else CONTENT[-3_000_000:]
    packed = PACK[form](content)
    pieces = await read(packed, step)

    assert is_packed(packed[:LONGEST_MAGIC])
    assert content == b"".join(pieces)
    assert max(map(len, pieces)) <= PIECE


@pytest.mark.parametrize("form", PACK)
async def test_several_streams_are_one(form: str) -> None:
    """As programs write them that pack with several threads, or that append."""
    packed = PACK[form](b"one, ") + PACK[form](b"two")

    assert b"one, two" == b"".join(await read(packed))
    assert b"one, two" == b"".join(await read(packed, len(PACK[form](b"one, "))))


async def test_the_zeros_that_fill_up_an_xz_file_are_nothing() -> None:
    """They may stand behind any of its streams."""
    packed = lzma.compress(b"one, ") + bytes(4) + lzma.compress(b"two") + bytes(8)

    assert b"one, two" == b"".join(await read(packed))


@pytest.mark.parametrize("content", [b"", b"x", b"BZ", b"a tar", gzip.compress(CONTENT)])
async def test_everything_else_passes_as_it_is(content: bytes) -> None:
    """Nodes unpack gzip by themselves, and short files are none of ours."""
    assert content == b"".join(await read(content, 1 << 20))
    assert content[:1000] == b"".join(await read(content[:1000], 1))


@pytest.mark.parametrize("form", PACK)
async def test_what_is_broken_is_named(form: str) -> None:
    """One that is cut, and one whose middle is something else."""
    packed = PACK[form](CONTENT)
    with pytest.raises(ImportFailed, match=r"cannot unpack a\.tar: it ends before its end"):
        await read(packed[: len(packed) // 2])
    with pytest.raises(ImportFailed, match=r"cannot unpack a\.tar: ."):
        await read(packed[:100] + bytes(range(256)) * 1000)
