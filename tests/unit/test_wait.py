"""What each wait level waits for, on the fake engine."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise

import anyio
import pytest

from k3dasync import events
from k3dasync.errors import K3dAsyncError
from k3dasync.events import AnyEvent
from k3dasync.fake import (
    Connector,
    Cost,
    FakeRuntime,
    Faults,
    Latency,
    NodeFault,
    NodeTrouble,
    Stage,
    backend_of,
    certificates,
)
from k3dasync.fake.balancer import Balancer
from k3dasync.fake.datastore import Datastore
from k3dasync.grammar import filtered
from k3dasync.operations.create import create
from k3dasync.runtime import File
from k3dasync.spec import ClusterSpec, WaitLevel
from k3dasync.watch import SETTLED_AFTER
from k3dasync.workloads import Kind, Workload
from tests.laws import Keeper, assert_laws
from tests.support import virtual_time

LAST = "k3d-dev-server-2"
WAITS = (WaitLevel.NONE, WaitLevel.API, WaitLevel.QUORUM, WaitLevel.NODES, WaitLevel.ALL)


def spec(wait: WaitLevel, **fields: object) -> ClusterSpec:
    shape = {"name": "dev", "servers": 3, "agents": 2, "wait": wait} | fields
    return ClusterSpec(**shape)  # type: ignore[arg-type]


@dataclass
class World:
    runtime: FakeRuntime
    keeper: Keeper = field(default_factory=Keeper)
    outputs: events.Outputs | None = None

    async def create(self, wanted: ClusterSpec) -> float:
        """Create and return how long that took."""
        backend = backend_of(self.runtime)
        self.outputs = await create(wanted, backend=backend, sinks=(self.keeper,))
        return self.keeper.events[-1].t

    @property
    def store(self) -> Datastore:
        data = self.runtime.machine.inventory.containers["k3d-dev-server-0"].data
        assert isinstance(data, Datastore)
        return data

    def waited_for(self, task: str) -> list[str]:
        return [
            event.on
            for event in self.keeper.events
            if isinstance(event, events.TaskWaiting) and event.task == task
        ]

    async def connect(self, times: int = 100, *, has_api: bool = True) -> int:
        """Return how many of that many fresh connections are answered, by the API or by k3s."""
        assert self.outputs is not None
        port = int(self.outputs.api.rpartition(":")[2])
        credentials = certificates.credentials(self.store.name)
        async with Connector(self.runtime)("127.0.0.1", port, credentials) as kubernetes:
            probe = kubernetes.is_ready if has_api else kubernetes.supervisor_answers
            return sum([await probe() for _ in range(times)])


@asynccontextmanager
async def world(*orders: NodeFault, latency: Latency | None = None) -> AsyncIterator[World]:
    latency = latency or Latency()
    async with FakeRuntime(latency=latency, faults=Faults(orders)) as runtime:
        yield World(runtime)


@virtual_time
@pytest.mark.parametrize("scale", [0.01, 0.1, 1.0, 3.0])
@pytest.mark.parametrize(("servers", "agents"), [(1, 0), (1, 2), (2, 0), (3, 0), (3, 2), (5, 1)])
async def test_a_higher_level_never_returns_earlier(
    servers: int, agents: int, scale: float
) -> None:
    """At every shape and speed: none, api, quorum, nodes, all; but for what is chance in a run."""
    found: list[float] = []
    for wait in WAITS:
        async with world(latency=Latency().scaled(scale)) as one:
            found.append(await one.create(spec(wait, servers=servers, agents=agents)))

    for lower, higher in pairwise(found):
        assert lower < 1.05 * higher


@virtual_time
async def test_with_real_latencies_the_quorum_spares_a_server() -> None:
    """The third server comes up while the create has returned."""
    async with world() as one:
        quorum = await one.create(spec(WaitLevel.QUORUM))
        assert LAST not in one.store.nodes or not one.store.nodes[LAST].is_ready
    async with world() as other:
        nodes = await other.create(spec(WaitLevel.NODES))

    assert quorum < 0.95 * nodes


@virtual_time
@pytest.mark.parametrize("scale", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("wait", WAITS)
async def test_every_connection_is_answered_after_a_create(wait: WaitLevel, scale: float) -> None:
    """A hundred fresh ones, whichever servers are still to come; at `none` by the supervisor."""
    async with world(latency=Latency().scaled(scale) if scale else Latency.instant()) as one:
        await one.create(spec(wait))

        assert 100 == await one.connect(has_api=wait is not WaitLevel.NONE)
        assert_laws(one.keeper.events)


@virtual_time
@pytest.mark.parametrize("wait", [level for level in WAITS if level is not WaitLevel.NONE])
async def test_every_connection_is_answered_without_fixed_addresses(wait: WaitLevel) -> None:
    """On a network whose subnet no user has configured, while the last server never comes up."""
    keeps_joining = NodeFault(node=LAST, stage=Stage.JOINED, trouble=NodeTrouble.STALL)
    orders = () if wait.waits_for_every_node else (keeps_joining,)
    async with world(*orders) as one:
        one.runtime.add_foreign_network("theirs")
        await one.create(spec(wait, network="theirs"))
        await anyio.sleep(5)

        assert 100 == await one.connect()


@virtual_time
async def test_at_quorum_the_load_balancer_uses_those_that_are_ready() -> None:
    """The rest stands by, so that no connection meets it while it joins."""
    async with world() as one:
        await one.create(spec(WaitLevel.QUORUM))
        lb = one.runtime.machine.inventory.containers["k3d-dev-serverlb"].data
        assert isinstance(lb, Balancer)

        assert [False, False, True] == [upstream.is_backup for upstream in lb.upstreams]
        assert 100 == await one.connect()


# ---- quorum: the rest


@virtual_time
@pytest.mark.parametrize("stage", [Stage.STARTED, Stage.JOINED, Stage.UP, Stage.REGISTERED])
async def test_a_server_that_crash_loops_is_no_part_of_a_quorum(stage: Stage) -> None:
    """The majority is Ready and waits for it, until it is known to be lost: then it fails."""
    order = NodeFault(node=LAST, stage=stage, says="no way")
    async with world(order, latency=Latency().scaled(0.1)) as one:
        with pytest.raises(K3dAsyncError, match="no way") as caught:
            await one.create(spec(WaitLevel.QUORUM))

        assert "NODE_CRASHLOOP" == caught.value.code
        assert one.runtime.is_empty()
        assert_laws(one.keeper.events)


@virtual_time
async def test_a_server_that_has_just_registered_may_crash_yet() -> None:
    """It counts as up when it has run for ten seconds, whatever it has reached."""
    order = NodeFault(node=LAST, stage=Stage.READY, says="no way")
    async with world(order, latency=Latency().scaled(0.1)) as one:
        with pytest.raises(K3dAsyncError, match="no way"):
            await one.create(spec(WaitLevel.QUORUM))


@virtual_time
@pytest.mark.parametrize(
    ("says", "exits"), [("no way", 3), ("ETCD join failed: etcdserver: unhealthy cluster", 8)]
)
async def test_a_joining_server_may_be_refused_more_often_than_it_may_crash(
    says: str, exits: int
) -> None:
    """Etcd's refusal passes; whatever else makes a server exit does not."""
    order = NodeFault(node=LAST, stage=Stage.STARTED, says=says)
    async with world(order) as one:
        with pytest.raises(K3dAsyncError, match=f"{exits} times"):
            await one.create(spec(WaitLevel.QUORUM))


@virtual_time
async def test_a_server_that_is_slow_to_join_does_not_keep_a_quorum_waiting() -> None:
    """It runs and does not exit: ten seconds of that are enough."""
    order = NodeFault(node=LAST, stage=Stage.JOINED, trouble=NodeTrouble.STALL)
    async with world(order, latency=Latency().scaled(0.01)) as one:
        await one.create(spec(WaitLevel.QUORUM))

        started = next(
            event.t
            for event in one.keeper.events
            if isinstance(event, events.TaskDone) and event.task == f"start:{LAST}"
        )
        assert pytest.approx(SETTLED_AFTER, abs=0.1) == one.keeper.events[-1].t - started
        assert f"{LAST} to run for 10 s without an exit" in one.waited_for("quorum:dev")


@virtual_time
async def test_an_exit_begins_the_ten_seconds_anew() -> None:
    """A server that came back once is trusted when it has run for a while."""
    orders = (
        NodeFault(node=LAST, stage=Stage.UP, times=1),
        NodeFault(node=LAST, stage=Stage.REGISTERED, trouble=NodeTrouble.STALL),
    )
    async with world(*orders, latency=Latency().scaled(0.01)) as one:
        took = await one.create(spec(WaitLevel.QUORUM))

        assert took > SETTLED_AFTER
        assert any(
            "k3d-dev-server-2 is restarting, exited once, last with code 1" in on
            for on in one.waited_for("quorum:dev")
        )


@virtual_time
async def test_a_quorum_wants_every_agent() -> None:
    """Agents have no majority: one that is never Ready ends with the deadline."""
    order = NodeFault(node="*-agent-1", stage=Stage.READY, trouble=NodeTrouble.STALL)
    async with world(order) as one:
        with pytest.raises(K3dAsyncError, match=r"ready:k3d-dev-agent-1 \(the node to be Ready"):
            await one.create(spec(WaitLevel.QUORUM, timeout=200.0))


@virtual_time
async def test_a_quorum_wants_a_majority() -> None:
    """Two of three that are not Ready are too many; the API's words are in the error."""
    order = NodeFault(node="*-server-[12]", stage=Stage.READY, trouble=NodeTrouble.STALL)
    async with world(order) as one:
        with pytest.raises(K3dAsyncError, match="cni plugin not initialized"):
            await one.create(spec(WaitLevel.QUORUM, timeout=200.0))

        said = one.waited_for("quorum:dev")[-1]
        assert "k3d-dev-server-1: the node to be Ready: container runtime network" in said


@virtual_time
@pytest.mark.parametrize("wait", [WaitLevel.QUORUM, WaitLevel.NODES])
async def test_streams_that_break_are_made_up_for(wait: WaitLevel) -> None:
    """An engine that ends its streams now and then: what was missed is asked for."""
    order = NodeFault(node=LAST, stage=Stage.SUPERVISOR, times=2)
    async with world(order) as one, anyio.create_task_group() as group:

        async def cut() -> None:
            while True:
                await anyio.sleep(0.7)
                one.runtime.machine.cut_streams()

        group.start_soon(cut)
        await one.create(spec(wait))
        group.cancel_scope.cancel()

        assert_laws(one.keeper.events)


# ---- all


@virtual_time
async def test_all_waits_for_what_k3s_deploys() -> None:
    """Every deployment and daemonset is available, those too that a chart's job has made."""
    async with world() as one:
        await one.create(spec(WaitLevel.ALL, servers=1, agents=1))

        deployments = one.store.system[Kind.DEPLOYMENT]
        assert {"coredns", "local-path-provisioner", "metrics-server", "traefik"} == set(
            deployments
        )
        assert all(found.is_available for kind in Kind for found in one.store.system[kind].values())
        said = one.waited_for("system:dev")
        assert "job helm-install-traefik to complete" in said
        assert any("deployment traefik to be available: Deployment does not" in on for on in said)
        assert_laws(one.keeper.events)


@virtual_time
async def test_all_does_not_wait_for_what_is_disabled() -> None:
    """`--disable` takes manifests away, and what they would have made with them."""
    words = ("--disable=traefik", "--disable", "metrics-server")
    arguments = tuple(filtered.parse(f"{word}@server:*") for word in words)
    async with world() as one:
        await one.create(spec(WaitLevel.ALL, servers=1, agents=0, k3s_args=arguments))

        assert {"coredns", "local-path-provisioner"} == set(one.store.system[Kind.DEPLOYMENT])
        assert {} == one.store.system[Kind.JOB]


@virtual_time
async def test_all_says_what_is_lacking_when_time_is_up() -> None:
    """Manifests are applied, and nothing becomes available."""
    order = NodeFault(node="*-server-0", stage=Stage.AVAILABLE, trouble=NodeTrouble.STALL)
    async with world(order) as one:
        with pytest.raises(K3dAsyncError, match="chart traefik to get its job") as caught:
            await one.create(spec(WaitLevel.ALL, servers=1, agents=0, timeout=60.0))

        assert 124 == caught.value.exit_code
        assert one.runtime.is_empty()


@virtual_time
async def test_all_says_what_keeps_pods_from_running() -> None:
    """A deployment only says that it has too few; its pod knows why."""
    order = NodeFault(node="*-server-0", stage=Stage.AVAILABLE, trouble=NodeTrouble.STALL)
    pod = Workload(
        kind=Kind.POD, name="coredns-1", is_available=False, reason="ErrImagePull: no such host"
    )
    async with world(order) as one:

        class Note:
            def write(self, event: AnyEvent) -> None:
                if isinstance(event, events.TaskStarted) and event.task == "system:dev":
                    one.store.note(pod)

        wanted = spec(WaitLevel.ALL, servers=1, agents=0, timeout=60.0)
        with pytest.raises(K3dAsyncError, match="pod coredns-1: ErrImagePull: no such host"):
            await create(wanted, backend=backend_of(one.runtime), sinks=(one.keeper, Note()))


@virtual_time
async def test_all_knows_the_users_own_manifests() -> None:
    """One that is on the server's disk before k3s applies anything is waited for as well."""
    async with world() as one, anyio.create_task_group() as group:

        class Put:
            def write(self, event: AnyEvent) -> None:
                if isinstance(event, events.TaskDone) and event.task.endswith("dev-server-0"):
                    group.start_soon(put)

        async def put() -> None:
            path = "/var/lib/rancher/k3s/server/manifests/mine.yaml"
            file = File(path=path, content=b"kind: List\n")
            await one.runtime.write_files("k3d-dev-server-0", [file])

        backend = backend_of(one.runtime)
        wanted = spec(WaitLevel.ALL, servers=1, agents=0)
        await create(wanted, backend=backend, sinks=(one.keeper, Put()))

        assert one.store.system[Kind.ADDON]["mine"].is_available


@virtual_time
async def test_all_does_not_wait_for_a_manifest_that_k3s_deletes() -> None:
    """One of a disabled name is deleted from the disk, and nobody is told of that."""
    arguments = (filtered.parse("--disable=zzz@server:*"),)
    latency = Latency()
    slow = replace(latency, node=replace(latency.node, apply=Cost(10.0)))
    async with world(latency=slow) as one, anyio.create_task_group() as group:
        folder = "/var/lib/rancher/k3s/server/manifests"
        file = File(path=f"{folder}/zzz.yaml", content=b"kind: List\n")

        class Put:
            def write(self, event: AnyEvent) -> None:
                if isinstance(event, events.TaskDone) and event.task.startswith("container:"):
                    group.start_soon(one.runtime.write_files, "k3d-dev-server-0", [file])

        backend = backend_of(one.runtime)
        wanted = spec(WaitLevel.ALL, servers=1, agents=0, k3s_args=arguments)
        await create(wanted, backend=backend, sinks=(one.keeper, Put()))

        assert "zzz" not in one.store.system[Kind.ADDON]
        assert any("manifest zzz to be applied" in on for on in one.waited_for("system:dev"))


# ---- why it waits


@virtual_time
async def test_a_container_that_restarts_is_told() -> None:
    """Whoever waits for the node says so, and how often it has exited."""
    order = NodeFault(node="*-agent-0", stage=Stage.REGISTERED, times=2)
    async with world(order) as one:
        await one.create(spec(WaitLevel.NODES, servers=1, agents=1))

        said = one.waited_for("ready:k3d-dev-agent-0")
        assert any(
            on.endswith("; k3d-dev-agent-0 is restarting, exited 2 times, last with code 1")
            for on in said
        )
        assert "the node to be Ready: container runtime network not ready: " in said[-1]


@virtual_time
async def test_a_server_that_restarts_before_its_api_is_there_is_told() -> None:
    """The task that waits for the port looks at the container as well."""
    order = NodeFault(node="*-server-0", stage=Stage.SUPERVISOR, times=1)
    async with world(order) as one:
        await one.create(spec(WaitLevel.API, servers=1, agents=0))

        assert any(
            "/cacerts; k3d-dev-server-0 is restarting, exited once" in on
            for on in one.waited_for("supervisor:k3d-dev-server-0")
        )
