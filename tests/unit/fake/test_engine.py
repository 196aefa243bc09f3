"""The fake engine obeys a real engine's rules."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import anyio
import pytest

from k3dasync.errors import (
    AddressesUnsupported,
    AddressTaken,
    Conflict,
    EngineError,
    ImageUnavailable,
    K3dAsyncError,
    NotFound,
    PortTaken,
    SubnetTaken,
)
from k3dasync.fake import FakeRuntime, Latency
from k3dasync.fake.engine import IMAGE_BYTES
from k3dasync.limits import Limiters, Limits, on_queued, urgency
from k3dasync.runtime import ContainerEvent, File, Status, VolumeSpec
from tests.support import virtual_time
from tests.unit.fake.lab import IMAGE, INSTANT, NETWORK, OURS, binding, engine, idle

OTHER = {"run": "2"}


async def refused(call: Awaitable[object], kind: type[K3dAsyncError]) -> str:
    """Return the words with which a call is refused."""
    with pytest.raises(kind) as caught:
        await call
    return str(caught.value)


async def status(runtime: FakeRuntime, name: str) -> Status:
    return (await runtime.inspect_container(name)).state.status


# --- networks and volumes -----------------------------------------------------------------------


async def test_network_names_are_not_unique() -> None:
    """Two networks of one name can be made, and each has its own id."""
    async with engine() as runtime:
        second = await runtime.create_network(
            replace(NETWORK, subnet="10.161.0.0/24", gateway="10.161.0.1", ip_range="10.161.0.0/25")
        )
        found = await runtime.networks(OURS)

    assert ["net", "net"] == [network.name for network in found]
    assert second == found[1].id != found[0].id


async def test_overlapping_subnets_are_refused() -> None:
    """A subnet that overlaps with another network's is a lost claim."""
    async with engine() as runtime:
        wider = replace(NETWORK, name="wider", subnet="10.160.0.0/16")
        words = await refused(runtime.create_network(wider), SubnetTaken)

    assert "Pool overlaps with other one on this address space" in words


async def test_a_network_in_use_stays() -> None:
    """Removing a network with running members is refused, and the refusal names them."""
    async with engine() as runtime:
        await runtime.create_container(idle("user"))
        await runtime.start_container("user")
        words = await refused(runtime.remove_network("net", OURS), Conflict)
        await runtime.stop_container("user")

        assert "active endpoints: user" in words
        assert await runtime.remove_network("net", OURS)
        await refused(runtime.start_container("user"), NotFound)


async def test_removal_takes_every_network_of_a_name_that_has_the_labels() -> None:
    """What lacks the labels stays, whatever its name is."""
    async with engine() as runtime:
        foreign = runtime.add_foreign_network("net", labels=OTHER)
        assert await runtime.remove_network("net", OURS)
        assert not await runtime.remove_network("net", OURS)

        left = [one.id for one in await runtime.networks() if one.name == "net"]
        assert [foreign] == left


async def test_a_second_volume_create_returns_the_first_labels() -> None:
    """Creating a volume that is there changes nothing and says whose it is."""
    async with engine() as runtime:
        await runtime.create_volume(VolumeSpec(name="images", labels=OTHER))
        found = await runtime.create_volume(VolumeSpec(name="images", labels=OURS))

        assert OTHER == found.labels
        assert not await runtime.remove_volume("images", OURS)
        assert await runtime.remove_volume("images", OTHER)


async def test_a_volume_in_use_stays() -> None:
    """A volume that any container mounts, running or not, cannot be removed."""
    async with engine() as runtime:
        await runtime.create_volume(VolumeSpec(name="images", labels=OURS))
        await runtime.create_container(idle("user", binds=("images:/images", "/tmp:/host")))
        words = await refused(runtime.remove_volume("images", OURS), Conflict)
        await runtime.remove_container("user", OURS)

        assert "volume is in use" in words
        assert await runtime.remove_volume("images", OURS)


async def test_mounting_an_unknown_volume_makes_it() -> None:
    """A named volume that is not there appears at the create, and it has no labels."""
    async with engine() as runtime:
        await runtime.create_container(idle("user", binds=("images:/images",)))
        (found,) = await runtime.volumes()

    assert ("images", {}) == (found.name, dict(found.labels))


# --- images -------------------------------------------------------------------------------------


async def test_a_container_needs_its_image() -> None:
    """A create without the image is refused; after the pull it is not."""
    async with engine() as runtime:
        spec = idle("one", image="docker.io/library/other:1")
        await refused(runtime.create_container(spec), NotFound)
        assert not await runtime.has_image(spec.image)
        await runtime.pull_image(spec.image, lambda _done, _total: None)
        await runtime.create_container(spec)

        assert await runtime.has_image(spec.image)


@virtual_time
async def test_a_pull_tells_its_bytes_and_takes_its_time() -> None:
    """Progress grows to the whole, and two pulls share the line."""
    seen: list[tuple[int, int | None]] = []
    async with engine(latency=Latency()) as runtime:
        began = anyio.current_time()
        async with anyio.create_task_group() as group:
            group.start_soon(runtime.pull_image, "a", lambda *step: seen.append(step))
            group.start_soon(runtime.pull_image, "b", lambda _done, _total: None)
        took = anyio.current_time() - began

    assert (0, None) == seen[0]
    assert (IMAGE_BYTES, IMAGE_BYTES) == seen[-1]
    assert sorted(seen, key=lambda step: step[0]) == seen
    assert pytest.approx(0.5 + 2 * 75 * 0.05) == took


async def test_unknown_images_cannot_be_pulled() -> None:
    """An image of an impossible registry, or one the test names, is unavailable."""
    async with engine() as runtime:
        runtime.make_unpullable("gone:1")
        for name in ("nonexistent.invalid/k3s:1", "gone:1"):
            words = await refused(
                runtime.pull_image(name, lambda _done, _total: None), ImageUnavailable
            )

            assert "manifest unknown" in words


# --- names, addresses, ports --------------------------------------------------------------------


async def test_container_names_are_unique() -> None:
    """Of many creates of one name at once exactly one is granted."""
    results: list[str] = []

    async def create(runtime: FakeRuntime) -> None:
        try:
            results.append(await runtime.create_container(idle("one")))
        except Conflict:
            results.append("conflict")

    async with engine() as runtime, anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(create, runtime)

    assert 4 == results.count("conflict")


async def test_a_fixed_address_in_use_is_refused_at_start() -> None:
    """Two containers can be created with one address, but only one of them can run."""
    async with engine() as runtime:
        for name in ("one", "two"):
            await runtime.create_container(idle(name, address="10.160.0.5"))
        await runtime.start_container("one")
        await refused(runtime.start_container("two"), AddressTaken)
        await runtime.stop_container("one")
        await runtime.start_container("two")

        assert Status.RUNNING is await status(runtime, "two")


async def test_fixed_addresses_need_a_subnet_of_the_users() -> None:
    """On a network whose subnet the engine chose the create is fine and the start is not."""
    async with engine() as runtime:
        network = runtime.add_foreign_network("foreign")
        await runtime.create_container(idle("one", network=network, address="172.18.0.9"))
        await refused(runtime.start_container("one"), AddressesUnsupported)

        assert Status.CREATED is await status(runtime, "one")


async def test_an_address_outside_the_subnet_is_refused() -> None:
    """A fixed address must lie in the network's subnet."""
    async with engine() as runtime:
        await runtime.create_container(idle("one", address="10.99.0.5"))
        words = await refused(runtime.start_container("one"), EngineError)

    assert "does not belong to any of this network's subnets" in words


async def test_a_stopped_containers_address_is_free_for_dynamic_ones() -> None:
    """Without a range for dynamic addresses a foreign container can take a stopped node's."""
    async with engine() as runtime:
        runtime.add_foreign_network("plain", subnet="10.99.0.0/24")
        await runtime.create_container(idle("node", network="plain", address="10.99.0.2"))
        await runtime.start_container("node")
        await runtime.stop_container("node")
        await runtime.add_foreign_container("thief", "plain")
        await refused(runtime.start_container("node"), AddressTaken)


async def test_a_range_keeps_dynamic_addresses_away() -> None:
    """Dynamic addresses come from the network's range only."""
    async with engine() as runtime:
        await runtime.add_foreign_container("guest", "net")

        assert frozenset({"10.160.0.129"}) == await runtime.addresses_in_use("net")


async def test_a_host_port_is_claimed_at_start() -> None:
    """A port of a running container is taken on the same address and on all addresses."""
    async with engine() as runtime:
        await runtime.add_foreign_container("other", "net", ports=[binding()])
        for name, host_ip in (("same", "127.0.0.1"), ("all", "0.0.0.0"), ("else", "127.0.0.2")):
            await runtime.create_container(idle(name, ports=(binding(host_ip=host_ip),)))
        await refused(runtime.start_container("same"), PortTaken)
        words = await refused(runtime.start_container("all"), PortTaken)
        await runtime.start_container("else")
        await runtime.stop_container("other")
        await runtime.start_container("same")

        assert "port is already allocated" in words
        assert frozenset() == await runtime.addresses_in_use("net") - {
            "10.160.0.129",
            "10.160.0.130",
        }


async def test_a_port_left_to_the_engine_changes_at_every_start() -> None:
    """Host port 0 stands for the next ephemeral one."""
    async with engine() as runtime:
        await runtime.create_container(idle("one", ports=(binding(0),)))
        ports: list[int] = []
        for _ in range(2):
            await runtime.start_container("one")
            (state,) = await runtime.containers(OURS)
            ports += state.bound_ports
            await runtime.stop_container("one")

    assert [32768, 32769] == ports


# --- life ---------------------------------------------------------------------------------------


async def test_starting_and_stopping_twice_changes_nothing() -> None:
    """A running container is left alone by a start, a stopped one by a stop."""
    async with engine() as runtime:
        await runtime.create_container(idle("one"))
        await runtime.stop_container("one")
        await runtime.start_container("one")
        before = await runtime.inspect_container("one")
        await runtime.start_container("one")

        assert before == await runtime.inspect_container("one")


async def test_events_tell_a_containers_life() -> None:
    """Start, die with the exit code and destroy are told to those who asked for the labels."""
    async with engine() as runtime, runtime.container_events(OURS) as events:
        await runtime.add_foreign_container("foreign", "net")
        await runtime.create_container(idle("one"))
        await runtime.start_container("one")
        await runtime.remove_container("one", OURS)
        found = [await anext(events) for _ in range(5)]

    assert [
        ContainerEvent(action="create", name="one"),
        ContainerEvent(action="start", name="one"),
        ContainerEvent(action="kill", name="one"),
        ContainerEvent(action="die", name="one", exit_code=137),
        ContainerEvent(action="destroy", name="one"),
    ] == found


async def test_cut_streams_end() -> None:
    """A stream of events can end although nothing has happened."""
    async with engine() as runtime, runtime.container_events(OURS) as events:
        runtime.cut_event_streams()

        assert [] == [event async for event in events]


async def test_an_out_of_memory_kill_is_told() -> None:
    """A container killed for want of memory says so in its events and its inspection."""
    async with engine() as runtime, runtime.container_events(OURS) as events:
        await runtime.create_container(idle("one"))
        await runtime.start_container("one")
        runtime.crash("one", is_oom=True)
        found = [await anext(events) for _ in range(4)]
        detail = await runtime.inspect_container("one")

    assert ["create", "start", "oom", "die"] == [event.action for event in found]
    assert (137, True) == (detail.exit_code, detail.oom_killed)


@virtual_time
async def test_the_restart_policy_waits_longer_each_time() -> None:
    """A container that keeps exiting is started again after 0.1, 0.2 and 0.4 s."""
    times = []
    latency = INSTANT
    latency = replace(latency, restart_first=0.1, restart_longest=60.0, restart_peace=10.0)
    async with engine(latency=latency) as runtime, runtime.container_events(OURS) as events:
        await runtime.create_container(idle("one"))
        await runtime.start_container("one")
        began = anyio.current_time()
        async for event in events:
            if event.action == "start":
                times.append(round(anyio.current_time() - began, 3))
                if len(times) == 4:
                    break
                runtime.crash("one")
        detail = await runtime.inspect_container("one")

    assert [0.0, 0.1, 0.3, 0.7] == times
    assert 3 == detail.restarts


async def test_a_stopped_container_does_not_come_back() -> None:
    """The restart policy ends with a stop, also while a restart is due."""
    async with engine(latency=replace(INSTANT, restart_first=1000.0)) as runtime:
        await runtime.create_container(idle("one"))
        await runtime.start_container("one")
        runtime.crash("one")
        await runtime.machine.changed.wait()
        assert Status.RESTARTING is await status(runtime, "one")
        await runtime.stop_container("one")

        assert Status.EXITED is await status(runtime, "one")


async def test_a_stop_without_grace_kills() -> None:
    """With no grace the exit code is that of a SIGKILL."""
    async with engine() as runtime:
        await runtime.create_container(idle("one", command=("agent",)))
        codes = []
        for grace in (0, 10, None):
            await runtime.start_container("one")
            await runtime.stop_container("one", grace=grace)
            codes.append((await runtime.inspect_container("one")).exit_code)

    assert [137, 1, 1] == codes


async def test_removal_needs_the_labels() -> None:
    """A container without the labels stays; an absent one is no error."""
    async with engine() as runtime:
        await runtime.create_container(idle("one"))

        assert not await runtime.remove_container("one", OTHER)
        assert await runtime.remove_container("one", OURS)
        assert not await runtime.remove_container("one", OURS)


async def test_a_removed_name_is_free() -> None:
    """As soon as a removal returns, its name can be used again."""
    async with engine() as runtime:
        for _ in range(2):
            await runtime.create_container(idle("one"))
            await runtime.start_container("one")
            await runtime.remove_container("one", OURS)


async def test_a_signal_needs_a_process() -> None:
    """A container that does not run cannot be signalled."""
    async with engine() as runtime:
        await runtime.create_container(idle("one"))
        await refused(runtime.signal_container("one", "SIGHUP"), Conflict)
        await runtime.start_container("one")
        await runtime.signal_container("one", "SIGKILL")

        assert Status.EXITED is await status(runtime, "one")


async def test_absent_containers_are_not_found() -> None:
    """Every call about a container that is not there says so."""
    async with engine() as runtime:
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: runtime.start_container("x"),
            lambda: runtime.stop_container("x"),
            lambda: runtime.inspect_container("x"),
            lambda: runtime.signal_container("x", "SIGHUP"),
            lambda: runtime.write_files("x", []),
            lambda: runtime.read_file("x", "/x"),
            lambda: runtime.logs("x", tail=1),
        ]
        for call in calls:
            await refused(call(), NotFound)


async def test_files_under_a_tmpfs_are_lost_at_start() -> None:
    """A file under /run is accepted and gone after the start, others stay over restarts."""
    files = (File(path="/run/lost", content=b"1"), File(path="/etc/kept", content=b"2"))
    async with engine() as runtime:
        await runtime.create_container(idle("one", files=files))
        assert b"1" == await runtime.read_file("one", "/run/lost")
        await runtime.start_container("one")
        await runtime.write_files("one", [File(path="/var/run/lost", content=b"3")])
        await refused(runtime.read_file("one", "/run/lost"), NotFound)
        await refused(runtime.read_file("one", "/var/run/lost"), NotFound)
        await runtime.stop_container("one")
        await runtime.start_container("one")

        assert b"2" == await runtime.read_file("one", "/etc/kept")


# --- calls --------------------------------------------------------------------------------------


@virtual_time
async def test_a_cancelled_change_takes_effect() -> None:
    """A create, start or removal that is cancelled ends first, then the cancellation is felt."""
    async with engine(latency=Latency()) as runtime:
        with anyio.move_on_after(0.001) as create:
            await runtime.create_container(idle("one"))
            await anyio.sleep_forever()
        assert Status.CREATED is await status(runtime, "one")
        with anyio.move_on_after(0.001) as start:
            await runtime.start_container("one")
            await anyio.sleep_forever()
        assert Status.RUNNING is await status(runtime, "one")
        with anyio.move_on_after(0.001) as remove:
            await runtime.remove_container("one", OURS)
            await anyio.sleep_forever()

        assert [] == list(await runtime.containers())
        assert create.cancelled_caught
        assert start.cancelled_caught
        assert remove.cancelled_caught


@virtual_time
async def test_a_pull_can_be_cut() -> None:
    """A pull ends with its caller and leaves no image."""
    async with engine(latency=Latency()) as runtime:
        with anyio.move_on_after(2):
            await runtime.pull_image("other", lambda _done, _total: None)

        assert not await runtime.has_image("other")


@virtual_time
async def test_limits_are_queues() -> None:
    """With one start at a time five starts take five times as long."""
    took = {}
    for number in (0, 1):
        async with FakeRuntime(images=[IMAGE], limits=Limits(start=number)) as runtime:
            await runtime.create_network(NETWORK)
            for index in range(5):
                await runtime.create_container(idle(f"c{index}"))
            began = anyio.current_time()
            async with anyio.create_task_group() as group:
                for index in range(5):
                    group.start_soon(runtime.start_container, f"c{index}")
            took[number] = anyio.current_time() - began

    assert pytest.approx(5 * 0.65) == took[1]
    assert took[0] < took[1]


@virtual_time
async def test_a_limit_that_is_not_set_is_the_engines_number_of_cpus() -> None:
    """Once the engine has been asked; what the user sets stays."""
    for limits, expected in ((Limits(), 2), (Limits(start=1), 1), (Limits(start=0), 6)):
        async with FakeRuntime(images=[IMAGE], limits=limits) as runtime:
            await runtime.facts()
            await runtime.create_network(NETWORK)
            for index in range(6):
                await runtime.create_container(idle(f"c{index}"))
            waited: list[float] = []
            async with anyio.create_task_group() as group:
                for index in range(6):
                    group.start_soon(start_queued, runtime, f"c{index}", waited)

        assert expected == waited.count(0.0) + 6 - len(waited)


async def start_queued(runtime: FakeRuntime, name: str, waited: list[float]) -> None:
    """Start a container and note how long the call was queued, if there is a queue."""
    on_queued.set(waited.append)
    await runtime.start_container(name)


@virtual_time
async def test_the_most_urgent_call_goes_first() -> None:
    """Among equals whoever came first; a call that is cut while it waits takes no slot."""
    order: list[str] = []
    limiters = Limiters(Limits(start=1))

    async def call(name: str, how_urgent: int) -> None:
        urgency.set(how_urgent)
        async with limiters.slot("start"):
            order.append(name)
            await anyio.sleep(1)

    async with anyio.create_task_group() as group:
        for name, how_urgent in (("first", 0), ("agent-0", 1), ("agent-1", 1), ("server", 5)):
            group.start_soon(call, name, how_urgent)
            await anyio.sleep(0.01)
        with anyio.move_on_after(0.5):
            await call("cut", 9)

    assert ["first", "server", "agent-0", "agent-1"] == order
    with anyio.fail_after(2):
        await call("free again", 0)


async def test_a_snapshot_tells_leaks() -> None:
    """What is left behind makes two snapshots differ; nothing left makes them equal."""
    async with engine() as runtime:
        before = runtime.snapshot()
        await runtime.create_container(idle("one"))
        assert before != runtime.snapshot()
        await runtime.remove_container("one", OURS)
        assert before == runtime.snapshot()
        await runtime.remove_network("net", OURS)

        assert runtime.is_empty()


async def test_an_error_inside_leaves_as_it_is() -> None:
    """The engine's task group does not wrap what its body raises."""
    with pytest.raises(ValueError, match="as it is"):
        async with engine():
            raise ValueError("as it is")
