"""Registries by themselves on the fake engine: made, deleted, started, stopped."""

from contextlib import suppress

import anyio
import pytest

from k3dasync import events
from k3dasync.errors import (
    DeadlineExceeded,
    EngineError,
    Interrupted,
    NameTaken,
    NotFound,
    PortTaken,
    TaskFailed,
)
from k3dasync.fake import (
    Fail,
    FakeRuntime,
    Fault,
    Faults,
    Hang,
    Kill,
    Latency,
    Moment,
    ProcessKilled,
    backend_of,
)
from k3dasync.grammar.exposure import Exposure
from k3dasync.images import REGISTRY
from k3dasync.journal import past_runs, place_of, state_dir, thing_of
from k3dasync.life_errors import RegistryNotFound
from k3dasync.operations import registry_create, registry_delete, registry_start
from k3dasync.operations._registry_look import find_registries
from k3dasync.operations._run import Stop
from k3dasync.operations.create import create
from k3dasync.operations.registry_create import LoneRegistry
from k3dasync.operations.rollback import rollback
from k3dasync.runtime import PortBinding, Status
from k3dasync.spec import ClusterSpec, RegistryProxy, RegistrySpec
from tests.laws import Keeper, assert_laws
from tests.properties.test_create import Disk
from tests.support import virtual_time

NAME = "k3d-reg"
PLAIN = LoneRegistry(name=NAME, spec=RegistrySpec(name=NAME), network="bridge")
MOUNTED = RegistrySpec(name=NAME, volumes=("data:/var/lib/registry",))
WITH_VOLUME = LoneRegistry(name=NAME, spec=MOUNTED, network="bridge")


@pytest.fixture(autouse=True)
def usual_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever image the tests on a real engine are given."""
    monkeypatch.delenv("K3DASYNC_IMAGE_REGISTRY", raising=False)


def runtime_of(*orders: Fault) -> FakeRuntime:
    return FakeRuntime(latency=Latency.instant(), faults=Faults(orders))


async def test_a_registry_is_made_and_answers() -> None:
    """It runs, answers where it is published on this machine only, and belongs to no cluster."""
    keeper = Keeper()
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        made = await registry_create.create(PLAIN, backend=backend, sinks=(keeper,))
        found = await runtime.inspect_container(NAME)

        assert Status.RUNNING is found.state.status
        assert await backend.registry_answers("127.0.0.1", made.host_port)
        assert ["bridge"] == list(found.state.addresses)
        (binding,) = found.bindings
        assert ("5000/tcp", "127.0.0.1") == (binding.port, binding.host_ip)
        labels = found.state.labels
        assert ("k3d", "registry", "") == tuple(
            labels[key] for key in ("app", "k3d.role", "k3d.cluster")
        )
        assert_laws(keeper.events)
        assert {None} == {one.cluster for one in keeper.events}


async def test_everything_that_can_be_asked_for() -> None:
    """Image, port, volume, proxy, deletion, port match: as k3d says it to the registry."""
    spec = RegistrySpec(
        name=NAME,
        exposure=Exposure("0.0.0.0", 5001),
        image="mine:1",
        proxy=RegistryProxy("https://registry-1.docker.io", "me", "hush"),
        volumes=("data:/var/lib/registry",),
        enforce_port_match=True,
        allows_delete=True,
    )
    keeper = Keeper()
    async with runtime_of() as runtime:
        asked = LoneRegistry(name=NAME, spec=spec, network="bridge")
        await registry_create.create(asked, backend=backend_of(runtime), sinks=(keeper,))
        found = await runtime.inspect_container(NAME)

        assert "mine:1" == found.state.image
        (binding,) = found.bindings
        assert ("5001/tcp", "0.0.0.0", 5001) == (
            binding.port,
            binding.host_ip,
            binding.host_port,
        )
        assert ("data:/var/lib/registry",) == found.binds
        assert {
            "REGISTRY_HTTP_ADDR=:5001",
            "REGISTRY_STORAGE_DELETE_ENABLED=true",
            "REGISTRY_PROXY_REMOTEURL=https://registry-1.docker.io",
            "REGISTRY_PROXY_USERNAME=me",
            "REGISTRY_PROXY_PASSWORD=hush",
        } <= set(found.env)
    assert "hush" not in str([events.encode(one) for one in keeper.events])


async def test_a_name_that_is_taken_and_a_network_that_is_not_there() -> None:
    """Both are found before anything is made, and no log is left."""
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        asked = LoneRegistry(name=NAME, spec=RegistrySpec(name=NAME), network="nosuch")
        with pytest.raises(NotFound, match=r"nosuch.*--default-network"):
            await registry_create.create(asked, backend=backend)
        assert () == past_runs(place_of("registry", NAME))
        await registry_create.create(PLAIN, backend=backend)
        with pytest.raises(NameTaken, match="there already"):
            await registry_create.create(PLAIN, backend=backend)
        assert ["k3d-reg"] == [one.name for one in await runtime.containers()]


async def test_a_port_that_is_lost_is_chosen_anew_unless_it_was_named() -> None:
    """As with registries that are made with clusters."""
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        first = await registry_create.create(PLAIN, backend=backend)
        await registry_delete.delete([NAME], backend=backend)
        taken = PortBinding(port="80", host_ip="127.0.0.1", host_port=first.host_port)
        keeper = Keeper()

        runtime.faults.orders = (
            Fault(
                trouble=Fail(
                    PortTaken("start", NAME, f"Bind for 127.0.0.1:{first.host_port} failed")
                ),
                verb="start_container",
            ),
        )
        second = await registry_create.create(PLAIN, backend=backend, sinks=(keeper,))
        assert second.host_port != first.host_port
        assert 1 == len([one for one in keeper.events if isinstance(one, events.RunReplanned)])

        network = runtime.add_foreign_network("theirs")
        await runtime.add_foreign_container("thief", network, ports=(taken,))
        named = RegistrySpec(name="k3d-b", exposure=Exposure(None, first.host_port))
        with pytest.raises(TaskFailed) as caught:
            await registry_create.create(
                LoneRegistry(name="k3d-b", spec=named, network="bridge"), backend=backend
            )
        assert "that host port was asked for: free it, or name another one" in (
            caught.value.__notes__
        )
        assert {"k3d-reg", "thief"} == {one.name for one in await runtime.containers()}


async def test_a_create_that_fails_leaves_nothing() -> None:
    """Neither a container nor the volume that its image wants."""
    fault = Fault(trouble=Fail(EngineError("start", NAME, "no")), verb="start_container")
    keeper = Keeper()
    async with runtime_of(fault) as runtime:
        with pytest.raises(TaskFailed, match="no"):
            await registry_create.create(PLAIN, backend=backend_of(runtime), sinks=(keeper,))
        assert runtime.is_empty()
    assert_laws(keeper.events)
    last = keeper.events[-1]
    assert isinstance(last, events.RunFailed)
    assert last.rolled_back


async def test_whatever_call_fails_nothing_is_left() -> None:
    """Each call of a create in turn, before and after it has taken effect."""
    for moment in Moment:
        for number in range(1, 100):
            trouble = Fail(EngineError("do", "it", "no"))
            fault = Fault(trouble=trouble, nth=number, moment=moment)
            async with runtime_of(fault) as runtime:
                backend = backend_of(runtime)
                try:
                    await registry_create.create(WITH_VOLUME, backend=backend)
                except (TaskFailed, EngineError):
                    assert runtime.is_empty(), (moment, number)
                else:
                    break
        assert 5 < number < 99


async def test_a_volume_with_a_name_stays_when_its_registry_goes() -> None:
    """Whether it was there before or not; one that was there outlives a failure, too."""
    fault = Fault(trouble=Fail(EngineError("start", NAME, "no")), verb="start_container", nth=2)
    async with runtime_of(fault) as runtime:
        backend = backend_of(runtime)
        await registry_create.create(WITH_VOLUME, backend=backend)
        await registry_delete.delete([NAME], backend=backend)
        with pytest.raises(TaskFailed, match="no"):
            await registry_create.create(WITH_VOLUME, backend=backend)

        assert [] == await runtime.containers()
        assert ["data"] == [one.name for one in await runtime.volumes()]


@pytest.mark.parametrize("finish", ["delete", "rollback"])
@pytest.mark.parametrize("moment", list(Moment))
async def test_a_killed_create_is_taken_back(moment: Moment, finish: str) -> None:
    """At every call: what was there then is gone after the next command of that name."""
    for number in range(1, 100):
        disk = Disk(state_dir())
        orders = [
            Fault(trouble=trouble, nth=number, moment=moment) for trouble in (disk.stop, Kill())
        ]
        async with runtime_of(*orders) as runtime:
            backend = backend_of(runtime)
            with suppress(ProcessKilled, BaseExceptionGroup, EngineError):
                await registry_create.create(WITH_VOLUME, backend=backend)
            if not runtime.faults.is_killed:
                break
            runtime.faults.revive()
            disk.restore()
            if finish == "delete":
                await registry_delete.delete([NAME], backend=backend)
            else:
                await rollback(NAME.removeprefix("k3d-"), backend=backend)
            assert runtime.is_empty(), number
            assert not any(past.is_unfinished for past in past_runs(place_of("registry", NAME)))
    assert 5 < number < 99


@virtual_time
async def test_one_that_never_answers_is_taken_back() -> None:
    """The deadline says what was waited for."""
    async with FakeRuntime() as runtime:

        async def deaf(_host: str, _port: int) -> bool:
            return False

        from dataclasses import replace

        backend = replace(backend_of(runtime), registry_answers=deaf)
        with pytest.raises(DeadlineExceeded, match=r"answer:k3d-reg .*/v2/"):
            await registry_create.create(PLAIN, backend=backend)
        assert runtime.is_empty()


@virtual_time
async def test_a_create_that_is_stopped_leaves_nothing() -> None:
    """The wish is heard while the engine hangs in a pull."""
    hanging = Fault(trouble=Hang(), verb="pull_image")
    async with FakeRuntime(faults=Faults((hanging,))) as runtime:
        wish = Stop()

        async def after_a_while() -> None:
            await anyio.sleep(1)
            wish.request("stopped by SIGINT")

        async with anyio.create_task_group() as group:
            group.start_soon(after_a_while)
            with pytest.raises(Interrupted, match="stopped by SIGINT"):
                await registry_create.create(PLAIN, backend=backend_of(runtime), stop=wish)
        assert runtime.is_empty()


async def test_what_a_killed_create_has_left_goes_with_the_next_command() -> None:
    """A log without an end and a container with its run: a delete takes both back."""
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        await registry_create.create(PLAIN, backend=backend)
        (past,) = past_runs(place_of("registry", NAME))
        lines = past.path.read_bytes().splitlines(keepends=True)
        past.path.write_bytes(b"".join(lines[:-1]))

        again = await registry_create.create(PLAIN, backend=backend)
        assert again.name == NAME
        assert 1 == len(await runtime.containers())


async def test_deleted_with_what_has_no_name() -> None:
    """The image's own volume goes, one with a name stays, names without k3d- are known."""
    named = RegistrySpec(name="k3d-b", volumes=("data:/var/lib/registry",))
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        await registry_create.create(PLAIN, backend=backend)
        await registry_create.create(
            LoneRegistry(name="k3d-b", spec=named, network="bridge"), backend=backend
        )
        assert 2 == len(await runtime.volumes())
        ends = await registry_delete.delete(["reg", "b", "nosuch"], backend=backend)

        assert (("k3d-reg", "k3d-b"), ("k3d-nosuch",)) == (ends.deleted, ends.absent)
        assert ["data"] == [one.name for one in await runtime.volumes()]
        assert [] == list(await runtime.containers())


async def test_its_content_can_be_kept() -> None:
    """The volume is named, and another registry takes it over."""
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        runtime.add_image(REGISTRY, volumes=("/var/lib/registry",))
        await registry_create.create(PLAIN, backend=backend)
        ends = await registry_delete.delete(None, keeps_volume=True, backend=backend)
        assert [ends.kept[NAME]] == [one.name for one in await runtime.volumes()]

        spec = RegistrySpec(name=NAME, volumes=(f"{ends.kept[NAME]}:/var/lib/registry",))
        await registry_create.create(
            LoneRegistry(name=NAME, spec=spec, network="bridge"), backend=backend
        )
        assert 1 == len(await runtime.volumes())


async def test_only_registries_are_deleted() -> None:
    """A node's name is refused before anything goes, and says what it is."""
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        await create(ClusterSpec(name="dev"), backend=backend)
        await registry_create.create(PLAIN, backend=backend)
        with pytest.raises(RegistryNotFound, match="k3d-dev-server-0 is a server"):
            await registry_delete.delete(["reg", "dev-server-0"], backend=backend)
        assert 3 == len(await runtime.containers())
        assert [NAME] == [one.name for one in await find_registries(None, runtime)]


async def test_a_registry_in_use_is_deleted_with_a_warning() -> None:
    """The warning names the clusters whose nodes still look there."""
    keeper = Keeper()
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        await registry_create.create(PLAIN, backend=backend)
        from k3dasync.grammar.registries import parse_reference

        spec = ClusterSpec(name="dev", registries=(parse_reference(NAME),))
        await create(spec, backend=backend)
        await registry_delete.delete(["reg"], backend=backend, sinks=(keeper,))
        told = [one.text for one in keeper.events if isinstance(one, events.Warned)]
        assert ["nodes of cluster dev are not told that k3d-reg is gone"] == told


async def test_stopped_and_started_again() -> None:
    """A start returns when it answers; what is still already is no error."""
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        made = await registry_create.create(PLAIN, backend=backend)
        assert [NAME] == (await registry_start.stop_registries(["reg"], backend=backend)).done
        assert not await backend.registry_answers("127.0.0.1", made.host_port)
        assert [NAME] == (await registry_start.stop_registries(["reg"], backend=backend)).absent

        assert [NAME] == (await registry_start.start(["reg"], backend=backend)).done
        assert await backend.registry_answers("127.0.0.1", made.host_port)
        await runtime.pause_container(NAME)
        await registry_start.start(["reg"], backend=backend)
        assert Status.RUNNING is (await runtime.inspect_container(NAME)).state.status
        with pytest.raises(RegistryNotFound, match="nosuch"):
            await registry_start.start(["nosuch"], backend=backend)


def test_logs_of_registries_have_a_place_of_their_own() -> None:
    """No cluster can be called like that, and the registry is read back from it."""
    place = place_of("registry", "k3d-dev")
    assert ("registry", "k3d-dev") == thing_of(place)
    assert ("cluster", "k3d-dev") == thing_of("k3d-dev")
    from k3dasync.errors import SpecError
    from k3dasync.spec import check_name

    with pytest.raises(SpecError):
        check_name(place)
