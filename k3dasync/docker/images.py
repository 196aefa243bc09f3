"""The images of an engine: which there are, and what they consist of."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from k3dasync.docker.connection import Connection
from k3dasync.runtime import ImageState

PIECE = 256 * 2**10
"""Bytes of an export's piece, at most: aiohttp hands out what it has, 128 kB of its own."""


async def listed(connection: Connection) -> Sequence[ImageState]:
    """Return all images; raises foreign errors, so use it inside `mapped`."""
    return [_image(entry) for entry in await connection.docker.images.list()]


def _image(entry: Mapping[str, Any]) -> ImageState:
    def named(key: str) -> tuple[str, ...]:
        return tuple(name for name in entry.get(key) or () if "<none>" not in name)

    return ImageState(
        id=entry["Id"],
        tags=named("RepoTags"),
        digests=named("RepoDigests"),
        size=int(entry.get("Size") or 0),
    )


@asynccontextmanager
async def exported(
    connection: Connection, tags: Sequence[str]
) -> AsyncIterator[AsyncIterator[bytes]]:
    """Open the stream of an archive; what is read from it raises our errors."""
    resource = f"image{'s' * (len(tags) > 1)} {', '.join(tags)}"
    async with AsyncExitStack() as stack:
        # No deadline: an engine packs images on its disk before it answers.
        with connection.mapped("export", resource):
            content = await stack.enter_async_context(
                connection.content("GET", "images/get", params=[("names", tag) for tag in tags])
            )
        yield _Pieces(connection, resource, content.iter_chunked(PIECE))


class _Pieces:
    """A stream of bytes; iteration raises our errors."""

    def __init__(
        self, connection: Connection, resource: str, content: AsyncIterator[bytes]
    ) -> None:
        self._connection, self._resource, self._content = connection, resource, content

    def __aiter__(self) -> "_Pieces":
        return self

    async def __anext__(self) -> bytes:
        with self._connection.mapped("export", self._resource):
            return await anext(self._content)
