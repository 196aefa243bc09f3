"""Creates that go wrong at every point: the log keeps its laws, and nothing is left behind."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from k3dasync import events
from k3dasync.errors import (
    ClusterExists,
    EngineError,
    Interrupted,
    K3dAsyncError,
    RollbackIncomplete,
)
from k3dasync.fake import (
    Call,
    Fail,
    FakeRuntime,
    Fault,
    Faults,
    Hang,
    Kill,
    Latency,
    Moment,
    NodeFault,
    NodeTrouble,
    ProcessKilled,
    Stage,
    backend_of,
)
from k3dasync.fake.faults import Trouble
from k3dasync.journal import past_runs, state_dir
from k3dasync.operations._run import Stop
from k3dasync.operations.create import create
from k3dasync.operations.delete import delete
from k3dasync.operations.rollback import rollback
from k3dasync.spec import ApiPort, ClusterSpec, Datastore, WaitLevel
from tests.laws import Keeper, assert_laws
from tests.support import virtual_time

SPEC = ClusterSpec(name="dev", servers=2, agents=2, timeout=3600.0)
"""Small enough for a sweep over every call, and with every kind of task in it."""


SHAPES = {
    "usual": SPEC,
    "datastore": ClusterSpec(
        name="dev", servers=3, agents=1, timeout=3600.0, datastore=Datastore(endpoint="http://e:1")
    ),
    "on-host": ClusterSpec(
        name="dev", network="host", api_port=ApiPort(None, 16443), timeout=3600.0
    ),
}


@dataclass
class World:
    runtime: FakeRuntime
    faults: Faults
    keeper: Keeper

    async def create(self, spec: ClusterSpec = SPEC, stop: Stop | None = None) -> events.Outputs:
        return await create(spec, backend=backend_of(self.runtime), sinks=(self.keeper,), stop=stop)

    @property
    def log(self) -> list[events.AnyEvent]:
        return self.keeper.of(self.keeper.events[0].run) if self.keeper.events else []


@asynccontextmanager
async def world(*orders: Fault | NodeFault, latency: Latency | None = None) -> AsyncIterator[World]:
    faults = Faults(orders)
    async with FakeRuntime(latency=latency or Latency().scaled(0.1), faults=faults) as runtime:
        yield World(runtime, faults, Keeper())


async def calls_of_a_create(spec: ClusterSpec = SPEC) -> list[tuple[str, str]]:
    async with world() as one:
        await one.create(spec)
        return list(one.faults.calls)


async def test_a_create_that_goes_well_keeps_the_laws() -> None:
    """Every task is done, and the outputs are those of the cluster."""
    async with world() as one:
        outputs = await one.create()

        assert_laws(one.log)
        assert 5 == len(outputs.nodes)
        last = one.log[-1]
        assert isinstance(last, events.RunDone)
        assert last.critical_path


@virtual_time
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("moment", list(Moment))
async def test_a_fault_at_every_call_leaves_nothing(moment: Moment, shape: str) -> None:
    """Whichever call fails, before or after its effect: the engine is empty and the log closed."""
    calls = await calls_of_a_create(SHAPES[shape])
    for nth in range(1, len(calls) + 1):
        refused = EngineError("do", "it", "refused on order")
        async with world(Fault(trouble=Fail(refused), nth=nth, moment=moment)) as one:
            try:
                await one.create(SHAPES[shape])
            except K3dAsyncError:
                assert one.runtime.is_empty(), f"call {nth} {calls[nth - 1]}: left behind"
            if one.log:
                assert_laws(one.log)


@virtual_time
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("moment", list(Moment))
async def test_a_stop_at_every_call_leaves_nothing(moment: Moment, shape: str) -> None:
    """Whenever the user says stop, everything is taken back and the log says why."""
    calls = await calls_of_a_create(SHAPES[shape])
    for nth in range(1, len(calls) + 1):
        stop = Stop()
        trouble = Call(partial(stop.request, "enough"))
        order = Fault(trouble=trouble, nth=nth, moment=moment)
        async with world(order) as one:
            try:
                await one.create(SHAPES[shape], stop=stop)
            except Interrupted as error:
                assert "enough" in str(error)  # noqa: PT017 - or it came too late
                assert one.runtime.is_empty(), f"call {nth} {calls[nth - 1]}: left behind"
            else:
                assert isinstance(one.log[-1], events.RunDone)
            if one.log:
                assert_laws(one.log)


@virtual_time
@pytest.mark.parametrize("moment", list(Moment))
@pytest.mark.parametrize("how", ["rollback", "create", "delete"])
async def test_a_kill_at_every_call_can_be_finished(
    moment: Moment, how: str, own_directories: object
) -> None:
    """Killed anywhere, the next rollback, create or delete of that name leaves nothing over."""
    calls = await calls_of_a_create()
    for nth in range(1, len(calls) + 1, 3 if how != "rollback" else 1):
        name = f"c{nth}"
        spec = ClusterSpec(name=name, servers=2, agents=2)
        disk = Disk(state_dir())
        orders = [Fault(trouble=trouble, nth=nth, moment=moment) for trouble in (disk.stop, Kill())]
        async with world(*orders) as one:
            await die(one, spec)
            if not one.faults.is_killed:
                continue  # a stream that was open to the end: there is no moment after it
            one.faults.revive()
            disk.restore()
            await finish(one, spec, how)

            assert one.runtime.is_empty(), f"call {nth} {calls[nth - 1]}: left behind"
            assert not any(past.is_unfinished for past in past_runs(name))


class Disk:
    """The files of a process that is killed: what it writes after that does not count."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._files: dict[Path, bytes] = {}
        self.stop = Call(self._remember)

    def _remember(self) -> None:
        files = (path for path in self._root.rglob("*") if path.is_file())
        self._files = {path: path.read_bytes() for path in files}

    def restore(self) -> None:
        for path in self._root.rglob("*.jsonl"):
            if path in self._files:
                path.write_bytes(self._files[path])
            else:
                path.unlink()


async def die(one: World, spec: ClusterSpec) -> None:
    """Create until the process is killed, and swallow its death."""
    try:
        await one.create(spec)
    except ProcessKilled:
        pass
    except BaseExceptionGroup as group:
        assert group.subgroup(ProcessKilled) is not None  # noqa: PT017 - grouped by where it was
    except K3dAsyncError:
        assert one.faults.is_killed


async def finish(one: World, spec: ClusterSpec, how: str) -> None:
    """Do what a user does after a crash."""
    backend = backend_of(one.runtime)
    if how == "create":
        await create(spec, backend=backend)
    if how == "rollback":
        await rollback(spec.name, backend=backend)
    else:
        await delete([spec.name], backend=backend)


@virtual_time
async def test_a_node_that_crashes_fails_the_create_at_once() -> None:
    """Three exits and it is over, long before any deadline, with the node's last words."""
    order = NodeFault(node="*-agent-1", stage=Stage.REGISTERED, says="cannot find cgroup")
    async with world(order, latency=Latency()) as one:
        with pytest.raises(K3dAsyncError, match="cannot find cgroup") as caught:
            await one.create()

        assert "NODE_CRASHLOOP" == caught.value.code
        assert one.runtime.is_empty()
        assert_laws(one.log)
        assert one.log[-1].t < 60


class Until:
    """A sink that tells when a task is done."""

    def __init__(self, task: str) -> None:
        self._task, self.is_done, self.at = task, anyio.Event(), 0.0

    def write(self, event: events.AnyEvent) -> None:
        if isinstance(event, events.TaskDone) and event.task == self._task:
            self.at = event.t
            self.is_done.set()


@virtual_time
@pytest.mark.parametrize("node", ["agent-0", "serverlb", "server-1"])
@pytest.mark.parametrize("how", ["stop", "kill", "remove"])
async def test_a_node_that_somebody_else_ends_fails_the_create_at_once(node: str, how: str) -> None:
    """Nothing brings it back, so nothing is waited for, and the error says whose doing it was."""
    name = f"k3d-dev-{node}"
    started = Until(f"start:{name}")
    async with world(latency=Latency()) as one, anyio.create_task_group() as group:

        async def meddle() -> None:
            await started.is_done.wait()
            if how == "stop":
                await one.runtime.stop_container(name)
            elif how == "kill":
                await one.runtime.signal_container(name, "SIGKILL")
            else:
                await one.runtime.remove_container(name, {})

        group.start_soon(meddle)
        with pytest.raises(
            K3dAsyncError, match=f"container {name} was (stopped|removed)"
        ) as caught:
            await create(SPEC, backend=backend_of(one.runtime), sinks=(one.keeper, started))

        assert ("NODE_GONE", 1) == (caught.value.code, caught.value.exit_code)
        assert one.runtime.is_empty()
        assert_laws(one.log)
        assert one.log[-1].t < 60


@virtual_time
async def test_a_node_that_nobody_waits_for_any_more_is_missed_all_the_same() -> None:
    """It was Ready and is ended by somebody while others come up: the create fails then."""
    lost = "k3d-dev-agent-0"
    ready = Until(f"ready:{lost}")
    order = NodeFault(node="*-agent-1", stage=Stage.READY, trouble=NodeTrouble.STALL)
    async with world(order, latency=Latency()) as one, anyio.create_task_group() as group:

        async def meddle() -> None:
            await ready.is_done.wait()
            await one.runtime.signal_container(lost, "SIGKILL")

        group.start_soon(meddle)
        with pytest.raises(K3dAsyncError, match=f"container {lost} was stopped") as caught:
            await create(SPEC, backend=backend_of(one.runtime), sinks=(one.keeper, ready))

        assert "NODE_GONE" == caught.value.code
        assert 1 == sum(isinstance(event, events.TaskFailed) for event in one.log)
        assert one.log[-1].t - ready.at < 20
        assert_laws(one.log)


@virtual_time
async def test_a_deadline_says_what_was_waited_for() -> None:
    """A node that never becomes Ready: exit code 124, its name and the API's reason."""
    order = NodeFault(node="*-agent-0", stage=Stage.READY, trouble=NodeTrouble.STALL)
    async with world(order) as one:
        with pytest.raises(K3dAsyncError, match=r"k3d-dev-agent-0.*the node to be Ready") as caught:
            await one.create(ClusterSpec(name="dev", agents=1, timeout=120.0))

        assert 124 == caught.value.exit_code
        assert one.runtime.is_empty()
        assert_laws(one.log)
        heartbeats = [event for event in one.log if isinstance(event, events.TaskWaiting)]
        assert any(event.since >= 5 for event in heartbeats)


@virtual_time
async def test_an_undo_that_fails_is_named_and_can_be_repeated() -> None:
    """What is left is exactly what the error and the log say; rollback finishes it."""
    orders = (
        NodeFault(node="*-agent-0", stage=Stage.REGISTERED),
        Fault(trouble=Hang(), verb="remove_container", name="*-agent-1", times=3),
    )
    async with world(*orders) as one:
        with pytest.raises(RollbackIncomplete) as caught:
            await one.create()

        assert 3 == caught.value.exit_code
        assert "k3dasync rollback dev" in str(caught.value)
        assert_laws(one.log)
        last = one.log[-1]
        assert isinstance(last, events.RunFailed)
        left = one.runtime.snapshot()
        assert last.left == caught.value.left
        assert "container k3d-dev-agent-1" in last.left
        assert len(last.left) == len(left.containers) + len(left.networks) + len(left.volumes)
        assert 1 == len(await rollback("dev", backend=backend_of(one.runtime)))
        assert one.runtime.is_empty()


async def test_no_rollback_keeps_the_wreck_until_told() -> None:
    """--no-rollback keeps everything; create refuses the name, rollback removes it."""
    order = NodeFault(node="*-agent-0", stage=Stage.REGISTERED)
    spec = ClusterSpec(name="dev", agents=1, rollback=False)
    async with world(order) as one:
        with pytest.raises(K3dAsyncError, match="exited with code 1"):
            await one.create(spec)
        assert not one.runtime.is_empty()
        with pytest.raises(ClusterExists):
            await one.create(spec)
        await rollback("dev", backend=backend_of(one.runtime))
        assert one.runtime.is_empty()


@given(
    servers=st.integers(1, 3),
    agents=st.integers(0, 4),
    loadbalancer=st.booleans(),
    is_outside=st.booleans(),
    wait=st.sampled_from(WaitLevel),
    scale=st.sampled_from([0.0, 0.01, 1.0, 3.0]),
    nth=st.integers(0, 120),
    moment=st.sampled_from(Moment),
    kind=st.sampled_from(["none", "fail", "stop", "hang"]),
)
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_any_shape_any_trouble(  # noqa: PLR0917 - hypothesis gives them by name
    servers: int,
    agents: int,
    loadbalancer: bool,
    is_outside: bool,
    wait: WaitLevel,
    scale: float,
    nth: int,
    moment: Moment,
    kind: str,
) -> None:
    """Whatever the shape, the speed and the trouble: the laws hold; success or nothing is left."""
    spec = ClusterSpec(
        name="dev",
        servers=servers,
        agents=agents,
        loadbalancer=loadbalancer,
        datastore=Datastore(endpoint="http://etcd:2379") if is_outside else None,
        wait=wait,
    )

    async def attempt() -> None:
        stop = Stop()
        troubles: dict[str, Trouble] = {
            "fail": Fail(EngineError("do", "it", "refused on order")),
            "stop": Call(lambda: stop.request("enough")),
            "hang": Hang(),
        }
        trouble = troubles.get(kind)
        orders = [Fault(trouble=trouble, nth=nth, moment=moment)] if trouble and nth else []
        latency = Latency().scaled(scale) if scale else Latency.instant()
        async with world(*orders, latency=latency) as one:
            try:
                await one.create(spec, stop)
            except K3dAsyncError:
                assert one.runtime.is_empty()
            if one.log:
                assert_laws(one.log)

    options = {"clock": MockClock(autojump_threshold=0)}
    anyio.run(attempt, backend="trio", backend_options=options)
