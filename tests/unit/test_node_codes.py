"""Each code of a node that does not come, brought about on the fake engine; and when."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import anyio
import pytest

from k3dasync import events
from k3dasync.errors import EngineUnavailable, K3dAsyncError
from k3dasync.events import AnyEvent
from k3dasync.fake import (
    Fail,
    FakeRuntime,
    Fault,
    Faults,
    Latency,
    NodeFault,
    NodeTrouble,
    Stage,
    backend_of,
)
from k3dasync.grammar import filtered
from k3dasync.operations.create import create
from k3dasync.spec import ClusterSpec, WaitLevel
from k3dasync.stalls import FIRST_LOOK
from k3dasync.watch import ENGINE_AWAY
from tests.laws import Keeper, assert_laws
from tests.support import virtual_time

AGENT = "k3d-dev-agent-0"


def spec(**fields: object) -> ClusterSpec:
    return ClusterSpec(**({"name": "dev", "servers": 1, "agents": 1} | fields))  # type: ignore[arg-type]


def arguments(*words: str) -> tuple[filtered.Filtered, ...]:
    return tuple(filtered.parse(word) for word in words)


@asynccontextmanager
async def engine(*orders: NodeFault | Fault) -> AsyncIterator[FakeRuntime]:
    async with FakeRuntime(latency=Latency(), faults=Faults(orders)) as runtime:
        yield runtime


async def failure(runtime: FakeRuntime, wanted: ClusterSpec) -> tuple[K3dAsyncError, Keeper]:
    """Create, and return how that failed, with nothing left."""
    keeper = Keeper()
    with pytest.raises(K3dAsyncError) as caught:
        await create(wanted, backend=backend_of(runtime), sinks=(keeper,))
    assert runtime.is_empty()
    assert_laws(keeper.events)
    return caught.value, keeper


def failed(keeper: Keeper) -> events.TaskFailed:
    return next(one for one in keeper.events if isinstance(one, events.TaskFailed))


def time_of(keeper: Keeper, task: str) -> float:
    done = (one for one in keeper.events if isinstance(one, events.TaskDone))
    return next(one.t for one in done if one.task == task)


@virtual_time
@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("NODE_CRASHLOOP", "no way"),
        ("TOKEN_MISMATCH", "bootstrap data already found and encrypted with different token"),
        ("INOTIFY_LIMIT", "failed to create fsnotify watcher: too many open files"),
        ("DISK_PRESSURE", "write /var/lib/rancher: no space left on device"),
        ("PORT_IN_USE", "listen tcp :6443: bind: address already in use"),
    ],
)
async def test_a_crash_loop_has_the_code_of_its_last_words(code: str, says: str) -> None:
    """Within seconds, in the error, the task's event and the run's, with the words and a hint."""
    async with engine(NodeFault(node=AGENT, stage=Stage.STARTED, says=says)) as runtime:
        error, keeper = await failure(runtime, spec())

    task, run = failed(keeper), keeper.events[-1]
    assert isinstance(run, events.RunFailed)
    assert (code, code, code) == (error.code, task.code, run.code)
    assert task.hint
    assert (task.hint, task.log) == (run.hint, run.log)
    assert f'msg="{says}"' in task.log[0]
    assert task.hint in task.error
    assert says in task.error


@virtual_time
async def test_one_that_is_killed_for_want_of_memory() -> None:
    """At its first exit."""
    order = NodeFault(node=AGENT, stage=Stage.JOINED, trouble=NodeTrouble.OOM)
    async with engine(order) as runtime:
        error, _ = await failure(runtime, spec())

    assert "NODE_OOM" == error.code
    assert "was killed for want of memory" in str(error)


@virtual_time
async def test_etcd_that_refuses_for_good() -> None:
    """More often than in passing."""
    says = "ETCD join failed: etcdserver: unhealthy cluster"
    order = NodeFault(node="*-server-1", stage=Stage.STARTED, says=says)
    async with engine(order) as runtime:
        error, _ = await failure(runtime, spec(servers=3))

    assert "ETCD_UNHEALTHY" == error.code
    assert "8 times" in str(error)


# ---- nodes that run and cannot join


@virtual_time
@pytest.mark.parametrize("wait", [WaitLevel.QUORUM, WaitLevel.NODES, WaitLevel.ALL])
async def test_an_agent_with_another_token_fails_the_run(wait: WaitLevel) -> None:
    """It would ask for ever; one look at its log is enough, and its token is not shown."""
    wanted = spec(wait=wait, agents=2, k3s_args=arguments("--token=another@agent:1"))
    async with engine() as runtime:
        error, keeper = await failure(runtime, wanted)

    assert "TOKEN_MISMATCH" == error.code
    assert "k3d-dev-agent-1 is refused by its server https://k3d-dev-server-0:6443" in str(error)
    assert "401 Unauthorized" in failed(keeper).log[-1]
    late = failed(keeper).t - time_of(keeper, "api:dev")
    assert late < FIRST_LOOK + 1


@virtual_time
async def test_an_agent_that_does_not_reach_its_server_fails_the_run() -> None:
    """When it has said so twice and the server answers us; the address is named."""
    wanted = spec(k3s_args=arguments("--server=https://10.9.8.7:6443@agent:0"))
    async with engine() as runtime:
        error, keeper = await failure(runtime, wanted)
        looks = [name for verb, name in runtime.faults.calls if verb == "logs"]

    assert "API_UNREACHABLE" == error.code
    assert 1 == error.exit_code
    assert f"{AGENT} does not reach its server https://10.9.8.7:6443" in str(error)
    late = failed(keeper).t - time_of(keeper, "api:dev")
    assert 15 <= late < 18
    assert [AGENT] * 2 == [name for name in looks if name == AGENT]


@virtual_time
async def test_whoever_waits_says_what_the_node_complains_of() -> None:
    """Before the run fails; without time and level."""
    wanted = spec(k3s_args=arguments("--server=https://10.9.8.7:6443@agent:0"))
    async with engine() as runtime:
        _, keeper = await failure(runtime, wanted)

    said = [
        one.on
        for one in keeper.events
        if isinstance(one, events.TaskWaiting) and one.task == f"ready:{AGENT}"
    ]
    assert any(f"the node to register; {AGENT} says: failed to get CA certs: " in on for on in said)
    assert not any("level=" in on for on in said)


@virtual_time
async def test_whoever_waits_for_the_api_says_what_its_server_says() -> None:
    """Nothing else is known of a server that hangs: told within seconds, and no failure."""
    order = NodeFault(node="*-server-0", stage=Stage.UP, trouble=NodeTrouble.STALL)
    async with engine(order) as runtime:
        error, keeper = await failure(runtime, spec(timeout=40.0))

    said = [one for one in keeper.events if isinstance(one, events.TaskWaiting)]
    first = next(one for one in said if "k3d-dev-server-0 says: " in one.on)
    assert first.t < FIRST_LOOK + 8
    assert "k3d-dev-server-0 says: " in str(error)
    assert "API_UNREACHABLE" == error.code


@virtual_time
async def test_a_paused_node_is_named_by_whoever_waits_for_it() -> None:
    """Its API is silent, and no stream of it ends: the engine's word is all there is."""

    class Pauser:
        def write(self, event: AnyEvent) -> None:
            if isinstance(event, events.TaskDone) and event.task == "api:dev":
                found = runtime.machine.inventory.containers["k3d-dev-server-0"]
                runtime.machine.pause(found)

    keeper = Keeper()
    async with engine() as runtime:
        with pytest.raises(K3dAsyncError, match="k3d-dev-server-0 is paused"):
            await create(spec(timeout=60.0), backend=backend_of(runtime), sinks=(keeper, Pauser()))


@virtual_time
async def test_what_a_node_says_has_no_secrets() -> None:
    """Neither in the error nor in what is waited for."""

    class Blab:
        def write(self, event: AnyEvent) -> None:
            if isinstance(event, events.TaskDone) and event.task == "api:dev":
                log = runtime.machine.inventory.containers[AGENT].log
                log.append('level=error msg="the-very-secret is not valid"')

    wanted = spec(token="the-very-secret", k3s_args=arguments("--server=https://x:6443@agent:0"))
    keeper = Keeper()
    async with engine() as runtime:
        with pytest.raises(K3dAsyncError, match=r"\*\*\* is not valid"):
            await create(wanted, backend=backend_of(runtime), sinks=(keeper, Blab()))

    assert not any(b"the-very-secret" in events.encode(one) for one in keeper.events)


@virtual_time
async def test_an_agent_is_not_at_fault_while_its_server_does_not_answer() -> None:
    """The server has crashed once, and takes its time to come back."""
    order = NodeFault(node="*-server-0", stage=Stage.UP, times=2)
    async with engine(order) as runtime:
        slow = replace(runtime.latency.node, agent_retry=1.0)
        runtime.machine.latency = replace(runtime.machine.latency, node=slow)
        await create(spec(), backend=backend_of(runtime))


@virtual_time
async def test_nodes_that_join_in_time_are_hardly_looked_at() -> None:
    """No log is read more than once where nothing is the matter."""
    async with engine() as runtime:
        await create(spec(agents=2), backend=backend_of(runtime))

        looks = [name for verb, name in runtime.faults.calls if verb == "logs"]
        assert sorted(set(looks)) == sorted(looks)


# ---- disks, deadlines


@virtual_time
@pytest.mark.parametrize("wait", [WaitLevel.QUORUM, WaitLevel.NODES, WaitLevel.ALL])
@pytest.mark.parametrize("node", ["k3d-dev-server-0", AGENT])
async def test_a_node_with_a_full_disk_fails_whoever_waits_for_nodes(
    wait: WaitLevel, node: str
) -> None:
    """At once, in the words of the condition, though such a node may be Ready."""
    order = NodeFault(
        node=node,
        stage=Stage.REGISTERED,
        trouble=NodeTrouble.DISK_PRESSURE,
        says="kubelet has disk pressure",
    )
    async with engine(order) as runtime:
        error, _ = await failure(runtime, spec(wait=wait))

    assert "DISK_PRESSURE" == error.code
    assert f"node {node} takes no pods: kubelet has disk pressure" in str(error)


@virtual_time
async def test_a_full_disk_is_no_matter_where_nobody_waits_for_nodes() -> None:
    """At `api` the cluster is what was asked for."""
    order = NodeFault(
        node="*", stage=Stage.REGISTERED, trouble=NodeTrouble.DISK_PRESSURE, says="full"
    )
    async with engine(order) as runtime:
        await create(spec(wait=WaitLevel.API), backend=backend_of(runtime))


@virtual_time
@pytest.mark.parametrize(
    ("code", "node", "stage", "words"),
    [
        ("NODE_NOT_READY", AGENT, Stage.REGISTERED, f"ready:{AGENT} (the node to register; for "),
        ("NODE_NOT_READY", "*", Stage.READY, f"ready:{AGENT} (the node to be Ready: container "),
        ("API_UNREACHABLE", "*-server-0", Stage.SUPERVISOR, "supervisor:k3d-dev-server-0 (https"),
        ("API_UNREACHABLE", "*-server-0", Stage.UP, "api:dev (https"),
        ("DEADLINE_EXCEEDED", "*-server-0", Stage.AVAILABLE, "system:dev ("),
    ],
)
async def test_a_deadline_says_what_was_missing(
    code: str, node: str, stage: Stage, words: str
) -> None:
    """The exit code stays; each task is told with how long it waited."""
    order = NodeFault(node=node, stage=stage, trouble=NodeTrouble.STALL)
    async with engine(order) as runtime:
        error, _ = await failure(runtime, spec(wait=WaitLevel.ALL, timeout=100.0))

    assert (code, 124) == (error.code, error.exit_code)
    assert words in str(error)
    assert " s)" in str(error)


@virtual_time
async def test_a_deadline_tells_the_time_of_each_wait() -> None:
    """From when the task began."""
    order = NodeFault(node=AGENT, stage=Stage.REGISTERED, trouble=NodeTrouble.STALL)
    async with engine(order) as runtime:
        error, keeper = await failure(runtime, spec(timeout=100.0))

    began = next(
        one.t
        for one in keeper.events
        if isinstance(one, events.TaskStarted) and one.task == f"ready:{AGENT}"
    )
    assert f"for {100 - began:.1f} s)" in str(error)


# ---- the engine


AWAY = EngineUnavailable("cannot reach the engine: connection refused")


def away(times: int) -> Fault:
    """Return an order: the stream of events cannot be opened again for so many tries."""
    return Fault(trouble=Fail(AWAY), verb="container_events", nth=2, times=times)


async def cut_after(runtime: FakeRuntime, seconds: float) -> None:
    await anyio.sleep(seconds)
    runtime.machine.cut_streams()


@virtual_time
async def test_an_engine_that_stays_away_fails_the_run() -> None:
    """With its own exit code, long before the deadline."""
    stalls = NodeFault(node="*-server-0", stage=Stage.UP, trouble=NodeTrouble.STALL)
    async with engine(stalls, away(10_000)) as runtime, anyio.create_task_group() as group:
        group.start_soon(cut_after, runtime, 5.0)
        error, keeper = await failure(runtime, spec())

    assert ("ENGINE_UNAVAILABLE", 69) == (error.code, error.exit_code)
    assert pytest.approx(5 + ENGINE_AWAY, abs=1) == failed(keeper).t
    said = [one.on for one in keeper.events if isinstance(one, events.TaskWaiting)]
    assert any(on.endswith("; the engine does not answer") for on in said)


@virtual_time
async def test_an_engine_that_is_away_for_good_leaves_what_it_has() -> None:
    """That is told, and the exit code is still that of the engine."""
    stalls = NodeFault(node="*-server-0", stage=Stage.UP, trouble=NodeTrouble.STALL)
    gone = Fault(trouble=Fail(AWAY), verb="remove_*", times=10_000)
    keeper = Keeper()
    async with engine(stalls, away(10_000), gone) as runtime, anyio.create_task_group() as group:
        group.start_soon(cut_after, runtime, 5.0)
        with pytest.raises(K3dAsyncError) as caught:
            await create(spec(), backend=backend_of(runtime), sinks=(keeper,))

    assert 69 == caught.value.exit_code
    [note] = caught.value.__notes__
    assert note.startswith("left behind: container ")
    assert "container k3d-dev-server-0, " in note
    assert "k3dasync rollback dev" in note
    assert isinstance(keeper.events[-1], events.RunFailed)
    assert keeper.events[-1].left


@virtual_time
async def test_an_engine_that_is_away_for_a_moment_is_waited_for() -> None:
    """What happened meanwhile is asked for: here a crash-loop."""
    crash = NodeFault(node=AGENT, stage=Stage.STARTED, says="no way")
    async with engine(crash, away(30)) as runtime, anyio.create_task_group() as group:
        group.start_soon(cut_after, runtime, 1.0)
        error, _ = await failure(runtime, spec())

    assert "NODE_CRASHLOOP" == error.code


@virtual_time
async def test_an_engine_may_be_away_now_and_then() -> None:
    """Times of absence do not add up."""
    orders = [replace(away(40), nth=nth) for nth in (2, 43, 84)]
    async with engine(*orders) as runtime, anyio.create_task_group() as group:
        for seconds in (1.0, 13.0, 25.0):
            group.start_soon(cut_after, runtime, seconds)
        await create(spec(), backend=backend_of(runtime))
