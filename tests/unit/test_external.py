"""Volumes and networks of no cluster, on the fake engine."""

import pytest

from k3dasync import addresses
from k3dasync.errors import ClusterBusy, Conflict, NameTaken, SubnetTaken
from k3dasync.fake import Fail, FakeRuntime, Fault, Faults, Latency, backend_of
from k3dasync.grammar.filtered import Filtered
from k3dasync.journal import cluster_lock, place_of
from k3dasync.life_errors import NotMade
from k3dasync.operations import external
from k3dasync.operations.create import create
from k3dasync.operations.delete import delete
from k3dasync.operations.external import Asked
from k3dasync.operations.start import StartOptions, start
from k3dasync.operations.stop import stop_clusters
from k3dasync.runtime import VolumeSpec
from k3dasync.spec import ClusterSpec


def runtime_of(*orders: Fault) -> FakeRuntime:
    return FakeRuntime(latency=Latency.instant(), faults=Faults(orders))


async def test_clusters_come_and_go_in_a_network_of_its_own() -> None:
    """Their nodes have fixed addresses in it, and it stays, as a volume does."""
    spec = ClusterSpec(name="dev", network="shared", volumes=(Filtered(value="data:/data"),))
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        subnet = await external.create_network(Asked(name="shared", labels={"a": "b"}), runtime)
        assert await external.create_volume(Asked(name="data", labels={}), runtime)
        await create(spec, backend=backend)
        node = await runtime.inspect_container("k3d-dev-server-0")
        assert node.fixed_addresses["shared"].rpartition(".")[0] == subnet.rpartition(".")[0]
        with pytest.raises(Conflict, match="active endpoints"):
            await external.delete_network("shared", runtime)

        await delete(["dev"], backend=backend)
        (network,) = await external.external_networks(runtime)
        assert ("shared", "b") == (network.name, network.labels["a"])
        assert ["data"] == [one.name for one in await external.external_volumes(runtime)]
        assert await external.delete_network("shared", runtime)
        assert await external.delete_volume("data", runtime)
        assert not await external.delete_volume("data", runtime)
        assert runtime.is_empty()


async def test_a_stopped_clusters_addresses_are_not_given_to_another() -> None:
    """Both have fixed ones of the half that the engine leaves alone, and both come back."""
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        subnet = await external.create_network(Asked(name="shared", labels={}), runtime)
        await create(ClusterSpec(name="a", network="shared", agents=1), backend=backend)
        await stop_clusters(["a"], backend=backend)
        await create(ClusterSpec(name="b", network="shared", agents=1), backend=backend)
        await start(["a"], StartOptions(seconds=300), backend=backend)

        details = [await runtime.inspect_container(one.name) for one in await runtime.containers()]
        found = {one.fixed_addresses["shared"] for one in details}
        assert 6 == len(found)
        assert found <= set(addresses.fixed_addresses(subnet))


async def test_a_volume_is_made_once() -> None:
    """A second time it is there already; one that somebody else made is not ours."""
    async with runtime_of() as runtime:
        asked = Asked(name="data", labels={})
        assert [True, False] == [await external.create_volume(asked, runtime) for _ in range(2)]
        await runtime.create_volume(VolumeSpec(name="theirs", labels={}))
        with pytest.raises(NameTaken, match="there already"):
            await external.create_volume(Asked(name="theirs", labels={}), runtime)
        with pytest.raises(NotMade, match="docker volume rm theirs"):
            await external.delete_volume("theirs", runtime)


async def test_a_network_is_made_once() -> None:
    """Names of networks are not unique on an engine, so we look, and hold a lock meanwhile."""
    async with runtime_of() as runtime:
        asked = Asked(name="shared", labels={}, subnet="10.99.0.0/24")
        with (
            cluster_lock(place_of("network", "shared"), "FAKE"),
            pytest.raises(ClusterBusy, match="cannot change network shared"),
        ):
            await external.create_network(asked, runtime)
        assert "10.99.0.0/24" == await external.create_network(asked, runtime)
        with pytest.raises(NameTaken, match="create --network shared"):
            await external.create_network(asked, runtime)
        with pytest.raises(
            SubnetTaken, match=r"overlaps with 10\.99.0\.0/24 of network shared"
        ) as caught:
            await external.create_network(
                Asked(name="other", labels={}, subnet="10.99.0.0/25"), runtime
            )
        assert "SUBNET_IN_USE" == caught.value.code
        runtime.add_foreign_network("theirs")
        with pytest.raises(NotMade, match="docker network rm theirs"):
            await external.delete_network("theirs", runtime)
        assert not await external.delete_network("nosuch", runtime)


async def test_a_subnet_that_is_lost_is_chosen_anew_unless_it_was_named() -> None:
    """As with the network of a cluster."""
    lost = Fail(SubnetTaken("create", "network", "Pool overlaps"))
    fault = Fault(trouble=lost, verb="create_network")
    async with runtime_of(fault) as runtime:
        subnet = await external.create_network(Asked(name="a", labels={}), runtime)
        assert subnet != next(addresses.subnets("a", external.ROOM, []))
    async with runtime_of(fault) as runtime:
        asked = Asked(name="b", labels={}, subnet="10.99.0.0/24")
        with pytest.raises(SubnetTaken):
            await external.create_network(asked, runtime)
