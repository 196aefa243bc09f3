"""Trouble on order: before or after the effect, at the n-th call."""

import anyio
import pytest
from anyio.lowlevel import checkpoint

from k3dasync.errors import EngineError, EngineUnavailable
from k3dasync.fake import (
    Call,
    Delay,
    Fail,
    Fault,
    Faults,
    Hang,
    Kill,
    Moment,
    ProcessKilled,
)
from k3dasync.fake.faults import CALL_SECONDS
from tests.support import virtual_time
from tests.unit.fake.lab import OURS, engine, idle

NO = EngineError("create", "container", "no")


@pytest.mark.parametrize(("moment", "left"), [(Moment.BEFORE, []), (Moment.AFTER, ["one"])])
async def test_a_call_fails_before_or_after_its_effect(moment: Moment, left: list[str]) -> None:
    """The same error can mean that nothing has happened, or that all has."""
    faults = Faults((Fault(verb="create_container", trouble=Fail(NO), moment=moment),))
    async with engine(faults) as runtime:
        with pytest.raises(EngineError, match="no"):
            await runtime.create_container(idle("one"))

        assert left == [container.name for container in await runtime.containers()]


async def test_a_fault_hits_the_calls_it_matches() -> None:
    """Only calls of that verb and name count, from the n-th on and as many as ordered."""
    order = Fault(verb="create_*", name="a*", nth=2, times=2, trouble=Fail(NO))
    refused = []
    async with engine(Faults((order,))) as runtime:
        for name in ("b1", "a1", "b2", "a2", "a3", "a4"):
            try:
                await runtime.create_container(idle(name))
            except EngineError:
                refused.append(name)

    assert ["a2", "a3"] == refused


async def test_calls_are_recorded() -> None:
    """A sweep reads from a run without faults what there is to break."""
    faults = Faults()
    async with engine(faults) as runtime:
        await runtime.create_container(idle("one"))
        await runtime.start_container("one")
        await runtime.containers()

    assert [
        ("create_network", "net"),
        ("create_container", "one"),
        ("start_container", "one"),
        ("containers", ""),
    ] == faults.calls


@virtual_time
async def test_a_delay_takes_that_long() -> None:
    """A delayed call takes so much more time and then does what it should."""
    faults = Faults((Fault(verb="containers", trouble=Delay(7)),))
    async with engine(faults) as runtime:
        began = anyio.current_time()
        await runtime.containers()

        assert pytest.approx(7) == anyio.current_time() - began


@virtual_time
async def test_a_hanging_call_ends_at_its_deadline() -> None:
    """A call that hangs makes the engine unavailable, cancelled or not."""
    faults = Faults((Fault(verb="*_container", trouble=Hang(), times=2),))
    async with engine(faults) as runtime:
        began = anyio.current_time()
        with pytest.raises(EngineUnavailable, match="did not answer"):
            await runtime.create_container(idle("one"))
        with anyio.move_on_after(1), pytest.raises(EngineUnavailable):
            await runtime.create_container(idle("one"))

        assert pytest.approx(2 * CALL_SECONDS) == anyio.current_time() - began


async def test_something_of_the_tests_can_happen_at_a_call() -> None:
    """A cancel at the n-th call is felt when the call has ended, its effect included."""
    with anyio.CancelScope() as scope:
        faults = Faults((Fault(verb="create_container", trouble=Call(scope.cancel)),))
        async with engine(faults) as runtime:
            try:
                await runtime.create_container(idle("one"))
                await checkpoint()
            finally:
                left = runtime.snapshot().containers

    assert scope.cancelled_caught
    assert {"one"} == left


@pytest.mark.parametrize(("moment", "left"), [(Moment.BEFORE, 0), (Moment.AFTER, 1)])
async def test_a_killed_process_says_nothing_more(moment: Moment, left: int) -> None:
    """After its death none of its calls reaches the engine, and a new process starts clean."""
    faults = Faults((Fault(verb="create_container", trouble=Kill(), moment=moment),))
    async with engine(faults) as runtime:
        with pytest.raises(ProcessKilled):
            await runtime.create_container(idle("one"))
        for _ in range(2):
            with pytest.raises(ProcessKilled):
                await runtime.remove_container("one", OURS)
        assert left == len(runtime.snapshot().containers)
        faults.revive()

        assert bool(left) is await runtime.remove_container("one", OURS)
