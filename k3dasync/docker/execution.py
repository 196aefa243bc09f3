"""A command in a container: its input as fast as it reads, all of its output, its exit code."""

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    suppress,
)
from typing import Any

import aiohttp
import anyio
from aiodocker.containers import DockerContainer
from aiodocker.execs import Exec
from aiodocker.stream import Message, Stream
from anyio import BrokenResourceError, EndOfStream
from anyio.abc import ByteStream

from k3dasync.docker.connection import EXIT_PAUSE, Connection
from k3dasync.insides import Take
from k3dasync.runtime import Executed

PIECE = 64 * 2**10
"""Bytes written at a time: what is written is in memory until the engine has taken it."""
STALL_SECONDS = 2.0
"""Between two looks at a command whose input does not move. Docker 20.10 often keeps the
connection of one that ended before its input did (seen in five runs of six)."""
END_SECONDS = 1.0
"""For a command that is cut: it finds its input at its end, and ends; the engine needs milliseconds
to tell it. One that hangs is killed then."""
KILL_SECONDS = 10.0
"""For that, on an engine that is busy: another command has to be started."""
MARK = "EXEC_OF_K3DASYNC"
"""The variable by which a command, and its children, are found among a container's processes: the
engine tells only the number that a process has on its host."""
_KILL = f"""\
for process in /proc/[0-9]*; do
  if grep -q "{MARK}=$1" "$process/environ" 2>/dev/null; then kill -9 "${{process#/proc/}}"; fi
done
"""
Slot = AbstractAsyncContextManager[None]
"""A place among the calls of one kind."""
_LOST = (ConnectionError, aiohttp.ClientError)


async def execute(
    connection: Connection,
    container: str,
    command: Sequence[str],
    stdin: AsyncIterator[bytes] | None,
    slot: Slot,
    *,
    take: Take | None = None,
) -> Executed:
    """Run it; raises foreign errors, so use it inside `mapped`, and what *stdin* or *take* raises.

    The *slot* is held until it has started. If this is cut, the command ends.
    """
    process: Exec | None = None
    target, mark = connection.docker.containers.container(container), secrets.token_hex(8)
    try:
        async with AsyncExitStack() as stack:
            async with slot:
                process = await target.exec(
                    list(command), stdin=stdin is not None, user="0", environment={MARK: mark}
                )
                # Without a limit: only the command and its input know how long they take.
                stream = process.start(timeout=aiohttp.ClientTimeout(total=None), detach=False)
                await stack.enter_async_context(_cut_off(stream))
            said = {1: bytearray(), 2: bytearray()}

            async def keep(number: int, piece: bytes) -> None:
                said[number] += piece

            await _converse(process, stream, stdin, take or keep)
        return Executed(code=await _exit_code(process), out=bytes(said[1]), err=bytes(said[2]))
    except BaseException:
        if process is not None:
            with suppress(Exception), anyio.move_on_after(KILL_SECONDS, shield=True):
                await _end(process, target, mark)
        raise


async def _end(process: Exec, target: DockerContainer, mark: str) -> None:
    """Return when a command whose input was cut has ended, if need be by force."""
    with anyio.move_on_after(END_SECONDS):
        await _exit_code(process)
        return
    killer = await target.exec(["sh", "-c", _KILL, "sh", mark], user="0")
    await killer.start(detach=True)
    await _exit_code(process)


@asynccontextmanager
async def _cut_off(stream: Stream) -> AsyncIterator[None]:
    """Open a stream, and give its connection back even if it holds what nobody will ever read."""
    transport: Any = None
    try:
        async with stream:
            transport = _transport(stream)
            yield
    finally:
        if transport is not None:
            # One that has closed while its last bytes were still being written has no loop any
            # more, and asyncio does not look (3.11).
            with suppress(AttributeError):
                transport.abort()


@asynccontextmanager
async def conversation(
    connection: Connection, container: str, command: Sequence[str], slot: Slot
) -> AsyncIterator[ByteStream]:
    """Run a command and talk with it; raises foreign errors on entering, so use it in `mapped`."""
    async with AsyncExitStack() as stack:
        async with slot:
            target = connection.docker.containers.container(container)
            process = await target.exec(list(command), stdin=True, user="0")
            stream = process.start(timeout=aiohttp.ClientTimeout(total=None), detach=False)
            await stack.enter_async_context(_cut_off(stream))
        yield _Conversation(stream)


class _Conversation(ByteStream):
    """The input and output of a running command; its error output is dropped."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    async def receive(self, max_bytes: int = PIECE) -> bytes:  # noqa: ARG002 - the engine decides
        try:
            while (message := await self._stream.read_out()) is not None:
                if message.stream == 1 and message.data:
                    return bytes(message.data)
        except _LOST as error:
            raise BrokenResourceError from error
        raise EndOfStream

    async def send(self, item: bytes) -> None:
        try:
            await self._stream.write_in(item)
        except (*_LOST, AssertionError) as error:  # aiodocker asserts that there is a connection
            raise BrokenResourceError from error

    async def send_eof(self) -> None:
        _end_input(self._stream)

    async def aclose(self) -> None:
        await self._stream.close()


async def _converse(
    process: Exec, stream: Stream, stdin: AsyncIterator[bytes] | None, take: Take
) -> None:
    """Feed and listen at once; the end of the output is the end of both."""
    failures: list[Exception] = []
    fed = 0

    async def counted(source: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        nonlocal fed
        async for piece in source:
            fed += 1
            yield piece

    async def notice_end() -> None:
        """End both if the command has ended and takes no more: the engine does not always say."""
        seen = -1
        while seen != fed or (await process.inspect())["Running"]:
            seen = fed
            await anyio.sleep(STALL_SECONDS)
        group.cancel_scope.cancel()

    async def feed(source: AsyncIterator[bytes]) -> None:
        try:
            await _feed(stream, counted(source))
        except Exception as error:  # noqa: BLE001 - raised below
            failures.append(error)
            group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        if stdin is not None:
            group.start_soon(feed, stdin)
            group.start_soon(notice_end)
        try:
            while (message := await _read_out(stream)) is not None:
                await take(message.stream, message.data)
        except Exception as error:  # noqa: BLE001 - raised below
            failures.append(error)
        group.cancel_scope.cancel()
    if failures:
        raise failures[0]


async def _read_out(stream: Stream) -> Message | None:
    # A connection that breaks because nobody reads our input any more tells no more than that: the
    # exit code is asked for next.
    try:
        return await stream.read_out()
    except _LOST:
        return None


async def _feed(stream: Stream, source: AsyncIterator[bytes]) -> None:
    async for piece in source:
        for start in range(0, len(piece), PIECE):
            try:
                await stream.write_in(piece[start : start + PIECE])
            except (*_LOST, AssertionError):  # aiodocker asserts that there is a connection
                return  # it reads no more; its exit code says why
    _end_input(stream)


def _end_input(stream: Stream) -> None:
    """Close our half only: aiodocker's `close` would lose what the command says after this.

    Over TLS that cannot be done with asyncio; then the command must know the end when it sees it,
    as whoever reads a tar does.
    """
    transport = _transport(stream)
    if transport is not None and transport.can_write_eof():
        with suppress(OSError, RuntimeError):
            transport.write_eof()


def _transport(stream: Stream) -> Any:
    response = stream._resp  # noqa: SLF001 - there is no other way
    return response.connection.transport if response and response.connection else None


async def _exit_code(process: Exec) -> int:
    # The engine ends the output a moment before it knows the code, and there is no event.
    while (state := await process.inspect())["Running"]:  # noqa: ASYNC110 - see above
        await anyio.sleep(EXIT_PAUSE)
    return int(state["ExitCode"])
