"""How servers join etcd, on the fake engine, whose etcd refuses as a real one does."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import anyio
import pytest

from k3dasync import events
from k3dasync.errors import DeadlineExceeded
from k3dasync.etcd import EtcdRefused, EtcdUnreachable, Member, is_voter, joining_member, learner_of
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
from k3dasync.fake.datastore import Datastore
from k3dasync.grammar import filtered
from k3dasync.grammar.joins import JoinOrder
from k3dasync.operations.create import create
from k3dasync.spec import ClusterSpec, WaitLevel
from k3dasync.tasks.join import HEALTH_INTERVAL
from tests.laws import Keeper, assert_laws
from tests.support import virtual_time

UNREACHABLE = Fault(
    trouble=Fail(EtcdUnreachable("cannot reach etcd")), verb="connect_etcd", times=99
)


@dataclass
class World:
    runtime: FakeRuntime
    keeper: Keeper = field(default_factory=Keeper)

    async def create(self, **fields: object) -> float:
        """Create a cluster and return how long that took."""
        wanted = ClusterSpec(**({"name": "dev", "servers": 3} | fields))  # type: ignore[arg-type]
        await create(wanted, backend=backend_of(self.runtime), sinks=(self.keeper,))
        assert_laws(self.keeper.events)
        return self.keeper.events[-1].t

    @property
    def store(self) -> Datastore:
        data = self.runtime.machine.inventory.containers["k3d-dev-server-0"].data
        assert isinstance(data, Datastore)
        return data

    async def restarts(self) -> int:
        found = await self.runtime.containers()
        details = [await self.runtime.inspect_container(one.name) for one in found]
        return sum(detail.restarts for detail in details)

    def told(self, task: str) -> list[str]:
        """Return what a task said of its progress."""
        return [
            event.text
            for event in self.keeper.events
            if isinstance(event, events.TaskProgress) and event.task == task
        ]

    def moment(self, kind: type[events.TaskEvent], task: str) -> float:
        (found,) = [
            event.t
            for event in self.keeper.events
            if isinstance(event, kind) and event.task == task
        ]
        return found


@asynccontextmanager
async def world(*orders: Fault | NodeFault, latency: Latency | None = None) -> AsyncIterator[World]:
    async with FakeRuntime(latency=latency or Latency(), faults=Faults(orders)) as runtime:
        yield World(runtime)


@virtual_time
@pytest.mark.parametrize("wait", list(WaitLevel))
@pytest.mark.parametrize("cores", [1, 2, 16])
@pytest.mark.parametrize("servers", [2, 3, 5])
async def test_no_joining_server_is_ever_refused(servers: int, cores: int, wait: WaitLevel) -> None:
    """Whatever is waited for and however busy the machine is, none restarts and all are voters."""
    async with world(latency=replace(Latency(), cores=cores)) as one:
        await one.create(servers=servers, agents=2, wait=wait)
        with anyio.fail_after(60):
            while sum(not member.is_learner for member in one.store.members) < servers:
                await one.runtime.machine.changed.wait()

        assert 0 == await one.restarts()


@virtual_time
async def test_servers_join_long_before_the_first_is_up() -> None:
    """The second is a member when the first one's API is not there yet; the third comes 5 s on."""
    async with world() as one:
        await one.create()

    api = one.moment(events.TaskDone, "api:dev")
    first, second = [f"k3d-dev-server-{number}" for number in (1, 2)]
    assert one.moment(events.TaskDone, f"join:{first}") < api
    began, ended = [
        one.moment(kind, f"settle:{first}") for kind in (events.TaskStarted, events.TaskDone)
    ]
    assert HEALTH_INTERVAL == pytest.approx(ended - began)
    assert one.moment(events.TaskStarted, f"start:{second}") == pytest.approx(ended)


@virtual_time
async def test_each_step_of_a_join_is_told() -> None:
    """How etcd is reached, that the server is a learner, and that it has a vote."""
    async with world() as one:
        await one.create(servers=2)

    way, learner, voter = one.told("join:k3d-dev-server-1")
    assert way.startswith("etcd is reached in the memory of k3d-dev-server-0")
    assert learner.startswith("learner ")
    assert "voting member" == voter


@virtual_time
async def test_the_orders_differ_by_what_etcd_needs() -> None:
    """Pipelined joins with promotion take two thirds of the serial order, as on real k3s."""
    times = {}
    for order in JoinOrder:
        async with world() as one:
            times[order] = await one.create(join=order, agents=2)
            assert 0 == await one.restarts()

    assert times[JoinOrder.PIPELINED] < 0.75 * times[JoinOrder.SERIAL]


@virtual_time
@pytest.mark.parametrize("wait", list(WaitLevel))
async def test_without_a_way_to_etcd_k3s_promotes(wait: WaitLevel) -> None:
    """Each server waits for the one before to be registered; that is said, and none restarts."""
    async with world(UNREACHABLE) as one:
        await one.create(wait=wait)
        assert 0 == await one.restarts()

    (told,) = one.told("join:k3d-dev-server-1")
    assert "left to k3s, every 15 s: cannot reach etcd" == told
    joined = one.moment(events.TaskDone, "join:k3d-dev-server-1")
    assert joined + HEALTH_INTERVAL <= one.moment(events.TaskStarted, "start:k3d-dev-server-2")


@virtual_time
async def test_a_promotion_is_tried_until_it_is_accepted() -> None:
    """What etcd refuses is asked again, and its words are what is waited for."""
    refused = Fault(trouble=Fail(EtcdRefused("etcd refuses: not yet")), verb="promote", times=30)
    async with world(refused) as one:
        await one.create(servers=2, wait=WaitLevel.NODES)
        waited = [event.on for event in one.keeper.events if isinstance(event, events.TaskWaiting)]

    assert "etcd refuses: not yet" in waited
    assert 0 == await one.restarts()


@virtual_time
async def test_who_is_promoted_by_k3s_meanwhile_is_a_member_too() -> None:
    """Etcd refuses ours for so long that the leader's tick comes first."""
    refused = Fault(trouble=Fail(EtcdRefused("etcd refuses")), verb="promote", times=100_000)
    async with world(refused) as one:
        await one.create(servers=2)

    assert "voting member, made one by k3s" == one.told("join:k3d-dev-server-1")[-1]


@virtual_time
async def test_a_server_that_never_joins_ends_with_the_deadline() -> None:
    """It is named, with what it lacks."""
    stalls = NodeFault(node="k3d-dev-server-1", stage=Stage.STARTED, trouble=NodeTrouble.STALL)
    async with world(stalls) as one:
        with pytest.raises(DeadlineExceeded, match="to become a learner"):
            await one.create(timeout=60.0)


LEARNER = Member(id=1, name="k3d-dev-server-1-0a1b2c3d", is_learner=True)


@pytest.mark.parametrize(
    ("member", "learner", "voter"),
    [
        (LEARNER, True, False),
        (replace(LEARNER, name=""), True, False),
        (replace(LEARNER, is_learner=False), False, True),
        (replace(LEARNER, name="k3d-dev-server-10-0a1b2c3d"), False, False),
        (replace(LEARNER, name="k3d-dev-server-10-0a1b2c3d", is_learner=False), False, False),
    ],
)
def test_a_member_is_known_by_its_name(member: Member, *, learner: bool, voter: bool) -> None:
    """k3s adds eight digits to a node's name; a learner that never started has none yet."""
    node = "k3d-dev-server-1"

    assert learner == (learner_of([member], node) is member)
    assert voter == is_voter([member], node)


@pytest.mark.parametrize("is_learner", [True, False])
def test_a_member_that_has_told_no_name_is_the_one_that_joins(*, is_learner: bool) -> None:
    """A voter, too: it may be promoted before it tells its name. One that has its name is it."""
    first = Member(id=7, name="k3d-dev-server-0-0a1b2c3d", is_learner=False)
    nameless = Member(id=2, name="", is_learner=is_learner)
    node = "k3d-dev-server-1"

    assert nameless == joining_member([first, nameless], node)
    assert LEARNER == joining_member([first, nameless, LEARNER], node)
    assert joining_member([first], node) is None


@virtual_time
async def test_servers_without_an_etcd_do_not_wait_for_one() -> None:
    """A datastore that was given in k3s's own words is none of ours, and has no such rules."""
    outside = filtered.parse("K3S_DATASTORE_ENDPOINT=https://10.0.0.9:2379@server:*")
    async with world() as one:
        await one.create(env=(outside,), wait=WaitLevel.NODES)
        assert 0 == await one.restarts()

    assert ["k3d-dev-server-0 has no etcd"] == one.told("join:k3d-dev-server-1")
    settled = one.moment(events.TaskDone, "settle:k3d-dev-server-1")
    assert settled == pytest.approx(one.moment(events.TaskDone, "join:k3d-dev-server-1"), abs=0.1)
