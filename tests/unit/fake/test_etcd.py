"""Membership of the simulated etcd: one learner at a time, promoted when it is in sync."""

import anyio
import pytest

from k3dasync.etcd import EtcdRefused
from k3dasync.fake import Fail, FakeEtcd, Fault, Faults, Latency, Moment
from tests.support import virtual_time
from tests.unit.fake.lab import Lab, lab


async def three(world: Lab, *names: str) -> FakeEtcd:
    """Start server-0 and, when nodes can join, others; return a client of server-0's etcd."""
    await world.start("s0")
    await world.supervisor()
    await world.start(*names)
    return FakeEtcd(world.runtime, "s0")


async def test_members_are_listed_with_their_nodes_names() -> None:
    """A member's name begins with its node's; the init server is a voter."""
    async with lab(3) as world:
        (member,) = await (await three(world)).members()

    assert member.name.startswith("s0-")
    assert not member.is_learner


@virtual_time
async def test_a_learner_is_promoted_when_it_is_in_sync() -> None:
    """Just after its start a promotion is refused, about 1.5 s after it is accepted."""
    async with lab(3, latency=Latency()) as world:
        etcd = await three(world, "s1")
        began = anyio.current_time()
        await world.until(lambda: world.store is not None and len(world.store.members) == 2)
        learner = (await etcd.members())[1]
        with pytest.raises(EtcdRefused, match="in sync with leader"):
            await etcd.promote(learner.id)
        await world.promote("s1")
        took = anyio.current_time() - began
        promoted = (await etcd.members())[1]
        with pytest.raises(EtcdRefused, match="can only promote a learner"):
            await etcd.promote(learner.id)

    assert learner.is_learner
    assert not promoted.is_learner
    assert 1.2 <= took <= 2.4


@virtual_time
async def test_one_learner_at_a_time() -> None:
    """Of two joining servers one exits with etcd's words, and both are members in the end."""
    async with lab(3, latency=Latency()) as world:
        await three(world, "s1", "s2")
        await world.ready()
        logs = [await world.runtime.logs(name, tail=1000) for name in ("s1", "s2")]
        text = "\n".join(line for log in logs for line in log)

        assert "too many learner members in cluster" in text
        assert await world.restarts() > 0


@virtual_time
async def test_a_new_voter_must_be_connected_for_a_while() -> None:
    """Right after a promotion the next member is refused, 5.2 s later it is not."""
    async with lab(3, latency=Latency()) as world:
        await three(world, "s1")
        await world.promote("s1")
        await world.start("s2")
        await anyio.sleep(1.5)
        log = await world.runtime.logs("s2", tail=1000)
        await world.ready()

        assert any("etcdserver: unhealthy cluster" in line for line in log)


@virtual_time
async def test_the_leader_promotes_every_15_seconds() -> None:
    """Left alone a learner becomes a voter at the next tick after server-0's start."""
    async with lab(3, latency=Latency()) as world:
        await three(world, "s1")
        store = world.store
        assert store is not None
        took = await world.until(
            lambda: len(store.members) == 2 and not store.members[1].is_learner
        )

    # The process begins 0.65 s after the engine is asked for it.
    assert pytest.approx(15.65) == took


async def test_unknown_members_and_absent_servers_are_refused() -> None:
    """Promoting what is no member, or asking a server that is not there, is refused."""
    async with lab(3) as world:
        etcd = await three(world)
        with pytest.raises(EtcdRefused, match="member not found"):
            await etcd.promote(99)
        with pytest.raises(EtcdRefused, match="connection refused"):
            await FakeEtcd(world.runtime, "s1").members()


@virtual_time
async def test_a_promotion_can_lose_its_answer() -> None:
    """A promotion that fails after its effect has made the learner a voter all the same."""
    fault = Fault(verb="promote", trouble=Fail(EtcdRefused("cut")), moment=Moment.AFTER)
    async with lab(3, faults=Faults((fault,)), latency=Latency()) as world:
        etcd = await three(world, "s1")
        await anyio.sleep(2)
        with pytest.raises(EtcdRefused, match="cut"):
            await etcd.promote((await etcd.members())[1].id)

        assert [False, False] == [member.is_learner for member in await etcd.members()]


@virtual_time
async def test_a_member_is_removed_when_the_rest_is_healthy() -> None:
    """Not within five seconds of its coming: then the rest may be no quorum. And only once."""
    async with lab(3, latency=Latency()) as world:
        etcd = await three(world, "s1")
        await world.promote("s1")
        await world.start("s2")
        await world.ready()
        await anyio.sleep(6)
        last = next(one for one in await etcd.members() if one.name.startswith("s2-"))
        await etcd.remove(last.id)
        with pytest.raises(EtcdRefused, match="member not found"):
            await etcd.remove(last.id)

        assert ["s0", "s1"] == [one.name.partition("-")[0] for one in await etcd.members()]


@virtual_time
async def test_without_a_quorum_nobody_is_removed() -> None:
    """Of two members none can go when one is dead."""
    async with lab(2, latency=Latency()) as world:
        etcd = await three(world, "s1")
        await world.promote("s1")
        await world.ready()
        await world.runtime.stop_container("s1")
        with pytest.raises(EtcdRefused, match="deadline exceeded"):
            await etcd.remove((await etcd.members())[1].id)
