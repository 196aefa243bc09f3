"""Start, stop, restart, pause and resume on the fake engine."""

from collections.abc import Awaitable, Callable

import anyio
import pytest

from k3dasync import events
from k3dasync.entrypoint import WITHOUT_DRAIN
from k3dasync.errors import (
    ClusterBusy,
    ClusterNotFound,
    DeadlineExceeded,
    EngineError,
    Interrupted,
    TaskFailed,
)
from k3dasync.fake import (
    Delay,
    Fail,
    FakeRuntime,
    Fault,
    Faults,
    Hang,
    Latency,
    NodeFault,
    Stage,
    backend_of,
)
from k3dasync.journal import cluster_lock
from k3dasync.life_errors import NotHalted, SeveralFailed
from k3dasync.operations._run import Stop
from k3dasync.operations.create import create
from k3dasync.operations.node_create import GrowOptions, create_nodes
from k3dasync.operations.node_delete import delete_nodes
from k3dasync.operations.start import ETCD_CONFIG, StartOptions, start
from k3dasync.operations.stop import pause, restart, stop_clusters
from k3dasync.resolve import NodeSpec
from k3dasync.runtime import File, Status
from k3dasync.spec import ClusterSpec, WaitLevel
from k3dasync.tasks.halt import grace_within
from tests.laws import Keeper, assert_laws
from tests.support import virtual_time

SPEC = ClusterSpec(name="dev", servers=3, agents=2)
WITHIN = StartOptions(seconds=300)


def runtime_of(*orders: Fault) -> FakeRuntime:
    return FakeRuntime(latency=Latency.instant(), faults=Faults(orders))


async def states(runtime: FakeRuntime, name: str = "dev") -> set[Status]:
    found = await runtime.containers({"k3d.cluster": name})
    return {one.status for one in found}


async def test_a_stopped_cluster_is_started_again_and_ready() -> None:
    """All nodes stop, all come back, and every Node has said so since."""
    keeper = Keeper()
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        await create(SPEC, backend=backend)
        ends = await stop_clusters(["dev"], backend=backend, sinks=(keeper,))
        assert (["dev"], []) == (ends.done, ends.absent)
        assert {Status.EXITED} == await states(runtime)
        assert_laws(keeper.events)

        keeper = Keeper()
        assert ("dev",) == await start(["dev"], WITHIN, backend=backend, sinks=(keeper,))
        assert {Status.RUNNING} == await states(runtime)
        assert_laws(keeper.events)
        done = keeper.events[-1]
        assert isinstance(done, events.RunDone)
        assert done.outputs is not None
        assert "k3d-dev-agent-1" in done.outputs.nodes


async def test_what_is_stopped_already_is_no_error() -> None:
    """A second stop finds nothing that runs, and a start of a running cluster only looks."""
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        await create(SPEC, backend=backend)
        assert ("dev",) == await start(["dev"], WITHIN, backend=backend)
        await stop_clusters(None, backend=backend)
        ends = await stop_clusters(None, backend=backend)
        assert ([], ["dev"]) == (ends.done, ends.absent)


async def test_unknown_names_are_refused_before_anything_is_touched() -> None:
    """One wrong name of several: nothing is stopped."""
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        await create(SPEC, backend=backend)
        with pytest.raises(ClusterNotFound, match="nosuch"):
            await stop_clusters(["dev", "nosuch"], backend=backend)
        with pytest.raises(ClusterNotFound, match="nosuch"):
            await start(["nosuch"], WITHIN, backend=backend)
        assert {Status.RUNNING} == await states(runtime)


async def test_a_whole_cluster_is_not_drained() -> None:
    """Each server is told so before it is stopped; agents have nothing to be told."""
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        await create(SPEC, backend=backend)
        await stop_clusters(["dev"], backend=backend)
        for number in range(3):
            await runtime.read_file(f"k3d-dev-server-{number}", WITHOUT_DRAIN)
        written = [name for verb, name in runtime.faults.calls if verb == "write_files"]
        assert not [name for name in written if "agent" in name]


async def test_restart_is_a_stop_and_a_start() -> None:
    """Everything has been started anew, and both runs are told."""
    keeper = Keeper()
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        await create(SPEC, backend=backend)
        before = (await runtime.inspect_container("k3d-dev-agent-0")).started_at
        await anyio.sleep(0.01)
        await restart(["dev"], WITHIN, backend=backend, sinks=(keeper,))
        assert (await runtime.inspect_container("k3d-dev-agent-0")).started_at > before
        began = [one.operation for one in keeper.events if isinstance(one, events.RunStarted)]
        assert ["stop", "start"] == began


async def test_a_paused_cluster_goes_on() -> None:
    """Pause freezes every node, and a start, or resume, lets each go on instead of starting it."""
    keeper = Keeper()
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        await create(SPEC, backend=backend)
        await pause(["dev"], backend=backend)
        assert {Status.PAUSED} == await states(runtime)
        assert ["dev"] == (await pause(["dev"], backend=backend)).absent
        await start(["dev"], WITHIN, backend=backend, sinks=(keeper,))
        assert {Status.RUNNING} == await states(runtime)
        plan = next(one.plan for one in keeper.events if isinstance(one, events.RunStarted))
        assert {"resume"} == {one.does for one in plan if one.id.startswith("start:")}


async def test_several_clusters_at_once_and_one_that_fails() -> None:
    """The others are started all the same, and the error is the one's that failed."""
    error = EngineError("start", "container k3d-b-agent-0", "no")
    failing = Fault(trouble=Fail(error), verb="start_container", name="k3d-b-agent-0", nth=2)
    async with runtime_of(failing) as runtime:
        backend = backend_of(runtime)
        for name in "abc":
            await create(ClusterSpec(name=name, agents=1), backend=backend)
        await stop_clusters(None, backend=backend)
        with pytest.raises(TaskFailed, match=r"start:k3d-b-agent-0: .* no"):
            await start(None, WITHIN, backend=backend)
        assert {Status.RUNNING} == await states(runtime, "a") | await states(runtime, "c")


async def test_what_cannot_be_stopped_is_named() -> None:
    """All the others are stopped; two clusters' failures are one error with both."""
    error = EngineError("stop", "container", "no")
    orders = [
        Fault(trouble=Fail(error), verb="stop_container", name=f"k3d-{name}-agent-0")
        for name in "ab"
    ]
    async with runtime_of(*orders) as runtime:
        backend = backend_of(runtime)
        for name in "ab":
            await create(ClusterSpec(name=name, agents=1), backend=backend)
        with pytest.raises(NotHalted, match="k3d-a-agent-0 still runs: cannot stop container: no"):
            await stop_clusters(["a"], backend=backend)
        keeper = Keeper()
        assert ["a"] == (await stop_clusters(["a"], backend=backend, sinks=(keeper,))).done
        started = next(one for one in keeper.events if isinstance(one, events.RunStarted))
        assert ["stop:k3d-a-agent-0"] == [one.id for one in started.plan]


async def test_two_failures_are_one_error() -> None:
    """The error has both names, and each one's words in its notes."""
    error = EngineError("stop", "container", "no")
    orders = [
        Fault(trouble=Fail(error), verb="stop_container", name=f"k3d-{name}-agent-0")
        for name in "ab"
    ]
    async with runtime_of(*orders) as runtime:
        backend = backend_of(runtime)
        for name in "ab":
            await create(ClusterSpec(name=name, agents=1), backend=backend)
        with pytest.raises(SeveralFailed, match="a, b") as caught:
            await stop_clusters(None, backend=backend)
        assert ["a: ", "b: "] == [note[:3] for note in caught.value.__notes__]


async def test_a_stop_of_many_takes_as_long_as_of_one() -> None:
    """Fourteen nodes are stopped at once."""
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        await create(ClusterSpec(name="dev", servers=3, agents=10), backend=backend)
        keeper = Keeper()
        await stop_clusters(["dev"], backend=backend, sinks=(keeper,))
        kinds = [type(one) for one in keeper.events]
        first_end = kinds.index(events.TaskDone)
        assert 14 == kinds[:first_end].count(events.TaskStarted)


async def test_another_run_of_the_same_cluster_is_refused() -> None:
    """The cluster's lock is held from the first look to the end."""
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        await create(SPEC, backend=backend)
        engine = (await runtime.facts()).id
        with cluster_lock("dev", engine), pytest.raises(ClusterBusy):
            await stop_clusters(["dev"], backend=backend)


@virtual_time
async def test_a_deadline_ends_a_start_and_leaves_everything_as_it_is() -> None:
    """The error says what was missing; nodes that were started run on."""
    hanging = Fault(trouble=Hang(), verb="start_container", name="k3d-dev-agent-0", nth=2)
    async with FakeRuntime(faults=Faults((hanging,))) as runtime:
        backend = backend_of(runtime)
        await create(ClusterSpec(name="dev", agents=1), backend=backend)
        await stop_clusters(["dev"], backend=backend)
        keeper = Keeper()
        with pytest.raises(DeadlineExceeded, match="k3d-dev-agent-0"):
            await start(["dev"], StartOptions(seconds=40), backend=backend, sinks=(keeper,))
        assert Status.RUNNING is (await runtime.inspect_container("k3d-dev-server-0")).state.status
        failed = keeper.events[-1]
        assert isinstance(failed, events.RunFailed)
        assert not failed.rolled_back


@virtual_time
@pytest.mark.parametrize(("verb", "halt"), [("stop", stop_clusters), ("pause", pause)])
async def test_a_deadline_of_a_stop_names_what_still_runs(
    verb: str, halt: Callable[..., Awaitable[object]]
) -> None:
    """Exit code 124; what was stopped in time stays so, and the log says what was not."""
    keeper = Keeper()
    hanging = Fault(trouble=Hang(), verb=f"{verb}_container", name="k3d-dev-agent-1")
    async with runtime_of(hanging) as runtime:
        backend = backend_of(runtime)
        await create(SPEC, backend=backend)
        with pytest.raises(
            DeadlineExceeded, match=rf"after 20 s.*{verb}:k3d-dev-agent-1"
        ) as caught:
            await halt(["dev"], backend=backend, seconds=20, sinks=(keeper,))
        assert 124 == caught.value.exit_code
        assert_laws(keeper.events)
        last = keeper.events[-1]
        assert isinstance(last, events.RunFailed)
        assert ("k3d-dev-agent-1 still runs",) == last.left
        assert Status.RUNNING is (await runtime.inspect_container("k3d-dev-agent-1")).state.status


@virtual_time
async def test_a_restart_has_one_deadline() -> None:
    """What the stop has taken is not there for the start any more."""
    slow = Fault(trouble=Delay(30), verb="stop_container", name="k3d-dev-agent-1")
    async with FakeRuntime(faults=Faults((slow,))) as runtime:
        backend = backend_of(runtime)
        await create(SPEC, backend=backend)
        began = anyio.current_time()
        with pytest.raises(DeadlineExceeded, match="supervisor:"):
            await restart(["dev"], StartOptions(seconds=40), backend=backend)
        assert pytest.approx(40, abs=2) == anyio.current_time() - began


@virtual_time
async def test_a_stop_that_is_through_when_time_is_up_is_one() -> None:
    """A call to the engine is not cut: what has ended is not said to be missing."""
    late = Fault(trouble=Delay(3), verb="stop_container", name="k3d-dev-agent-1")
    async with runtime_of(late) as runtime:
        backend = backend_of(runtime)
        await create(SPEC, backend=backend)
        assert ["dev"] == (await stop_clusters(["dev"], backend=backend, seconds=2)).done
        assert {Status.EXITED} == await states(runtime)


@pytest.mark.parametrize(
    ("seconds", "grace"), [(None, None), (11, None), (10.5, 9), (5, 4), (1, 0), (0.2, 0)]
)
def test_the_engines_grace_fits_into_the_time(seconds: float | None, grace: int | None) -> None:
    """Who has less time than the engine's ten seconds has nodes killed in time."""
    assert grace == grace_within(seconds)


@virtual_time
async def test_a_stop_that_is_stopped_says_what_still_runs() -> None:
    """The last line names it, and so does the error."""
    hanging = Fault(trouble=Hang(), verb="stop_container", name="k3d-dev-agent-0")
    async with FakeRuntime(faults=Faults((hanging,))) as runtime:
        backend = backend_of(runtime)
        await create(ClusterSpec(name="dev", agents=1), backend=backend)
        keeper, wish = Keeper(), Stop()

        async def after_a_while() -> None:
            await anyio.sleep(20)
            wish.request("stopped by SIGINT")

        async with anyio.create_task_group() as group:
            group.start_soon(after_a_while)
            with pytest.raises(Interrupted, match="not stopped: dev"):
                await stop_clusters(["dev"], backend=backend, sinks=(keeper,), stop=wish)
        failed = keeper.events[-1]
        assert isinstance(failed, events.RunFailed)
        assert ("k3d-dev-agent-0 still runs",) == failed.left


@virtual_time
async def test_servers_come_back_at_once() -> None:
    """Three servers are up in the time that one of them needs: none waits for another."""
    async with FakeRuntime() as runtime:
        backend = backend_of(runtime)
        await create(ClusterSpec(name="dev", servers=3), backend=backend)
        await stop_clusters(["dev"], backend=backend)
        began = anyio.current_time()
        await start(["dev"], StartOptions(wait=WaitLevel.API), backend=backend)
        assert anyio.current_time() - began < 35


@virtual_time
@pytest.mark.parametrize("agents", [1, 0])
async def test_an_address_that_was_given_back_is_filled_by_an_agent(agents: int) -> None:
    """The servers behind it get theirs again; where nobody can fill it, the error says so."""
    spec = ClusterSpec(name="dev", servers=4, network="plain", loadbalancer=False)
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        runtime.add_foreign_network("plain")
        await create(spec, backend=backend)
        if agents:  # with an address behind those of the servers
            await create_nodes("dev", ["x-0"], NodeSpec(), GrowOptions(), backend=backend)
        await delete_nodes(["dev-server-1"], backend=backend)
        before = await server_addresses(runtime)
        for name, address in before.items():
            settings = f"advertise-client-urls: https://{address}:2379\n".encode()
            await runtime.write_files(name, [File(path=ETCD_CONFIG, content=settings)])
        await stop_clusters(["dev"], backend=backend)
        if agents:
            await start(["dev"], WITHIN, backend=backend)
            assert before == await server_addresses(runtime)
        else:
            with pytest.raises(TaskFailed, match="have another container on its network"):
                await start(["dev"], WITHIN, backend=backend)


async def server_addresses(runtime: FakeRuntime) -> dict[str, str]:
    found = await runtime.containers({"k3d.cluster": "dev", "k3d.role": "server"})
    return {one.name: one.addresses["plain"] for one in found}


@virtual_time
async def test_a_node_that_does_not_come_back_fails_the_start() -> None:
    """A crash-loop after a start is found as after a create, and not a node's earlier restarts."""
    faults = Faults()
    async with FakeRuntime(faults=faults) as runtime:
        backend = backend_of(runtime)
        await create(ClusterSpec(name="dev", agents=1), backend=backend)
        await stop_clusters(["dev"], backend=backend)
        faults.orders = (NodeFault(node="k3d-dev-agent-0", stage=Stage.STARTED),)
        with pytest.raises(TaskFailed, match="k3d-dev-agent-0 exited with code 1 3 times"):
            await start(["dev"], WITHIN, backend=backend)
