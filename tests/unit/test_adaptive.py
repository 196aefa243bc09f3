"""The limit that follows what is seen."""

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from k3dasync.adaptive import CAP, Adaptive
from k3dasync.errors import EngineError
from k3dasync.invalid import InvalidSetting
from k3dasync.limits import ADAPTIVE, Limiters, Limits
from tests.support import virtual_time


def test_it_grows_while_calls_stay_quick() -> None:
    """About one more for each round of calls, up to the cap."""
    limit = Adaptive()
    seen = []
    for _ in range(300):
        limit.note(0.3)
        seen.append(limit.slots)

    assert sorted(seen) == seen
    assert 2 == seen[0]
    assert CAP == seen[-1]


def test_it_shrinks_when_calls_take_longer() -> None:
    """Once for a round of slow calls, down to one at the least."""
    limit = Adaptive(value=8.0, best=0.3)
    for _ in range(9):
        limit.note(1.0)
    assert 6 <= limit.slots < 8
    for _ in range(30):
        limit.note(1.0)

    assert 1 == limit.slots


def test_a_machine_that_has_become_slower_is_measured_anew() -> None:
    """What was quick an hour ago is forgotten, and the limit grows again."""
    limit = Adaptive(value=1.0, best=0.1)
    for _ in range(3000):
        limit.note(1.0)

    assert limit.slots > 4


def test_it_does_not_grow_while_there_is_room() -> None:
    """That a few calls are quick says nothing of how many would be."""
    limit = Adaptive()
    for _ in range(100):
        limit.note(0.3, is_full=False)

    assert 2 == limit.slots


@virtual_time
async def test_calls_that_fail_teach_nothing() -> None:
    """A refusal in a millisecond is not how quick a start can be, and the limit stays."""
    limiters = Limiters(Limits(start=ADAPTIVE))
    ends: list[float] = []

    async def start() -> None:
        async with limiters.slot("start"):
            await anyio.sleep(0.3)
        ends.append(anyio.current_time())

    async def refused() -> None:
        async with limiters.slot("start"):
            await anyio.sleep(0.001)
            raise EngineError("start", "container c", "try later", status=503)

    with pytest.raises(EngineError):
        await refused()
    with anyio.move_on_after(0.001):
        async with limiters.slot("start"):
            await anyio.sleep(0.3)
    async with anyio.create_task_group() as group:
        for _ in range(40):
            group.start_soon(start)

    assert max(ends) - min(ends) < 40 * 0.3 / 4  # far more than one at a time


@given(st.lists(st.floats(0.0, 100.0), max_size=200), st.floats(1.0, 32.0))
def test_it_never_leaves_its_bounds(calls: list[float], cap: float) -> None:
    """Whatever it is told."""
    limit = Adaptive(cap=cap, value=1.0)
    for seconds in calls:
        limit.note(seconds)

        assert 1 <= limit.slots <= cap


@virtual_time
@pytest.mark.parametrize("cores", [1, 2, 4, 8])
async def test_it_settles_near_what_a_machine_can_do_at_once(cores: int) -> None:
    """Calls that share cores: about as many run as there are cores, and none is lost."""
    limiters, running, seen = Limiters(Limits(start=ADAPTIVE)), 0, []
    done = 0

    async def call() -> None:
        nonlocal running, done
        async with limiters.slot("start"):
            running += 1
            seen.append(running)
            await anyio.sleep(0.3 * max(1.0, running / cores))
            running -= 1
            done += 1

    async with anyio.create_task_group() as group:
        for _ in range(400):
            group.start_soon(call)

    settled = sorted(seen[200:])
    assert 400 == done
    assert 0.5 * cores <= settled[len(settled) // 2] <= 2.5 * cores


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("start=adaptive", Limits(start=ADAPTIVE)),
        ("start=3,write=1,execute=4", Limits(start=3, write=1, execute=4)),
    ],
)
def test_limits_are_read(text: str, limits: Limits) -> None:
    """Numbers, and the word for one that adapts."""
    assert limits == Limits.parse(text)


@pytest.mark.parametrize("text", ["start", "start=", "start=fast", "start=-1", "begin=1"])
def test_what_is_no_limit_is_refused(text: str) -> None:
    """With the kinds there are."""
    with pytest.raises(InvalidSetting, match="expected one of pull, create, start, remove"):
        Limits.parse(text)
