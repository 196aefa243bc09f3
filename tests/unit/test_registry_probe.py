"""What counts as an answer of a registry, asked of servers of our own."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.abc import SocketStream

from k3dasync.registry_probe import answers


@asynccontextmanager
async def serving(answer: bytes) -> AsyncIterator[int]:
    """Answer whatever is asked, and yield the port."""

    async def handle(stream: SocketStream) -> None:
        async with stream:
            await stream.receive()
            if answer:
                await stream.send(answer)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, handle)
        yield listener.extra(anyio.abc.SocketAttribute.local_port)
        group.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n{}", True),
        (b"HTTP/1.1 401 Unauthorized\r\n\r\n", True),
        (b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request", True),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", False),
        (b"SSH-2.0-OpenSSH_9.2\r\n", False),
        (b"", False),
    ],
)
@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
async def test_what_is_an_answer(answer: bytes, expected: bool) -> None:
    """A refusal is one, a server's own trouble, another protocol and silence are none."""
    async with serving(answer) as port:
        assert expected == await answers("127.0.0.1", port)


@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
async def test_where_nobody_listens_there_is_no_answer() -> None:
    """A refused connection and a name that is none are no errors."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert not await answers("127.0.0.1", port)
    assert not await answers("nosuch.invalid", port)
