"""One stream to many readers: order, back-pressure, and readers that go or stand still."""

import anyio
import pytest

from k3dasync.fanout import DEPTH, STALL_SECONDS, Broken, Fanout, Stalled
from tests.support import virtual_time


async def read(fanout: Fanout, name: str, into: list[bytes]) -> None:
    with fanout.reading(name) as pieces:
        into.extend([piece async for piece in pieces])


async def test_every_reader_gets_everything_in_order() -> None:
    """All pieces come to all readers, and then the end."""
    fanout, got = Fanout(["a", "b"]), {"a": list[bytes](), "b": list[bytes]()}
    sent = [bytes([number]) for number in range(50)]
    async with anyio.create_task_group() as group:
        for name, into in got.items():
            group.start_soon(read, fanout, name, into)
        for piece in sent:
            await fanout.send(piece)
        fanout.end()

    assert {"a": sent, "b": sent} == got


@virtual_time
async def test_a_slow_reader_slows_the_sender() -> None:
    """No more pieces are on the way than fit: the sender never runs ahead by more."""
    fanout, taken, ahead = Fanout(["slow", "fast"]), 0, list[int]()

    async def slow() -> None:
        nonlocal taken
        with fanout.reading("slow") as pieces:
            async for _ in pieces:
                taken += 1
                await anyio.sleep(1)

    async with anyio.create_task_group() as group:
        group.start_soon(slow)
        group.start_soon(read, fanout, "fast", [])
        for sent in range(1, 41):
            await fanout.send(b"x")
            ahead.append(sent - taken)
        fanout.end()

    assert 40 == taken
    assert DEPTH <= max(ahead) <= DEPTH + 1


async def test_a_reader_that_goes_holds_up_nobody() -> None:
    """The others get everything; when all have gone, the sender can see it."""
    fanout, got = Fanout(["gone", "stays"]), list[bytes]()
    async with anyio.create_task_group() as group:
        group.start_soon(read, fanout, "stays", got)
        with fanout.reading("gone") as pieces:
            await fanout.send(b"0")
            await anext(pieces)
        for number in b"123456789":
            await fanout.send(bytes([number]))
        fanout.end()
    assert b"0123456789" == b"".join(got)

    left = Fanout(["a"])
    left.leave("a")
    await left.send(b"x")
    assert not left.has_readers


@virtual_time
async def test_a_reader_may_leave_while_it_is_waited_for() -> None:
    """The sender goes on at once."""
    fanout, got = Fanout(["leaves", "stays"]), list[bytes]()

    async def leave() -> None:
        await anyio.sleep(1)
        fanout.leave("leaves")

    began = anyio.current_time()
    async with anyio.create_task_group() as group:
        group.start_soon(read, fanout, "stays", got)
        group.start_soon(leave)
        for _ in range(20):
            await fanout.send(b"x")
        fanout.end()

    assert (20, 1) == (len(got), anyio.current_time() - began)


@virtual_time
async def test_readers_that_stand_still_are_left_behind() -> None:
    """Two of them cost the time of one; they are told, and the third gets everything."""
    fanout, got, told = Fanout(["still", "too", "reads"]), list[bytes](), list[str]()

    async def stand(name: str) -> None:
        with pytest.raises(Stalled, match="60 s"), fanout.reading(name):
            await anyio.sleep_forever()
        told.append(name)

    began = anyio.current_time()
    async with anyio.create_task_group() as group:
        group.start_soon(stand, "still")
        group.start_soon(stand, "too")
        group.start_soon(read, fanout, "reads", got)
        for _ in range(20):
            await fanout.send(b"x")
        fanout.end()

    assert (20, {"still", "too"}) == (len(got), set(told))
    assert STALL_SECONDS == anyio.current_time() - began


async def test_a_stream_that_breaks_off_is_no_end() -> None:
    """Readers get what was sent, and then the reason instead of the end."""
    fanout, got = Fanout(["a"]), list[bytes]()
    await fanout.send(b"x")
    fanout.end(OSError("the disk"))

    with fanout.reading("a") as pieces:
        got.append(await anext(pieces))
        with pytest.raises(Broken) as raised:
            await anext(pieces)

    assert [b"x"] == got
    assert "the disk" == str(raised.value.__cause__)
