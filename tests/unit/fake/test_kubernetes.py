"""The API of the simulated clusters through published ports and load balancers."""

from dataclasses import replace

import pytest

from k3dasync import nginx
from k3dasync.errors import KubernetesError
from k3dasync.fake import Connector, Fail, Fault, Faults, Latency
from k3dasync.kubernetes import Credentials
from k3dasync.runtime import ContainerSpec
from tests.support import virtual_time
from tests.unit.fake.lab import INSTANT, Lab, binding, idle, lab

WRONG = Credentials(ca=b"?", certificate=b"?", key=b"?")
LB_PORT = 27000


def balancer(upstreams: list[str], *, balanced: bool) -> ContainerSpec:
    """Return a load balancer which publishes the API on a port of its own."""
    standby = frozenset() if balanced else frozenset(upstreams[1:])
    api = nginx.Forward(port=6443, hosts=tuple(upstreams), standby=standby)
    files = nginx.files(nginx.config([api]), "")
    return idle("lb", ports=(binding(LB_PORT),), files=files)


def slow_promotion() -> Latency:
    """Return latencies with which a joining server stays a learner."""
    node = replace(INSTANT.node, promotion_tick=1000.0, joiner_poll=1000.0)
    return replace(INSTANT, node=node)


async def answers(world: Lab, port: int = LB_PORT) -> bool:
    """Say whether the supervisor answers through a port, and the API with it."""
    async with Connector(world.runtime)("127.0.0.1", port, await world.credentials()) as kubernetes:
        return await kubernetes.supervisor_answers() and await kubernetes.is_ready()


async def test_probes_say_no_and_never_raise() -> None:
    """Before anything runs, both probes say no; afterwards the API wants credentials."""
    async with lab() as world:
        async with world.api(WRONG) as api:
            assert not await api.supervisor_answers()
            assert not await api.is_ready()
            await world.start("s0")
            await world.ready()
            assert await api.supervisor_answers()
            assert not await api.is_ready()
        async with world.api(None) as api:
            assert not await api.is_ready()
        async with world.api(await world.credentials()) as api:
            assert await api.is_ready()


@virtual_time
async def test_nodes_are_followed_from_all_to_every_change() -> None:
    """The first snapshot has all Node objects, the next ones come with the changes."""
    async with lab(1, 1, latency=Latency()) as world:
        await world.start("s0")
        await world.ready_of("s0")
        async with world.api(await world.credentials()) as api, api.nodes() as snapshots:
            first = await anext(snapshots)
            await world.start("a0")
            second = await anext(snapshots)
            async for last in snapshots:
                if all(status.is_ready for status in last.values()):
                    break

    assert ["s0"] == list(first)
    assert "cni plugin not initialized" in second["a0"].reason
    assert {"s0", "a0"} == set(last)


async def test_a_watch_ends_with_its_server() -> None:
    """When the server goes, the stream ends, and asking again is an error."""
    async with lab() as world:
        await world.start("s0")
        await world.ready()
        async with world.api(await world.credentials()) as api:
            async with api.nodes() as snapshots:
                await anext(snapshots)
                await world.runtime.stop_container("s0")
                assert [] == [nodes async for nodes in snapshots]
            with pytest.raises(KubernetesError, match="connection refused"):
                async with api.nodes():
                    pass


@pytest.mark.parametrize("credentials", [None, WRONG])
async def test_nodes_need_credentials(credentials: Credentials | None) -> None:
    """Without the cluster's own credentials the API refuses."""
    async with lab() as world:
        await world.start("s0")
        await world.ready()
        async with world.api(credentials) as api:
            with pytest.raises(KubernetesError, match="401 Unauthorized"):
                async with api.nodes():
                    pass


async def test_a_deleted_node_is_gone() -> None:
    """Deleting a Node object says whether it was there, and an etcd member goes with it."""
    async with lab(2) as world:
        await world.start("s0")
        await world.supervisor()
        await world.start("s1")
        await world.ready()
        await world.runtime.stop_container("s1")
        async with world.api(await world.credentials()) as api:
            deleted = [await api.delete_node("s1"), await api.delete_node("s1")]

        assert [True, False] == deleted
        assert world.store is not None
        assert ["s0"] == [member.node for member in world.store.members]


async def test_calls_of_the_api_can_fail_on_order() -> None:
    """A fault on the watch hits the watch."""
    faults = Faults((Fault(verb="nodes", trouble=Fail(KubernetesError("no"))),))
    async with lab(faults=faults) as world:
        await world.start("s0")
        await world.ready()
        async with world.api(await world.credentials()) as api:
            with pytest.raises(KubernetesError, match="no"):
                async with api.nodes():
                    pass
            async with api.nodes() as snapshots:
                assert ["s0"] == list(await anext(snapshots))


async def test_the_balancer_prefers_its_first_server() -> None:
    """While others stand by, all connections go to the first one; when it is gone, to them."""
    async with lab(2) as world:
        await world.runtime.create_container(
            balancer(["10.160.0.10", "10.160.0.11"], balanced=False)
        )
        await world.start("lb", "s0")
        await world.supervisor()
        await world.start("s1")
        await world.ready()
        assert all([await answers(world) for _ in range(5)])
        await world.runtime.stop_container("s0")
        async with Connector(world.runtime)("127.0.0.1", LB_PORT, None) as api:
            assert await api.supervisor_answers()


async def test_a_balancer_sends_clients_to_a_joining_server_too() -> None:
    """One that uses every server too early meets a server which cannot answer yet."""
    async with lab(2, latency=slow_promotion()) as world:
        await world.runtime.create_container(
            balancer(["10.160.0.10", "10.160.0.11"], balanced=True)
        )
        await world.start("lb", "s0")
        await world.supervisor()
        await world.start("s1")
        await world.until(lambda: bool(world.container("s1").serves))
        async with Connector(world.runtime)("127.0.0.1", LB_PORT, None) as api:
            found = {await api.supervisor_answers() for _ in range(2)}

    assert {True, False} == found


async def test_a_balancer_reads_its_files_when_told() -> None:
    """New upstreams count from the SIGHUP on, not from the writing."""
    async with lab(1) as world:
        await world.runtime.create_container(balancer(["10.160.0.99"], balanced=True))
        await world.start("lb", "s0")
        await world.ready()
        files = balancer(["10.160.0.10"], balanced=True).files
        await world.runtime.write_files("lb", files)
        before = await answers(world)
        await world.runtime.signal_container("lb", "SIGHUP")
        await world.until(lambda: "10.160.0.10" in str(world.container("lb").data))
        after = await answers(world)

    assert (False, True) == (before, after)


async def test_a_balancer_can_resolve_names_late() -> None:
    """With a resolver the common alias of the servers is looked up at each connection."""
    async with lab(1) as world:
        await world.runtime.remove_container("s0", {})
        await world.create_first(aliases=("servers",), ports=())
        text = nginx.config([nginx.Forward(port=6443, name="servers")])
        spec = replace(balancer([], balanced=True), files=nginx.files(text, ""))
        await world.runtime.create_container(spec)
        await world.start("lb")
        await world.start("s0")
        await world.ready()

        assert await answers(world)


async def test_k3ds_balancer_is_understood() -> None:
    """A balancer with k3d's values instead of a configuration forwards to the servers named."""
    async with lab(1) as world:
        values = nginx.values({"6443.tcp": ["s0"]}).encode()
        files = tuple(
            replace(file, content=values) for file in balancer([], balanced=True).files[1:]
        )
        await world.runtime.create_container(replace(balancer([], balanced=True), files=files))
        await world.start("s0")
        await world.start("lb")
        await world.ready()

        assert await answers(world)


async def test_a_port_is_reached_on_its_own_address_only() -> None:
    """What is bound to 127.0.0.1 is not reached through another address."""
    async with lab() as world:
        await world.start("s0")
        await world.ready()
        async with Connector(world.runtime)("192.0.2.1", 26000, None) as api:
            assert not await api.supervisor_answers()
