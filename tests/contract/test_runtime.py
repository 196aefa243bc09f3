"""What every Runtime promises, tried on the fake engine and on a real one alike."""

import io
import tarfile
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from k3dasync.addresses import HOST_NETWORK
from k3dasync.build import BuildSpec
from k3dasync.errors import (
    AddressesUnsupported,
    AddressTaken,
    Conflict,
    EngineError,
    ImageUnavailable,
    NotFound,
    PortTaken,
    SubnetTaken,
)
from k3dasync.grammar.words import Ulimit
from k3dasync.image_archive import NameScanner, full_name
from k3dasync.image_errors import BuildFailed
from k3dasync.loglines import LogLine
from k3dasync.runtime import File, NetworkSpec, Runtime, Status, VolumeSpec
from tests.contract.conftest import Bench

EVENT_TIMEOUT = 30.0
"""A restart takes half a second; a test that waits in vain says so itself."""


async def status_of(runtime: Runtime, name: str) -> Status:
    return (await runtime.inspect_container(name)).state.status


async def names(bench: Bench) -> list[str]:
    return [found.name for found in await bench.runtime.containers(bench.labels)]


# ---- the engine itself, images


async def test_facts_name_the_engine(bench: Bench) -> None:
    """An engine has an id, by which a journal knows it again, and says where it is."""
    facts = await bench.runtime.facts()

    assert facts.id
    assert facts.endpoint
    assert facts.is_local


async def test_an_image_is_there_or_not(bench: Bench) -> None:
    """Only what the engine has counts, a registry is not asked."""
    assert await bench.runtime.has_image(bench.image)
    assert not await bench.runtime.has_image("k3dasync-dev/no-such-image:none")


async def test_an_image_that_cannot_be_had(bench: Bench) -> None:
    """A pull that fails names the image and says why."""
    with pytest.raises(ImageUnavailable, match=r"nonexistent\.invalid/none:1") as raised:
        await bench.runtime.pull_image("nonexistent.invalid/none:1", lambda *_: None)

    assert raised.value.words


# ---- networks


async def test_the_hosts_own_network_is_always_there(bench: Bench) -> None:
    """Without a range, and nobody can remove it."""
    found = [one for one in await bench.runtime.networks() if one.name == HOST_NETWORK]

    assert [("host", (), "")] == [(one.driver, one.subnets, one.gateway) for one in found]
    with pytest.raises(EngineError, match="pre-defined network"):
        await bench.runtime.remove_network(HOST_NETWORK, {})


async def test_a_container_on_the_hosts_network(bench: Bench) -> None:
    """It runs there without an address; entries for its hosts file are taken."""
    spec = bench.spec(HOST_NETWORK, extra_hosts=("far.example:10.9.9.9",))
    await bench.runtime.create_container(spec)
    await bench.runtime.start_container(spec.name)

    (listed,) = await bench.runtime.containers(bench.labels)
    inspected = await bench.runtime.inspect_container(spec.name)
    assert {HOST_NETWORK: ""} == listed.addresses == inspected.state.addresses
    assert Status.RUNNING is inspected.state.status
    assert "" not in await bench.runtime.addresses_in_use(HOST_NETWORK)


async def test_a_network_is_listed_as_made(bench: Bench) -> None:
    """Name, subnet, gateway and labels come back."""
    spec = replace(bench.network_spec(), name=f"{bench.name}-net")
    id = await bench.runtime.create_network(spec)

    (found,) = await bench.runtime.networks(bench.labels)

    assert (id, spec.name, "bridge") == (found.id, found.name, found.driver)
    assert ((spec.subnet,), spec.gateway) == (found.subnets, found.gateway)
    assert spec.labels == found.labels


async def test_networks_are_chosen_by_all_labels(bench: Bench) -> None:
    """A network that lacks one of the labels is not listed."""
    await bench.network()

    assert [] == list(await bench.runtime.networks({**bench.labels, "another": "label"}))


async def test_a_subnet_is_given_once(bench: Bench) -> None:
    """A subnet that overlaps another network's, here by containing it, is refused."""
    spec = bench.network_spec()
    await bench.runtime.create_network(spec)
    wide = NetworkSpec(
        name=f"{bench.name}-wide",
        subnet="10.213.0.0/16",
        gateway="10.213.0.1",
        ip_range="10.213.128.0/17",
        labels=bench.labels,
    )

    with pytest.raises(SubnetTaken):
        await bench.runtime.create_network(wide)

    assert [spec.name] == [found.name for found in await bench.runtime.networks(bench.labels)]


async def test_two_networks_may_share_a_name(bench: Bench) -> None:
    """Nothing but the id tells them apart, and a container is attached by it."""
    first, second = await bench.network(), await bench.network()
    assert first != second
    address = await bench.address(second)
    spec = bench.spec(second, address=address)

    await bench.runtime.create_container(spec)
    await bench.runtime.start_container(spec.name)

    assert frozenset({address}) == await bench.runtime.addresses_in_use(second)
    assert frozenset() == await bench.runtime.addresses_in_use(first)


async def test_networks_of_one_name_go_together(bench: Bench) -> None:
    """Removal takes every network of the name with the labels, and no other."""
    await bench.network()
    await bench.network()
    theirs = await bench.network(labels={"k3dasync.run": f"{bench.name}-other"})
    name = f"{bench.name}-net"

    assert await bench.runtime.remove_network(name, bench.labels)

    left = [found.id for found in await bench.runtime.networks() if found.name == name]
    assert [theirs] == left
    assert not await bench.runtime.remove_network(name, bench.labels)


async def test_removal_of_a_network_takes_the_whole_name(bench: Bench) -> None:
    """A name that merely begins alike is another one."""
    await bench.network("net")

    assert not await bench.runtime.remove_network(f"{bench.name}-ne", bench.labels)
    assert 1 == len(await bench.runtime.networks(bench.labels))


async def test_a_network_in_use_stays(bench: Bench) -> None:
    """The refusal names who uses it."""
    spec = bench.spec(await bench.network())
    await bench.runtime.create_container(spec)
    await bench.runtime.start_container(spec.name)

    with pytest.raises(Conflict, match=spec.name):
        await bench.runtime.remove_network(f"{bench.name}-net", bench.labels)


# ---- addresses and ports


async def test_a_fixed_address_is_given(bench: Bench) -> None:
    """The container has it while it runs, and is listed under the network's name from the first."""
    network = await bench.network()
    spec = bench.spec(network, address=await bench.address(network))
    await bench.runtime.create_container(spec)
    (created,) = await bench.runtime.containers(bench.labels)
    await bench.runtime.start_container(spec.name)
    (started,) = await bench.runtime.containers(bench.labels)

    assert [f"{bench.name}-net"] == list(created.addresses)
    assert {f"{bench.name}-net": spec.address} == started.addresses


async def test_dynamic_addresses_keep_away_from_fixed_ones(bench: Bench) -> None:
    """Who has no fixed address gets one of the network's range, its upper half."""
    spec = bench.spec(await bench.network())
    await bench.runtime.create_container(spec)
    await bench.runtime.start_container(spec.name)

    (found,) = await bench.runtime.containers(bench.labels)

    assert int(found.addresses[f"{bench.name}-net"].rpartition(".")[2]) >= 128


async def test_an_address_is_given_once(bench: Bench) -> None:
    """The second container is created all the same, its start is refused."""
    network = await bench.network()
    address = await bench.address(network)
    for suffix in ("a", "b"):
        await bench.runtime.create_container(bench.spec(network, suffix, address=address))
    await bench.runtime.start_container(f"{bench.name}-a")

    with pytest.raises(AddressTaken):
        await bench.runtime.start_container(f"{bench.name}-b")


async def test_a_subnet_of_the_engine_s_choice_has_no_fixed_addresses(bench: Bench) -> None:
    """Engines refuse it at the start, newer ones at the create."""
    network = await bench.foreign_network("foreign")
    spec = bench.spec(network, address=await bench.address(network))

    with pytest.raises(AddressesUnsupported):  # noqa: PT012 - one of the two raises
        await bench.runtime.create_container(spec)
        await bench.runtime.start_container(spec.name)


# ---- containers in several networks


async def connected(bench: Bench, address: bool = True) -> tuple[str, str, str | None]:
    """Start a container in one network, connect it to another: its name, that one, its address."""
    first, second = await bench.network("one"), await bench.network("two")
    spec = bench.spec(first)
    await bench.runtime.create_container(spec)
    await bench.runtime.start_container(spec.name)
    wanted = await bench.address(second) if address else None
    await bench.runtime.connect_network(spec.name, second, address=wanted, labels=bench.labels)
    return spec.name, second, wanted


async def networks_of(bench: Bench, name: str) -> dict[str, str]:
    found = (await bench.runtime.inspect_container(name)).state.addresses
    return {network.removeprefix(f"{bench.name}-"): address for network, address in found.items()}


async def test_a_container_can_be_in_two_networks(bench: Bench) -> None:
    """It has an address in each, the one that is asked for."""
    name, second, address = await connected(bench)

    found = await networks_of(bench, name)

    assert {"one", "two"} == set(found)
    assert address == found["two"]
    assert frozenset({address}) == await bench.runtime.addresses_in_use(second)


async def test_a_connection_outlives_a_restart(bench: Bench) -> None:
    """With its address."""
    name, _, address = await connected(bench)
    await bench.runtime.stop_container(name, grace=0)
    assert {"one": "", "two": ""} == await networks_of(bench, name)

    await bench.runtime.start_container(name)

    assert address == (await networks_of(bench, name))["two"]


async def test_a_container_that_does_not_run_can_be_connected(bench: Bench) -> None:
    """It gets its address when it starts."""
    first, second = await bench.network("one"), await bench.network("two")
    spec = bench.spec(first)
    address = await bench.address(second)
    await bench.runtime.create_container(spec)
    await bench.runtime.connect_network(spec.name, second, address=address, labels=bench.labels)
    assert {"one", "two"} == set(await networks_of(bench, spec.name))

    await bench.runtime.start_container(spec.name)

    assert address == (await networks_of(bench, spec.name))["two"]


async def test_a_container_is_connected_once(bench: Bench) -> None:
    """The second time is refused."""
    name, second, _ = await connected(bench)

    with pytest.raises(Conflict):
        await bench.runtime.connect_network(name, second, address=None, labels={})


async def test_connections_claim_addresses(bench: Bench) -> None:
    """One that is in use, or that the network cannot give, is refused."""
    name, second, address = await connected(bench)
    other = bench.spec(await bench.network("three"), "b")
    await bench.runtime.create_container(other)
    await bench.runtime.start_container(other.name)
    foreign = await bench.foreign_network("foreign")

    with pytest.raises(AddressTaken):
        await bench.runtime.connect_network(other.name, second, address=address, labels={})
    with pytest.raises(AddressesUnsupported):
        await bench.runtime.connect_network(
            name, foreign, address=await bench.address(foreign), labels={}
        )

    assert {"three"} == set(await networks_of(bench, other.name))


async def test_what_is_not_there_is_not_connected(bench: Bench) -> None:
    """Neither the container nor the network."""
    network = await bench.network()
    spec = bench.spec(network)
    await bench.runtime.create_container(spec)

    with pytest.raises(NotFound):
        await bench.runtime.connect_network(f"{bench.name}-none", network, address=None, labels={})
    with pytest.raises(NotFound):
        await bench.runtime.connect_network(
            spec.name, f"{bench.name}-none", address=None, labels={}
        )


async def test_a_connection_goes_by_its_labels(bench: Bench) -> None:
    """Who has not made it does not take it away; given by name or id, and only once."""
    name, second, _ = await connected(bench)
    runtime, others = bench.runtime, {"k3dasync.run": f"{bench.name}-other"}
    assert not await runtime.disconnect_network(name, second, others)
    assert not await runtime.disconnect_network(name, f"{bench.name}-one", bench.labels)
    assert {"one", "two"} == set(await networks_of(bench, name))

    assert await runtime.disconnect_network(name, f"{bench.name}-two", bench.labels)

    assert {"one"} == set(await networks_of(bench, name))
    assert not await runtime.disconnect_network(name, second, bench.labels)
    assert await runtime.remove_network(f"{bench.name}-two", bench.labels)


async def test_a_container_can_leave_its_first_network(bench: Bench) -> None:
    """Without labels whoever made the connection; that network can go then, and ports stay."""
    first, second = await bench.network("one"), await bench.network("two")
    port = bench.port()
    spec = bench.spec(first, ports=(port,))
    await bench.runtime.create_container(spec)
    await bench.runtime.start_container(spec.name)
    await bench.runtime.connect_network(spec.name, second, address=None, labels={})

    assert await bench.runtime.disconnect_network(spec.name, first, {})
    assert await bench.runtime.remove_network(f"{bench.name}-one", bench.labels)

    (found,) = await bench.runtime.containers(bench.labels)
    assert [f"{bench.name}-two"] == list(found.addresses)
    assert (port.host_port,) == found.bound_ports
    await bench.runtime.stop_container(spec.name, grace=0)
    await bench.runtime.start_container(spec.name)
    (found,) = await bench.runtime.containers(bench.labels)
    assert (port.host_port,) == found.bound_ports


async def test_in_no_network_a_container_holds_no_address_and_no_port(bench: Bench) -> None:
    """Both change hands with the network: from one that runs to another that runs already."""
    runtime, network, port = bench.runtime, await bench.network("one"), bench.port()
    address, by_name = await bench.address(network), f"{bench.name}-one"
    old = bench.spec(by_name, "old", address=address, ports=(port,))
    new = bench.spec(by_name, "new", address=address, ports=(port,))
    await runtime.create_container(old)
    await runtime.start_container(old.name)
    await runtime.create_container(new)
    assert await runtime.disconnect_network(new.name, network, {})
    await runtime.start_container(new.name)
    held = (await runtime.inspect_container(new.name)).state
    assert (Status.RUNNING, {}, ()) == (held.status, held.addresses, held.bound_ports)

    assert await runtime.disconnect_network(old.name, network, {})
    await runtime.connect_network(new.name, network, address=address, labels={})

    found = await runtime.inspect_container(new.name)
    assert ({by_name: address}, (port.host_port,)) == (
        found.state.addresses,
        found.state.bound_ports,
    )
    assert {by_name: address} == found.fixed_addresses
    assert () == (await runtime.inspect_container(old.name)).state.bound_ports
    await runtime.stop_container(new.name, grace=0)
    await runtime.start_container(new.name)
    assert (port.host_port,) == (await runtime.inspect_container(new.name)).state.bound_ports


@pytest.mark.parametrize("is_address", [True, False])
async def test_a_network_that_is_entered_late_claims_what_it_must(
    bench: Bench, *, is_address: bool
) -> None:
    """An address or a host port that another one holds is refused, as at a start."""
    runtime, network, port = bench.runtime, await bench.network("one"), bench.port()
    address, by_name = await bench.address(network), f"{bench.name}-one"
    old = bench.spec(by_name, "old", address=address, ports=(port,))
    new = bench.spec(by_name, "new", ports=(port,))
    for spec in (old, new):
        await runtime.create_container(spec)
    await runtime.start_container(old.name)
    assert await runtime.disconnect_network(new.name, network, {})
    await runtime.start_container(new.name)

    with pytest.raises(AddressTaken if is_address else PortTaken):
        await runtime.connect_network(
            new.name, network, address=address if is_address else None, labels={}
        )

    assert (port.host_port,) == (await runtime.inspect_container(old.name)).state.bound_ports
    assert () == (await runtime.inspect_container(new.name)).state.bound_ports


async def test_a_container_that_never_ran_leaves_a_network_by_name(bench: Bench) -> None:
    """One that was made in a network by its id stays in it until its first start."""
    network = await bench.network()
    by_id, by_name = bench.spec(network, "id"), bench.spec(f"{bench.name}-net", "name")
    for spec in (by_id, by_name):
        await bench.runtime.create_container(spec)

    assert not await bench.runtime.disconnect_network(by_id.name, network, {})
    assert await bench.runtime.disconnect_network(by_name.name, network, {})

    assert {"net"} == set(await networks_of(bench, by_id.name))
    assert set() == set(await networks_of(bench, by_name.name))


async def test_what_is_not_there_is_not_disconnected(bench: Bench) -> None:
    """And that is no error."""
    network = await bench.network()

    assert not await bench.runtime.disconnect_network(f"{bench.name}-none", network, {})


async def test_a_host_port_is_given_once(bench: Bench) -> None:
    """The second container's start is refused until the first one has stopped."""
    network, port = await bench.network(), bench.port()
    for suffix in ("a", "b"):
        await bench.runtime.create_container(bench.spec(network, suffix, ports=(port,)))
    first, second = f"{bench.name}-a", f"{bench.name}-b"
    await bench.runtime.start_container(first)
    with pytest.raises(PortTaken, match=str(port.host_port)):
        await bench.runtime.start_container(second)

    await bench.runtime.stop_container(first)
    await bench.runtime.start_container(second)

    states = {found.name: found for found in await bench.runtime.containers(bench.labels)}
    assert () == states[first].bound_ports
    assert (port.host_port,) == states[second].bound_ports


# ---- volumes


async def test_the_default_bridge_is_always_there(bench: Bench) -> None:
    """A container can be in it, where the engine chooses its address; nobody can remove it."""
    runtime = bench.runtime
    (bridge,) = [one for one in await runtime.networks() if one.name == "bridge"]
    spec = bench.spec("bridge")
    await runtime.create_container(spec)
    await runtime.start_container(spec.name)

    assert (await runtime.inspect_container(spec.name)).state.addresses["bridge"]
    assert bridge.subnets
    with pytest.raises(EngineError, match=r"pre-defined|active endpoints"):
        await runtime.remove_network("bridge", {})


async def test_networks_and_volumes_say_when_they_were_made(bench: Bench) -> None:
    """By the engine's clock, in seconds, whole ones for volumes; not later than the next one."""
    runtime = bench.runtime
    await bench.network("old")
    await runtime.create_volume(VolumeSpec(name=f"{bench.name}-old", labels=bench.labels))
    await bench.network("new")
    await runtime.create_volume(VolumeSpec(name=f"{bench.name}-new", labels=bench.labels))

    networks = {one.name: one.created for one in await runtime.networks(bench.labels)}
    volumes = {one.name: one.created for one in await runtime.volumes(bench.labels)}
    assert 0 < networks[f"{bench.name}-old"] <= networks[f"{bench.name}-new"]
    assert 0 < volumes[f"{bench.name}-old"] <= volumes[f"{bench.name}-new"]


async def test_the_engine_counts_what_is_in_volumes(bench: Bench) -> None:
    """Bytes, and the containers that mount one, running or not."""
    runtime, name = bench.runtime, f"{bench.name}-volume"
    await runtime.create_volume(VolumeSpec(name=name, labels=bench.labels))
    usage = (await runtime.volume_usage())[name]
    assert 0 == usage.users
    assert usage.size is not None

    spec = bench.spec(await bench.network(), binds=(f"{name}:/data",))
    await runtime.create_container(spec)
    assert 1 == (await runtime.volume_usage())[name].users
    assert name == (await runtime.inspect_container(spec.name)).volumes["/data"]


async def test_volumes_without_a_name_go_with_their_container_or_stay(bench: Bench) -> None:
    """As the removal says; until then an inspection knows their names."""
    runtime, network = bench.runtime, await bench.network()
    for keeps in (False, True):
        spec = bench.spec(network)
        await runtime.create_container(spec)
        volumes = set((await runtime.inspect_container(spec.name)).volumes.values())
        assert volumes
        await runtime.remove_container(spec.name, bench.labels, keeps_volumes=keeps)

        left = {one.name for one in await runtime.volumes()}
        assert (volumes if keeps else set()) == volumes & left
        for one in volumes & left:
            await runtime.remove_volume(one, {})


async def test_a_volume_that_is_there_keeps_its_labels(bench: Bench) -> None:
    """A second create answers with the labels of the first: whoever asks must compare."""
    name = f"{bench.name}-volume"
    await bench.runtime.create_volume(VolumeSpec(name=name, labels=bench.labels))

    again = await bench.runtime.create_volume(VolumeSpec(name=name, labels={"other": "run"}))

    assert (name, bench.labels) == (again.name, again.labels)
    assert [again] == list(await bench.runtime.volumes(bench.labels))


async def test_a_volume_in_use_stays(bench: Bench) -> None:
    """Also if the container that uses it does not run."""
    name = f"{bench.name}-volume"
    await bench.runtime.create_volume(VolumeSpec(name=name, labels=bench.labels))
    spec = bench.spec(await bench.network(), binds=(f"{name}:/data",))
    await bench.runtime.create_container(spec)

    with pytest.raises(Conflict):
        await bench.runtime.remove_volume(name, bench.labels)

    await bench.runtime.remove_container(spec.name, bench.labels)
    assert await bench.runtime.remove_volume(name, bench.labels)


# ---- containers


async def test_a_container_is_inspected_as_asked_for(bench: Bench) -> None:
    """Ports, mounts and environment come back, running or not."""
    port = bench.port()
    spec = bench.spec(
        await bench.network(), ports=(port,), env=("K3S_TOKEN=x",), binds=("/tmp:/data",)
    )
    id = await bench.runtime.create_container(spec)

    found = await bench.runtime.inspect_container(spec.name)

    assert (id, spec.name, bench.image) == (found.state.id, found.state.name, found.state.image)
    assert Status.CREATED == found.state.status
    assert (port,) == found.bindings
    assert () == found.state.bound_ports
    assert spec.binds == found.binds
    assert "K3S_TOKEN=x" in found.env
    assert bench.labels.items() <= found.state.labels.items()


async def test_what_was_asked_for_is_read_back(bench: Bench) -> None:
    """Limits, entries of hosts, the address, and that the container comes back."""
    network = await bench.network()
    address = await bench.address(network)
    asked = {
        "extra_hosts": ("far.example:10.9.8.7",),
        "ulimits": (Ulimit("core", 1024, 2048),),
        "host_pid_mode": True,
        "memory": 2**29,
        "entrypoint": ("/bin/sh", "-c", "exit"),
    }
    spec = replace(bench.spec(network, address=address), **asked)  # type: ignore[arg-type]
    await bench.runtime.create_container(spec)

    found = await bench.runtime.inspect_container(spec.name)

    assert asked == {key: getattr(found, key) for key in asked}
    assert [address] == [*found.fixed_addresses.values()]
    assert {*found.fixed_addresses} == {*found.state.addresses}
    assert ("unless-stopped", None) == (found.restart_policy, found.gpus)


async def test_a_name_is_given_once(bench: Bench) -> None:
    """Who creates a container first has its name; that is how a cluster is claimed."""
    spec = bench.spec(await bench.network())
    id = await bench.runtime.create_container(spec)

    with pytest.raises(Conflict, match=spec.name):
        await bench.runtime.create_container(spec)

    assert id == (await bench.runtime.inspect_container(spec.name)).state.id


async def test_one_of_many_creates_gets_the_name(bench: Bench) -> None:
    """However many ask at once."""
    spec = bench.spec(await bench.network())
    outcomes: list[str] = []

    async def create() -> None:
        try:
            await bench.runtime.create_container(spec)
            outcomes.append("made")
        except Conflict:
            outcomes.append("conflict")

    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(create)

    assert ["conflict"] * 4 + ["made"] == sorted(outcomes)


async def test_a_container_needs_its_image(bench: Bench) -> None:
    """A create does not pull."""
    spec = replace(bench.spec(await bench.network()), image="k3dasync-dev/no-such-image:none")

    with pytest.raises(NotFound, match="no-such-image"):
        await bench.runtime.create_container(spec)

    assert [] == await names(bench)


async def test_start_and_stop_may_be_repeated(bench: Bench) -> None:
    """What is as it should be is left alone."""
    spec = bench.spec(await bench.network())
    await bench.runtime.create_container(spec)
    for _ in range(2):
        await bench.runtime.start_container(spec.name)
    assert Status.RUNNING == await status_of(bench.runtime, spec.name)
    for _ in range(2):
        await bench.runtime.stop_container(spec.name)

    assert Status.EXITED == await status_of(bench.runtime, spec.name)


async def test_a_container_that_does_not_run_takes_no_signal(bench: Bench) -> None:
    """Whoever reloads must know that nothing was reloaded."""
    spec = bench.spec(await bench.network())
    await bench.runtime.create_container(spec)

    with pytest.raises(Conflict):
        await bench.runtime.signal_container(spec.name, "SIGHUP")


async def test_what_is_absent_is_not_found(bench: Bench) -> None:
    """Every call that needs a container says so."""
    name = f"{bench.name}-absent"
    for call in (
        bench.runtime.start_container(name),
        bench.runtime.stop_container(name),
        bench.runtime.signal_container(name, "SIGHUP"),
        bench.runtime.inspect_container(name),
        bench.runtime.logs(name, tail=1),
        bench.runtime.read_file(name, "/etc/hostname"),
        bench.runtime.list_files(name, "/etc"),
        bench.runtime.write_files(name, [File(path="/etc/x", content=b"")]),
    ):
        with pytest.raises(NotFound, match=name):
            await call


# ---- removal


async def test_absent_things_are_not_removed(bench: Bench) -> None:
    """Removing what is not there is no error, and says that nothing was done."""
    name = f"{bench.name}-absent"

    assert not await bench.runtime.remove_container(name, {})
    assert not await bench.runtime.remove_network(name, {})
    assert not await bench.runtime.remove_volume(name, {})


async def test_labels_protect_from_removal(bench: Bench) -> None:
    """What lacks one of the labels is somebody else's."""
    spec = bench.spec(await bench.network())
    await bench.runtime.create_container(spec)
    volume = f"{bench.name}-volume"
    await bench.runtime.create_volume(VolumeSpec(name=volume, labels=bench.labels))
    other = {**bench.labels, "another": "label"}

    assert not await bench.runtime.remove_container(spec.name, other)
    assert not await bench.runtime.remove_network(f"{bench.name}-net", other)
    assert not await bench.runtime.remove_volume(volume, other)

    assert [spec.name] == await names(bench)
    assert 1 == len(await bench.runtime.networks(bench.labels))
    assert 1 == len(await bench.runtime.volumes(bench.labels))


async def test_a_running_container_is_removed(bench: Bench) -> None:
    """Its name, its port and its network are free when the call returns."""
    port = bench.port()
    spec = bench.spec(await bench.network(), ports=(port,))
    await bench.runtime.create_container(spec)
    await bench.runtime.start_container(spec.name)

    assert await bench.runtime.remove_container(spec.name, bench.labels)

    assert [] == await names(bench)
    await bench.runtime.create_container(spec)
    await bench.runtime.start_container(spec.name)
    assert await bench.runtime.remove_container(spec.name, bench.labels)
    assert await bench.runtime.remove_network(f"{bench.name}-net", bench.labels)


async def test_a_container_is_removed_by_two_at_once(bench: Bench) -> None:
    """Both return when its name is free, and no one fails."""
    spec = bench.spec(await bench.network())
    await bench.runtime.create_container(spec)
    await bench.runtime.start_container(spec.name)
    seen: list[list[str]] = []

    async def remove() -> None:
        await bench.runtime.remove_container(spec.name, bench.labels)
        seen.append(await names(bench))

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(remove)

    assert [[], [], []] == seen


# ---- files and logs


async def test_files_are_there_before_the_start_and_survive_it(bench: Bench) -> None:
    """Under a plain path, a new folder, and a path that an anonymous volume covers."""
    files = (
        File(path="/bin/entrypoint.sh", content=b"#!/bin/sh\n", mode=0o755),
        File(path="/etc/confd/values.yaml", content=b"ports: {}\n"),
        File(path="/var/lib/rancher/k3s/server/manifests/x.yaml", content=b"kind: X\n"),
    )
    spec = bench.spec(await bench.network(), files=files)
    await bench.runtime.create_container(spec)
    before = [await bench.runtime.read_file(spec.name, file.path) for file in files]
    await bench.runtime.start_container(spec.name)
    after = [await bench.runtime.read_file(spec.name, file.path) for file in files]

    assert [file.content for file in files] == before
    assert before == after


async def test_files_under_a_tmpfs_are_hidden_by_the_start(bench: Bench) -> None:
    """They are accepted without a word, so nobody must rely on it."""
    files = File(path="/run/token", content=b"x"), File(path="/etc/token", content=b"x")
    spec = bench.spec(await bench.network(), files=files)
    await bench.runtime.create_container(spec)
    await bench.runtime.start_container(spec.name)

    assert [False, True] == [await bench.sees(spec.name, file.path) for file in files]


async def test_a_file_is_replaced_in_a_running_container(bench: Bench) -> None:
    """The other files stay."""
    kept, changed = File(path="/etc/kept", content=b"1"), File(path="/etc/changed", content=b"1")
    spec = bench.spec(await bench.network(), files=(kept, changed))
    await bench.runtime.create_container(spec)
    await bench.runtime.start_container(spec.name)

    await bench.runtime.write_files(spec.name, [replace(changed, content=b"2")])

    assert b"1" == await bench.runtime.read_file(spec.name, kept.path)
    assert b"2" == await bench.runtime.read_file(spec.name, changed.path)


async def test_an_absent_file_is_not_found(bench: Bench) -> None:
    """The error names the file."""
    spec = bench.spec(await bench.network())
    await bench.runtime.create_container(spec)

    with pytest.raises(NotFound, match="/output/kubeconfig"):
        await bench.runtime.read_file(spec.name, "/output/kubeconfig.yaml")


async def test_the_files_below_a_folder(bench: Bench) -> None:
    """All of them by their paths, those in folders inside too; nothing else."""
    paths = ["/opt/here/a.yaml", "/opt/here/inside/b.yaml", "/opt/other/c.yaml"]
    files = tuple(File(path=path, content=b"x") for path in paths)
    spec = bench.spec(await bench.network(), files=files)
    await bench.runtime.create_container(spec)
    before = await bench.runtime.list_files(spec.name, "/opt/here")
    await bench.runtime.start_container(spec.name)

    assert paths[:2] == list(before)
    assert before == await bench.runtime.list_files(spec.name, "/opt/here")


async def test_an_absent_folder_is_not_found(bench: Bench) -> None:
    """The error names it."""
    spec = bench.spec(await bench.network())
    await bench.runtime.create_container(spec)

    with pytest.raises(NotFound, match="/opt/nowhere"):
        await bench.runtime.list_files(spec.name, "/opt/nowhere")


async def test_the_last_lines_of_a_log(bench: Bench) -> None:
    """The latest last, without line ends."""
    name = await bench.run_with_log(await bench.network(), "one", "two", "three")

    assert ["two", "three"] == list(await bench.runtime.logs(name, tail=2))


async def test_what_a_command_says_is_taken_as_it_comes(bench: Bench) -> None:
    """Then it is not in the result; whatever *take* raises is raised."""
    spec = bench.spec(await bench.network())
    await bench.runtime.create_container(spec)
    await bench.runtime.start_container(spec.name)
    said = {1: b"", 2: b""}

    async def pieces() -> AsyncIterator[bytes]:
        yield b"one "
        yield b"two"

    async def take(number: int, piece: bytes) -> None:
        said[number] += piece

    async def refuse(_number: int, _piece: bytes) -> None:
        raise LookupError("no more")

    done = await bench.runtime.execute(spec.name, ["cat"], stdin=pieces(), take=take)
    assert (0, b"", b"one two") == (done.code, done.out, said[1] + said[2])
    with pytest.raises(LookupError):
        await bench.runtime.execute(spec.name, ["cat"], stdin=pieces(), take=refuse)


async def read_log(bench: Bench, name: str, **asked: Any) -> list[LogLine]:
    with anyio.fail_after(EVENT_TIMEOUT):
        async with bench.runtime.follow_logs(name, **asked) as lines:
            return [line async for line in lines]


async def test_a_log_with_times(bench: Bench) -> None:
    """Each line has its own; they grow, and by them the rest of a log is read."""
    name = await bench.run_with_log(await bench.network(), "one", "two", "three")
    found = await read_log(bench, name, follow=False)

    assert ["one", "two", "three"] == [line.text for line in found]
    assert sorted({line.at for line in found}) == [line.at for line in found]
    assert found[1:] == await read_log(bench, name, follow=False, tail=2)
    assert found[1:] == await read_log(bench, name, follow=False, since=found[1].at)
    assert [] == await read_log(bench, name, follow=False, since=found[2].at + 1)
    assert [] == await read_log(bench, name, follow=False, tail=0)


async def test_a_log_that_is_followed_ends_with_the_container(bench: Bench) -> None:
    """What comes meanwhile is read; its next life is another reading, from where one ended."""
    name = await bench.run_with_log(await bench.network(), "one", "two")
    found: list[LogLine] = []
    async with bench.runtime.container_events(bench.labels) as events:
        with anyio.fail_after(EVENT_TIMEOUT):
            async with bench.runtime.follow_logs(name, tail=1) as lines:
                async for line in lines:
                    if not found:
                        await bench.exit(name)
                    found.append(line)
            async for event in events:
                if event.action == "start":
                    break
    await bench.runtime.stop_container(name, grace=1)

    assert ["two"] == [line.text for line in found]
    assert "one" not in [line.text for line in found]
    again = await read_log(bench, name, since=found[-1].at + 1)
    assert found[-1] not in again


async def test_the_log_of_a_container_that_does_not_run(bench: Bench) -> None:
    """It is there, and nobody waits for more."""
    name = await bench.run_with_log(await bench.network(), "one", "two")
    await bench.runtime.stop_container(name, grace=1)

    assert ["one", "two"] == [line.text for line in await read_log(bench, name)]


async def test_a_long_line_is_one_line(bench: Bench) -> None:
    """Engines cut it into pieces of 16 KiB."""
    name = await bench.run_with_log(await bench.network(), "x" * 50_000, "end")
    await bench.runtime.stop_container(name, grace=1)
    found = await read_log(bench, name)

    assert [50_000, 3] == [len(line.text) for line in found]


async def test_a_log_can_be_left_while_waiting(bench: Bench) -> None:
    """Nothing is left of it."""
    name = await bench.run_with_log(await bench.network(), "one")
    with anyio.move_on_after(1):
        async with bench.runtime.follow_logs(name) as lines:
            async for _ in lines:
                pass
    assert Status.RUNNING == await status_of(bench.runtime, name)


async def test_there_is_no_log_of_what_is_not_there(bench: Bench) -> None:
    """The error names it."""
    with pytest.raises(NotFound, match="no-such-container"):
        await read_log(bench, "no-such-container")


# ---- events


async def test_a_restart_shows_in_the_events(bench: Bench) -> None:
    """A process that exits dies with its code, is started again, and the engine counts it."""
    name = await bench.run_with_log(await bench.network(), "up")
    seen: list[tuple[str, str, int | None]] = []
    with anyio.fail_after(EVENT_TIMEOUT):
        async with bench.runtime.container_events(bench.labels) as events:
            await bench.exit(name)
            async for event in events:
                if event.action in {"start", "die"}:
                    seen.append((event.name, event.action, event.exit_code))
                if len(seen) == 2:
                    break

    assert [(name, "die", 3), (name, "start", None)] == seen
    assert 1 == (await bench.runtime.inspect_container(name)).restarts


@pytest.mark.parametrize("how", ["stop", "remove"])
async def test_an_end_that_was_asked_for_shows_in_the_events(bench: Bench, how: str) -> None:
    """First the signal, then the death: that tells it from a crash, which is brought back."""
    name = await bench.run_with_log(await bench.network(), "up")
    seen: list[str] = []
    with anyio.fail_after(EVENT_TIMEOUT):
        async with bench.runtime.container_events(bench.labels) as events:
            if how == "stop":
                await bench.runtime.stop_container(name, grace=0)
            else:
                await bench.runtime.remove_container(name, bench.labels)
            async for event in events:
                if event.action in {"kill", "die", "destroy"}:
                    seen.append(event.action)
                if event.action == ("die" if how == "stop" else "destroy"):
                    break

    assert ["kill", "die"] == list(dict.fromkeys(seen))[:2]


async def test_events_are_those_of_the_labels(bench: Bench) -> None:
    """Other containers are not heard of."""
    network = await bench.network()
    other = bench.spec(network, "other", labels={"k3dasync.run": f"{bench.name}-other"})
    spec = bench.spec(network)
    async with bench.runtime.container_events(bench.labels) as events:
        for one in (other, spec):
            await bench.runtime.create_container(one)
        with anyio.fail_after(EVENT_TIMEOUT):
            event = await anext(aiter(events))

    assert ("create", spec.name) == (event.action, event.name)


async def test_events_can_be_left_while_waiting(bench: Bench) -> None:
    """A cancelled wait ends at once and leaves the engine usable."""
    with anyio.CancelScope() as scope:
        async with (
            bench.runtime.container_events(bench.labels) as events,
            anyio.create_task_group() as group,
        ):

            async def follow() -> None:
                async for _ in events:
                    pass

            group.start_soon(follow)
            await anyio.wait_all_tasks_blocked()
            scope.cancel()

    assert scope.cancelled_caught
    assert [] == await names(bench)


# ---- cancellation


async def test_a_create_that_is_cancelled_has_ended(bench: Bench) -> None:
    """When the cancellation is felt the container is there, files and all, for a rollback."""
    file = File(path="/etc/confd/values.yaml", content=b"x")
    spec = bench.spec(await bench.network(), files=(file,))
    async with anyio.create_task_group() as group:
        group.start_soon(bench.runtime.create_container, spec)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()

    assert [spec.name] == await names(bench)
    assert b"x" == await bench.runtime.read_file(spec.name, file.path)


async def test_a_start_and_a_removal_that_are_cancelled_have_ended(bench: Bench) -> None:
    """As with a create."""
    spec = bench.spec(await bench.network())
    await bench.runtime.create_container(spec)
    async with anyio.create_task_group() as group:
        group.start_soon(bench.runtime.start_container, spec.name)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    assert Status.RUNNING == await status_of(bench.runtime, spec.name)


async def test_what_is_cancelled_before_it_began_does_nothing(bench: Bench) -> None:
    """The shield is for calls that are under way."""
    spec = bench.spec(await bench.network())
    with anyio.CancelScope() as scope:
        scope.cancel()
        await bench.runtime.create_container(spec)

    assert scope.cancelled_caught
    assert [] == await names(bench)


# ---- commands and images


class Pieces:
    """Input for a command that counts how much of it is taken."""

    def __init__(self, *pieces: bytes, ends: Exception | None = None, repeat: int = 1) -> None:
        self._pieces, self._ends = iter(pieces * repeat), ends
        self.taken = 0

    def __aiter__(self) -> "Pieces":
        return self

    async def __anext__(self) -> bytes:
        await anyio.lowlevel.checkpoint()
        piece = next(self._pieces, None)
        if piece is not None:
            self.taken += len(piece)
            return piece
        if self._ends is not None:
            raise self._ends
        raise StopAsyncIteration


class Never:
    """Input of which nothing comes."""

    def __aiter__(self) -> "Never":
        return self

    async def __anext__(self) -> bytes:
        await anyio.sleep_forever()
        raise AssertionError


async def running(bench: Bench) -> str:
    spec = bench.spec(await bench.network())
    await bench.runtime.create_container(spec)
    await bench.runtime.start_container(spec.name)
    return spec.name


async def test_a_command_says_how_it_ended(bench: Bench) -> None:
    """The exit code is the command's."""
    name = await running(bench)

    assert 0 == (await bench.runtime.execute(name, ["true"])).code
    assert 1 == (await bench.runtime.execute(name, ["false"])).code
    assert 126 <= (await bench.runtime.execute(name, ["no-such-program"])).code <= 127


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
async def test_a_command_gets_its_input_to_the_end(bench: Bench, size: int) -> None:
    """All of the input arrives, its end too, and what is said after that is not lost."""
    name = await running(bench)
    piece = bytes(range(256)) * 400
    pieces = [piece[: min(len(piece), size - at)] for at in range(0, size, len(piece))]

    ended = await bench.runtime.execute(name, ["cat"], stdin=Pieces(*pieces))

    assert (0, b"") == (ended.code, ended.err)
    assert b"".join(pieces) == ended.out


async def test_a_command_may_end_before_its_input(bench: Bench) -> None:
    """What nobody reads is not taken to its end, and is no error."""
    name = await running(bench)
    endless = Pieces(bytes(64 * 1024), repeat=100_000)

    with anyio.fail_after(30):
        ended = await bench.runtime.execute(name, ["false"], stdin=endless)

    assert 1 == ended.code
    assert endless.taken < 50_000_000


async def test_an_input_that_breaks_off_is_raised(bench: Bench) -> None:
    """The error is the input's own, and the command does not take what it got for all."""
    name = await running(bench)
    broken = Pieces(b"some", ends=ArithmeticError("half"))

    with pytest.raises(ArithmeticError, match="half"):
        await bench.runtime.execute(name, ["cat"], stdin=broken)


@pytest.mark.parametrize("command", [("cat",), ("tail", "-f", "/dev/null")])
async def test_a_command_that_is_cut_ends(bench: Bench, command: tuple[str, ...]) -> None:
    """Cancelled while it waits for input, it does not stay, nor does one that reads none."""
    name = await running(bench)

    with anyio.fail_after(30), anyio.move_on_after(1) as scope:
        await bench.runtime.execute(name, command, stdin=Never())

    assert scope.cancelled_caught
    assert not await bench.executes(name, command[0])


async def test_a_command_can_be_talked_with(bench: Bench) -> None:
    """What it reads and writes goes both ways while it runs, and leaving ends it."""
    name = await running(bench)

    with anyio.fail_after(30):
        async with bench.runtime.converse(name, ["cat"]) as stream:
            for piece in (b"one\x00", bytes(range(256)) * 100):
                await stream.send(piece)
                got = b""
                while len(got) < len(piece):
                    got += await stream.receive()
                assert piece == got
        while await bench.executes(name, "cat"):  # noqa: ASYNC110 - nothing tells us
            await anyio.sleep(0.05)


async def test_a_talk_ends_with_the_command(bench: Bench) -> None:
    """Its end is the end of what is received."""
    name = await running(bench)

    with anyio.fail_after(30), pytest.raises(anyio.EndOfStream):
        async with bench.runtime.converse(name, ["true"]) as stream:
            await stream.receive()


async def test_nobody_talks_with_what_does_not_run(bench: Bench) -> None:
    """A stopped container and one that is not there are told apart."""
    spec = bench.spec(await bench.network())
    await bench.runtime.create_container(spec)

    for name, error in ((spec.name, Conflict), (f"{bench.name}-none", NotFound)):
        with pytest.raises(error):
            async with bench.runtime.converse(name, ["cat"]):
                raise AssertionError("it was opened")


async def test_commands_run_in_running_containers_only(bench: Bench) -> None:
    """A stopped container and one that is not there are told apart."""
    spec = bench.spec(await bench.network())
    await bench.runtime.create_container(spec)

    with pytest.raises(Conflict, match="not running"):
        await bench.runtime.execute(spec.name, ["true"])
    with pytest.raises(NotFound):
        await bench.runtime.execute(f"{bench.name}-none", ["true"])


async def test_no_command_runs_in_what_is_paused(bench: Bench) -> None:
    """It would wait for ever; so it is refused."""
    name = await running(bench)
    await bench.runtime.pause_container(name)

    with pytest.raises(Conflict, match="paused"):
        await bench.runtime.execute(name, ["true"])


async def test_a_command_ends_with_its_container(bench: Bench) -> None:
    """Whatever the container does next, the command was killed."""
    name = await running(bench)
    ended: list[int] = []

    async def cat() -> None:
        ended.append((await bench.runtime.execute(name, ["cat"], stdin=Never())).code)

    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(cat)
            while not await bench.executes(name, "cat"):  # noqa: ASYNC110 - nothing tells us
                await anyio.sleep(0.05)
            await bench.exit(name)

    assert [137] == ended


# ---- builds


def context(**files: str) -> Pieces:
    """Return a context with these files; all of them are in its root."""
    content = io.BytesIO()
    with tarfile.open(mode="w", fileobj=content) as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return Pieces(content.getvalue())


async def test_an_image_is_built_with_all_of_its_tags(bench: Bench) -> None:
    """The engine lists them, tells its steps, and moves them with the next build."""
    said: list[str] = []
    spec = BuildSpec(tags=(f"{bench.name}:1", f"{bench.name}:2"))
    try:
        files = context(Dockerfile="FROM scratch\nCOPY a /\n", a=bench.name)
        await bench.runtime.build_image(files, spec, said.append)
        first = await tagged(bench, f"{bench.name}:1")
        assert any("COPY a /" in line for line in said)
        assert first == await tagged(bench, f"{bench.name}:2")

        files = context(Dockerfile="FROM scratch\nCOPY a /\n", a="other")
        await bench.runtime.build_image(files, replace(spec, tags=spec.tags[:1]), said.append)
        second = await tagged(bench, f"{bench.name}:1")
        assert first != second
        assert first == await tagged(bench, f"{bench.name}:2")
    finally:
        await bench.forget(*spec.tags)


def unheard(_text: str) -> None:
    """Be told what nobody wants to know."""


async def tagged(bench: Bench, tag: str) -> str:
    """Return the id of the image with that tag."""
    (found,) = [one.id for one in await bench.runtime.images() if tag in one.tags]
    return found


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"Dockerfile": "FROM scratch\nCOPY absent /\n"}, "COPY failed: .*absent"),
        ({"Dockerfile": "FRO scratch\n"}, "unknown instruction: FRO"),
        ({"a": "b"}, "Cannot locate specified Dockerfile: Dockerfile"),
        ({"Dockerfile": "FROM nonexistent.invalid/x:1\n"}, "nonexistent.invalid"),
    ],
)
async def test_a_build_fails_with_the_engines_words(
    bench: Bench, files: dict[str, str], words: str
) -> None:
    """No tag is made, or moved."""
    spec = BuildSpec(tags=(f"{bench.name}:1",))
    with pytest.raises(BuildFailed, match=f"cannot build {bench.name}:1: .*{words}"):
        await bench.runtime.build_image(context(**files), spec, unheard)

    assert [] == [one for one in await bench.runtime.images() if spec.tags[0] in one.tags]


async def test_a_target_and_another_dockerfile_are_meant(bench: Bench) -> None:
    """What stands behind the stage is left alone; one that is not there is an error."""
    text = "FROM scratch AS one\nCOPY a /\nFROM scratch AS two\nCOPY absent /\n"
    spec = BuildSpec(tags=(f"{bench.name}:1",), dockerfile="Other", target="one")
    await bench.runtime.build_image(context(Other=text, a="a"), spec, unheard)
    await bench.forget(*spec.tags)

    wrong = replace(spec, target="none")
    with pytest.raises(BuildFailed, match="failed to reach build target none"):
        await bench.runtime.build_image(context(Other=text, a="a"), wrong, unheard)


async def test_a_context_that_breaks_off_is_raised(bench: Bench) -> None:
    """The error is the context's own, and nothing is built."""
    whole = context(Dockerfile="FROM scratch\nCOPY a /\n", a="a")
    half = Pieces((await anext(whole))[:1000], ends=ArithmeticError("half"))
    spec = BuildSpec(tags=(f"{bench.name}:1",))
    with pytest.raises(ArithmeticError, match="half"):
        await bench.runtime.build_image(half, spec, unheard)

    assert [] == [one for one in await bench.runtime.images() if spec.tags[0] in one.tags]


async def test_an_exported_image_is_an_archive_with_its_tag(bench: Bench) -> None:
    """The image is listed, and what is read of it names it."""
    (image,) = [one for one in await bench.runtime.images() if bench.image_tag in one.tags]
    scanner, size = NameScanner(), 0
    async with bench.runtime.export_images([bench.image_tag]) as pieces:
        async for piece in pieces:
            scanner.feed(piece)
            size += len(piece)

    assert scanner.is_archive
    assert (full_name(bench.image_tag),) == scanner.names()
    assert image.id.startswith("sha256:")
    assert 0.8 < size / image.size < 1.5


async def test_an_export_may_be_left_early(bench: Bench) -> None:
    """Whoever leaves gets no more, and the engine answers as before."""
    async with bench.runtime.export_images([bench.image_tag]) as pieces:
        await anext(pieces)

    assert await bench.runtime.has_image(bench.image)


async def test_an_image_that_is_not_there_is_not_exported(bench: Bench) -> None:
    """The refusal comes before the first byte."""
    with pytest.raises(EngineError, match="no-such-image"):
        async with bench.runtime.export_images(["k3dasync-dev/no-such-image:none"]):
            raise AssertionError("it was opened")
