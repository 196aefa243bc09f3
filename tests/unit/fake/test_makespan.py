"""Makespans of the fake on virtual time against those measured on real k3s.

Everything measured on one machine of two cores is compared, with one set of latencies. Seconds
count from the start of server-0. One number is left out because it contradicts the others: all
Ready at 35.5 s after the last of three promoted servers was up at 33.0 s, where every other
series has 12 to 13 s between the two.
"""

import statistics
from collections.abc import Awaitable, Callable

import anyio
import pytest

from k3dasync.fake import Latency
from tests.support import virtual_time
from tests.unit.fake.lab import Lab, lab

NEAR = 0.20
"""What repeated runs of the same on the real machine differ by, and more."""
REAL = Latency()


async def one_by_one(world: Lab, *, promoted: bool = False) -> list[float]:
    """Start each server when the one before is up, as k3d does; return when each was up."""
    times = []
    for index, name in enumerate(world.servers):
        await world.start(name)
        if promoted and index:
            await world.promote(name)
        times.append(await world.up(name))
    return times


async def pipeline(world: Lab) -> None:
    """Start each joining server 5.2 s after the promotion of the one before."""
    await world.supervisor()
    for name in world.servers[1:]:
        await world.start(name)
        await world.promote(name)
        await anyio.sleep(5.2)


async def single(world: Lab) -> list[float]:
    await world.start("s0")
    world.began = anyio.current_time()  # these were read from its log: they count from its process
    return [
        await world.supervisor(),
        await world.up("s0"),
        await world.registered(),
        await world.ready(),
    ]


async def three(world: Lab) -> list[float]:
    return [*(await one_by_one(world))[1:], await world.ready()]


async def three_promoted(world: Lab) -> list[float]:
    return (await one_by_one(world, promoted=True))[1:]


async def three_pipelined(world: Lab) -> list[float]:
    times = dict.fromkeys(world.servers, 0.0)

    async def note(name: str) -> None:
        times[name] = await world.up(name)

    await world.start("s0")
    async with anyio.create_task_group() as group:
        group.start_soon(pipeline, world)
        for name in world.servers:
            group.start_soon(note, name)
    assert 0 == await world.restarts()
    return [*times.values(), await world.ready()]


async def joiners_together(world: Lab) -> list[float]:
    await world.start("s0")
    await world.up("s0")
    await world.start(*world.servers[1:])
    times = sorted([await world.up("s1"), await world.up("s2")])
    assert await world.restarts() > 0
    return [times[-1], await world.ready()]


async def agents_last(world: Lab) -> list[float]:
    await one_by_one(world)
    await world.start(*world.agents)
    return [await world.registered(), await world.ready()]


async def agents_when_up(world: Lab) -> list[float]:
    await world.start("s0")
    await world.up("s0")
    async with anyio.create_task_group() as group:
        group.start_soon(world.start, *world.agents)
        for name in world.servers[1:]:
            await world.start(name)
            await world.up(name)
    return [await world.registered(), await world.ready()]


async def agents_first(world: Lab) -> list[float]:
    async with anyio.create_task_group() as group:
        group.start_soon(world.start, *world.agents)
        await one_by_one(world)
    return [await world.registered(), await world.ready()]


async def all_at_once(world: Lab) -> list[float]:
    await world.start(*world.servers, *world.agents)
    return [await world.registered(), await world.ready()]


async def all_pipelined(world: Lab) -> list[float]:
    await world.start("s0")
    await world.supervisor()
    async with anyio.create_task_group() as group:
        group.start_soon(world.start, *world.agents)
        group.start_soon(pipeline, world)
    return [await world.registered(), await world.ready()]


async def all_pipelined_ready(world: Lab) -> list[float]:
    return (await all_pipelined(world))[1:]


async def agents_last_ready(world: Lab) -> list[float]:
    return (await agents_last(world))[1:]


async def restarted(world: Lab) -> list[float]:
    await single(world)
    await world.runtime.stop_container("s0")
    world.began = anyio.current_time()
    await world.start("s0")
    return [await world.up("s0")]


async def three_restarted(world: Lab) -> list[float]:
    await three(world)
    for name in world.servers:
        await world.runtime.stop_container(name)
    world.began = anyio.current_time()
    async with anyio.create_task_group() as group:
        for name in world.servers:
            group.start_soon(world.start, name)
            await anyio.sleep(1)
    return [max([await world.up(name) for name in world.servers])]


async def starts_in_turn(world: Lab) -> list[float]:
    for name in world.agents:
        await world.start(name)
    return [anyio.current_time() - world.began]


async def starts_at_once(world: Lab) -> list[float]:
    await world.start(*world.agents)
    return [anyio.current_time() - world.began]


async def removals_at_once(world: Lab) -> list[float]:
    await starts_at_once(world)
    began = anyio.current_time()
    async with anyio.create_task_group() as group:
        for name in world.agents:
            group.start_soon(world.runtime.remove_container, name, {})
    return [anyio.current_time() - began]


# Where a range was measured its middle stands here; 3+10 by k3d is a whole tool from the command
# on, which has 1.3 s of other work in it by comparison with its 3+2.
MEASURED = [
    pytest.param(single, 1, 0, [3.0, 8.0, 10.5, 21.5], id="one server"),
    pytest.param(restarted, 1, 0, [14.7], id="one server again"),
    pytest.param(three, 3, 0, [21.7, 39.1, 52.0], id="three one by one"),
    pytest.param(three_promoted, 3, 0, [21.1, 33.0], id="three one by one, promoted"),
    pytest.param(three_pipelined, 3, 0, [10.9, 15.2, 22.2, 34.4], id="three pipelined"),
    pytest.param(joiners_together, 3, 0, [37.5, 50.3], id="joiners together"),
    pytest.param(three_restarted, 3, 0, [28.5], id="three again"),
    pytest.param(agents_last, 3, 2, [48.3, 58.4], id="3+2 agents last"),
    pytest.param(agents_last_ready, 3, 10, [67.3], id="3+10 agents last"),
    pytest.param(agents_when_up, 3, 2, [36.3, 49.0], id="3+2 agents when up"),
    pytest.param(agents_first, 3, 2, [40.2, 53.0], id="3+2 agents first"),
    pytest.param(all_at_once, 3, 2, [39.0, 51.8], id="3+2 at once"),
    pytest.param(all_pipelined, 3, 2, [29.7, 39.4], id="3+2 pipelined"),
    pytest.param(all_pipelined_ready, 3, 10, [38.7], id="3+10 pipelined"),
    pytest.param(starts_in_turn, 0, 14, [8.95], id="14 starts in turn"),
    pytest.param(starts_at_once, 0, 14, [5.15], id="14 starts at once"),
    pytest.param(removals_at_once, 0, 14, [4.25], id="14 removals at once"),
]


@virtual_time
@pytest.mark.parametrize(("order", "servers", "agents", "measured"), MEASURED)
async def test_makespan_is_near_the_measured_one(
    order: Callable[[Lab], Awaitable[list[float]]],
    servers: int,
    agents: int,
    measured: list[float],
) -> None:
    """In each order of starts everything comes within 20 % of when it came on real k3s."""
    runs = []
    # Whom etcd takes first of those that ask at the same instant is chance: one in twenty runs is a
    # third longer, on real k3s too. What was measured is the middle of several.
    for _ in range(7 if order is all_at_once else 1):
        async with lab(servers, agents, latency=REAL) as world:
            runs.append(await order(world))
    found = [statistics.median(times) for times in zip(*runs, strict=True)]

    assert pytest.approx(measured, rel=NEAR) == found


@virtual_time
@pytest.mark.parametrize("factor", [0.01, 3.0])
async def test_scaled_latencies_scale_the_makespan(factor: float) -> None:
    """Everything at another speed takes that many times as long."""
    async with lab(3, 2, latency=REAL) as world:
        usual = await agents_last(world)
    async with lab(3, 2, latency=REAL.scaled(factor)) as world:
        scaled = await agents_last(world)

    # Not exactly: what polls every 5 s notices a promotion at the same tick or the next.
    assert pytest.approx([factor * seconds for seconds in usual], rel=0.05) == scaled


@virtual_time
async def test_instant_latencies_take_no_time() -> None:
    """With instant latencies a whole cluster is Ready within a few retries."""
    async with lab(3, 10, latency=Latency.instant()) as world:
        found = await agents_last(world)

    assert found[-1] < 0.1
