"""The images of an engine: which there are, and what they consist of."""

import posixpath
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import anyio

from k3dasync.docker import credentials, platforms, pull
from k3dasync.docker._asking import CALL_TIMEOUT
from k3dasync.docker.connection import Connection
from k3dasync.errors import EngineError, ImageUnavailable
from k3dasync.runtime import ImageState, PullProgress

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
            platform = await _platform(connection, tags)
            params = [("names", tag) for tag in tags]
            params += [("platform", platform)] if platform else []
            content = await stack.enter_async_context(
                connection.content("GET", "images/get", params=params)
            )
        yield _Pieces(connection, resource, content.iter_chunked(PIECE))


async def _platform(connection: Connection, tags: Sequence[str]) -> str | None:
    """Return the platform to ask for, None where all that an index names is there."""
    if not platforms.knows_platforms(connection.docker.api_version):
        return None
    with anyio.fail_after(CALL_TIMEOUT):
        listed = await connection.json("images/json", {"manifests": "1"})
        if platforms.wanted_platform(listed, tags, "") is None:
            return None
        info = await connection.docker.system.info()
    return platforms.wanted_platform(listed, tags, str(info.get("Architecture", "")))


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


async def pulled(
    connection: Connection, image: str, auth: str | None, progress: PullProgress
) -> None:
    """Let the engine pull an image; raises ImageUnavailable if it says that it cannot.

    *auth* is the registry's header, None without credentials. The stream's end proves nothing.
    """
    _, full_name = credentials.split_image(image)
    has_tag = "@" in full_name or ":" in posixpath.basename(full_name)
    parameters = {"fromImage": full_name if has_tag else f"{full_name}:latest"}
    headers = {"X-Registry-Auth": auth} if auth else None
    tally = pull.PullTally()
    try:
        # No deadline: how long a pull takes is up to the line, and progress is to be seen.
        with connection.mapped("pull", f"image {image}"):
            async with connection.stream(
                "POST", "images/create", params=parameters, headers=headers
            ) as messages:
                async for message in messages:
                    if "error" in message or "errorDetail" in message:
                        detail = message.get("errorDetail") or {}
                        words = detail.get("message") or message.get("error") or "unknown"
                        raise pull.pull_error(image, str(words))
                    progress(*tally.feed(message))
    except ImageUnavailable:
        raise
    except EngineError as error:
        raise pull.pull_error(image, error.words, error.status) from error
