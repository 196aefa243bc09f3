"""Images of the fake engine, and the archives it exports: real tars, made as they are read."""

import hashlib
import io
import json
import tarfile
from collections.abc import Awaitable, Callable, Iterator, Sequence

from k3dasync.runtime import ImageState

SIZE = 1_000_000
"""Bytes of an image, if nobody says otherwise: large enough for several pieces."""
PIECE = 64 * 2**10
"""Bytes of a piece, as an engine's answers have them."""


def image(name: str, size: int) -> ImageState:
    """Return an image under the short name that engines show."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    short = name.removeprefix("docker.io/").removeprefix("library/")
    repository = short.partition("@")[0]
    if "@" not in short and ":" in short.rpartition("/")[2]:
        repository = short.rpartition(":")[0]
    tags = () if "@" in short else (short if short != repository else f"{short}:latest",)
    digests = (f"{repository}@sha256:{digest}",)
    return ImageState(id=f"sha256:{digest}", tags=tags, digests=digests, size=size)


def archive(images: Sequence[ImageState], tags: Sequence[str]) -> Iterator[bytes]:
    """Yield the pieces of a docker archive; each image is one layer of zeros."""
    manifest = []
    for one in images:
        digest = one.id.removeprefix("sha256:")
        layer, config = f"{digest}/layer.tar", f"{digest}.json"
        yield _header(layer, one.size)
        for start in range(0, one.size, PIECE):
            yield bytes(min(PIECE, one.size - start))
        yield bytes(-one.size % tarfile.BLOCKSIZE)
        yield _member(config, b"{}")
        mine = [tag for tag in one.tags if tag in tags]
        manifest.append({"Config": config, "RepoTags": mine, "Layers": [layer]})
    yield _member("manifest.json", json.dumps(manifest).encode())
    yield bytes(2 * tarfile.BLOCKSIZE)


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


def _member(name: str, content: bytes) -> bytes:
    file = io.BytesIO(_header(name, len(content)) + content)
    return file.getvalue() + bytes(-len(content) % tarfile.BLOCKSIZE)


class Export:
    """The pieces of an archive, each asked of the engine; None from it is the end."""

    def __init__(self, ask: Callable[[], Awaitable[bytes | None]]) -> None:
        self._ask = ask

    def __aiter__(self) -> "Export":
        return self

    async def __anext__(self) -> bytes:
        piece = await self._ask()
        if piece is None:
            raise StopAsyncIteration
        return piece
