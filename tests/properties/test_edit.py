"""Edits that fail or are killed at every call: the old load balancer is back, or the new one is."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from k3dasync.backend import Backend
from k3dasync.errors import EngineError, K3dAsyncError
from k3dasync.fake import (
    Call,
    Fail,
    FakeRuntime,
    Fault,
    Faults,
    Kill,
    Latency,
    Moment,
    ProcessKilled,
    backend_of,
)
from k3dasync.grammar import filtered
from k3dasync.journal import past_runs, state_dir
from k3dasync.operations._edits import Changes
from k3dasync.operations.create import create
from k3dasync.operations.edit import edit
from k3dasync.operations.rollback import rollback
from k3dasync.runtime import ContainerDetail
from k3dasync.spec import ClusterSpec
from tests.laws import Keeper, assert_laws
from tests.properties.test_create import Disk
from tests.support import virtual_time

BALANCER = "k3d-dev-serverlb"
SPEC = ClusterSpec(name="dev", agents=1, ports=(filtered.parse("25080:80@agent:0"),))
CHANGES = Changes(ports_added=(filtered.parse("25081:81"),))


@asynccontextmanager
async def world(*orders: Fault) -> AsyncIterator[tuple[FakeRuntime, Backend]]:
    """Return an engine with a cluster; the faults come after the create."""
    faults = Faults()
    async with FakeRuntime(latency=Latency.instant(), faults=faults) as runtime:
        backend = backend_of(runtime)
        await create(SPEC, backend=backend)
        faults.calls.clear()
        faults.orders = orders
        yield runtime, backend


async def calls_of_an_edit() -> list[tuple[str, str]]:
    async with world() as (runtime, backend):
        await edit("dev", CHANGES, backend=backend)
        return list(runtime.faults.calls)


async def assert_whole(
    runtime: FakeRuntime, backend: Backend, before: ContainerDetail, *, may_be_new: bool
) -> None:
    """Check that one load balancer is there, which serves: the old one, or the new one."""
    names = {one.name for one in await runtime.containers()}
    assert {BALANCER, "k3d-dev-server-0", "k3d-dev-agent-0"} == names
    found = await runtime.inspect_container(BALANCER)
    if found.state.id != before.state.id:
        assert may_be_new
        assert 25081 in found.state.bound_ports
        assert before.fixed_addresses == found.fixed_addresses
    else:
        assert before == found
    labels = (await runtime.inspect_container("k3d-dev-server-0")).state.labels
    port = int(labels["k3d.server.api.port"])
    async with backend.kubernetes("127.0.0.1", port, None) as kubernetes:
        assert await kubernetes.supervisor_answers()


@virtual_time
@pytest.mark.parametrize("moment", list(Moment))
async def test_an_edit_that_fails_at_any_call_takes_itself_back(moment: Moment) -> None:
    """Also if the call took effect, and only its answer was lost."""
    calls = await calls_of_an_edit()
    for nth in range(1, len(calls) + 1):
        error = EngineError("do", "it", "no")
        async with world() as (runtime, backend):
            before, keeper = await runtime.inspect_container(BALANCER), Keeper()
            runtime.faults.orders = (Fault(trouble=Fail(error), nth=nth, moment=moment),)
            try:
                await edit("dev", CHANGES, backend=backend, sinks=(keeper,))
                is_done = True
            except K3dAsyncError:
                is_done = False
            runtime.faults.orders = ()
            await assert_whole(runtime, backend, before, may_be_new=is_done)
            after = await runtime.inspect_container(BALANCER)
            assert is_done == (after.state.id != before.state.id), f"call {nth} {calls[nth - 1]}"
            if keeper.events:
                assert_laws(keeper.events)


@virtual_time
@pytest.mark.parametrize("moment", list(Moment))
@pytest.mark.parametrize("how", ["rollback", "edit"])
async def test_a_killed_edit_is_finished_by_the_next_command(
    moment: Moment, how: str, own_directories: object
) -> None:
    """Killed at any call, the next rollback or edit leaves one load balancer that serves."""
    calls = await calls_of_an_edit()
    for nth in range(1, len(calls) + 1):
        async with world() as (runtime, backend):
            before, disk = await runtime.inspect_container(BALANCER), Disk(state_dir())
            runtime.faults.orders = tuple(
                Fault(trouble=trouble, nth=nth, moment=moment) for trouble in (disk.stop, Kill())
            )
            await die(backend)
            if not runtime.faults.is_killed:
                continue
            runtime.faults.revive()
            runtime.faults.orders = ()
            disk.restore()
            if how == "rollback":
                await rollback("dev", backend=backend)
                await assert_whole(runtime, backend, before, may_be_new=True)
            else:
                await edit("dev", CHANGES, backend=backend)
                await assert_whole(runtime, backend, before, may_be_new=True)
                assert 25081 in (await runtime.inspect_container(BALANCER)).state.bound_ports
            assert not any(past.is_unfinished for past in past_runs("dev"))


async def die(backend: Backend) -> None:
    """Edit until the process is killed, and swallow its death."""
    try:
        await edit("dev", CHANGES, backend=backend)
    except ProcessKilled:
        pass
    except BaseExceptionGroup as group:
        assert group.subgroup(ProcessKilled) is not None  # noqa: PT017 - grouped by where it was
    except K3dAsyncError:
        pass


@virtual_time
async def test_a_wish_to_stop_at_any_call_is_followed_or_too_late() -> None:
    """Either nothing has changed, or everything has: and the outcome says which."""
    from k3dasync.errors import Interrupted
    from k3dasync.operations._run import Stop

    calls = await calls_of_an_edit()
    for nth in range(1, len(calls) + 1):
        async with world() as (runtime, backend):
            before, stop = await runtime.inspect_container(BALANCER), Stop()

            def wish(stop: Stop = stop) -> None:
                stop.request("enough")

            runtime.faults.orders = (Fault(trouble=Call(wish), nth=nth),)
            try:
                await edit("dev", CHANGES, backend=backend, stop=stop)
                is_done = True
            except Interrupted:
                is_done = False
            await assert_whole(runtime, backend, before, may_be_new=is_done)
            after = await runtime.inspect_container(BALANCER)
            assert is_done == (after.state.id != before.state.id), f"call {nth} {calls[nth - 1]}"
