"""Release channels, asked of a server of our own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from k3dasync.channels import image_of
from k3dasync.errors import ChannelError
from k3dasync.images import K3S, is_channel
from tests.support import asyncio_only

LIST = (
    '{"data": [{"name": "stable", "latest": "v1.35.5+k3s1"}, {"name": "v1.31", "latest":'
    ' "v1.31.9+k3s2"}, {"name": "old"}, 5]}'
)


@asynccontextmanager
async def serving(text: str, status: int = 200) -> AsyncIterator[str]:
    """Serve one answer, and yield its address."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text=text, status=status)

    app = web.Application()
    app.router.add_get("/channels", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"{site._server.sockets[0].getsockname()[1]}"  # type: ignore[union-attr]
    finally:
        await runner.cleanup()


def test_what_a_channel_is() -> None:
    """k3d's two words, and whatever begins with a plus sign."""
    assert all(map(is_channel, ("latest", "stable", "+v1.31", "+")))
    assert not any(map(is_channel, ("k3s:latest", "latest:1", "rancher/k3s")))


@asyncio_only
@pytest.mark.parametrize(
    ("channel", "tag"), [("stable", "v1.35.5-k3s1"), ("+v1.31", "v1.31.9-k3s2")]
)
async def test_a_channel_is_the_version_it_has_now(channel: str, tag: str) -> None:
    """With a minus sign where a tag may not have a plus."""
    async with serving(LIST) as port:
        found = await image_of(channel, url=f"http://127.0.0.1:{port}/channels")

    assert f"docker.io/rancher/k3s:{tag}" == found


@asyncio_only
async def test_a_plus_sign_alone_is_the_usual_version() -> None:
    """Nobody is asked."""
    assert K3S == await image_of("+", url="http://127.0.0.1:1/")


@asyncio_only
@pytest.mark.parametrize(
    ("text", "status", "words"),
    [
        (LIST, 200, "no such channel; there are stable, v1.31"),
        ("busy", 503, "answers 503"),
        ("<html>", 200, "no list of channels"),
        ("[]", 200, "no list of channels"),
    ],
)
async def test_a_channel_that_cannot_be_found(text: str, status: int, words: str) -> None:
    """The error says why, and how to do without."""
    async with serving(text, status) as port:
        with pytest.raises(ChannelError, match=words) as caught:
            await image_of("+nope", url=f"http://127.0.0.1:{port}/channels")

    assert "name an image with its tag" in str(caught.value)


@asyncio_only
async def test_without_a_network_it_is_one_line() -> None:
    """Nobody answers there."""
    with pytest.raises(ChannelError, match="cannot ask") as caught:
        await image_of("stable", url="http://127.0.0.1:1/")

    assert 1 == len(str(caught.value).splitlines())
