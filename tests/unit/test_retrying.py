"""Refusals that pass are tried again, on the fake engine; those that stay are not."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import anyio
import pytest

from k3dasync import events
from k3dasync.errors import (
    Conflict,
    DeadlineExceeded,
    EngineError,
    EngineUnavailable,
    ImageUnavailable,
    K3dAsyncError,
    NotFound,
    PortTaken,
    TaskFailed,
)
from k3dasync.fake import Fail, FakeRuntime, Fault, Faults, Latency, Moment, backend_of
from k3dasync.operations.create import create
from k3dasync.operations.delete import delete
from k3dasync.retrying import Retrying
from k3dasync.runtime import ContainerSpec, File, NetworkSpec, PortBinding, VolumeSpec
from k3dasync.spec import ClusterSpec
from k3dasync.transient import TRIES, delays, is_engines_choice, is_transient
from tests.laws import Keeper, assert_laws
from tests.support import virtual_time

IMAGE = "busybox:test"
OURS = {"k3dasync.run": "this"}
BUSY = EngineError("start", "container c", "try later", status=503)
CUT = EngineUnavailable("the engine is gone", is_passing=True)
NETWORK = NetworkSpec(
    name="net", subnet="10.5.0.0/24", gateway="10.5.0.1", ip_range="10.5.0.128/25", labels=OURS
)
CONTAINER = ContainerSpec(
    name="c", image=IMAGE, network="net", labels=OURS, files=(File(path="/a", content=b"whole"),)
)


def refused(words: str, status: int = 500) -> EngineError:
    return EngineError("do", "it", words, status=status)


@pytest.mark.parametrize(
    "error",
    [
        refused("Bad Gateway", 502),
        refused("", 503),
        refused("upstream timed out", 504),
        refused("Another app is currently holding the xtables lock; still 9s 0us time ahead"),
        refused("unable to remove filesystem for 1a: unlinkat /x/merged: device or resource busy"),
        refused("fork/exec /usr/bin/runc: resource temporarily unavailable"),
        refused("removal of container 1a2b is already in progress", 409),
        refused("container is marked for removal and cannot be started", 409),
        refused("received unexpected HTTP status: 503 Service Unavailable"),
        refused('Get "https://registry/v2/": net/http: TLS handshake timeout'),
        refused("read tcp 10.0.0.2:4->10.0.0.3:443: read: connection reset by peer"),
        ImageUnavailable("pull", "image i", "unexpected EOF"),
        CUT,
    ],
    ids=str,
)
def test_what_passes(error: K3dAsyncError) -> None:
    """A proxy's statuses, and the words known to be for a moment."""
    assert is_transient(error)


@pytest.mark.parametrize(
    "error",
    [
        refused("OCI runtime create failed: unable to apply caps: operation not permitted"),
        refused("something went wrong"),
        refused("No such container: c", 404),
        refused("invalid reference format", 400),
        refused("toomanyrequests: You have reached your pull rate limit", 503),
        refused('exec: "/bin/x": stat /bin/x: no such file or directory'),
        ImageUnavailable("pull", "image i", "manifest unknown"),
        PortTaken("start", "container c", "Bind for 0.0.0.0:80 failed: port is already allocated"),
        EngineUnavailable("no container engine"),
        Conflict("create", "container c", "The container name is already in use", status=409),
        NotFound("start", "container c", "gone", status=404),
    ],
    ids=str,
)
def test_what_stays(error: K3dAsyncError) -> None:
    """Everything else, an unknown 500 too, and an engine that was never there."""
    assert not is_transient(error)


@pytest.mark.parametrize(
    ("bindings", "is_choice"),
    [
        ([PortBinding(port="80", host_ip="")], True),
        ([PortBinding(port="80", host_ip="", host_port=32768, last_host_port=32770)], True),
        ([PortBinding(port="80", host_ip="", host_port=32768)], False),
        (
            [PortBinding(port=p, host_ip="", host_port=h) for p, h in (("80", 32768), ("81", 0))],
            False,
        ),
        ([PortBinding(port=p, host_ip="", host_port=h) for p, h in (("80", 90), ("81", 0))], True),
    ],
)
def test_whose_choice_a_port_was(bindings: list[PortBinding], *, is_choice: bool) -> None:
    """The engine's where none or a range was asked for; a port by number is the user's."""
    words = "Bind for 0.0.0.0:32768 failed: port is already allocated"

    assert is_choice == is_engines_choice(PortTaken("start", "container c", words), bindings)


def test_delays_grow_and_end() -> None:
    """Each about twice the one before, six seconds in all."""
    found = list(delays())

    assert TRIES - 1 == len(found)
    assert sorted(found) == found
    assert 4.5 < sum(found) < 8


@asynccontextmanager
async def engine(*orders: Fault) -> AsyncIterator[FakeRuntime]:
    runtime = FakeRuntime(images=[IMAGE], latency=Latency(), faults=Faults(orders))
    async with runtime:
        yield runtime


async def prepared(runtime: FakeRuntime) -> Retrying:
    """Make a network, a volume and a container, past all faults."""
    await runtime.create_network(NETWORK)
    await runtime.create_volume(VolumeSpec(name="v", labels=OURS))
    await runtime.create_container(CONTAINER)
    return Retrying(runtime)


Act = Callable[[Retrying], Awaitable[object]]
ACTS: dict[str, Act] = {
    "start_container": lambda one: one.start_container("c"),
    "write_files": lambda one: one.write_files("c", [File(path="/b", content=b"")]),
    "remove_container": lambda one: one.remove_container("c", OURS),
    "remove_network": lambda one: one.remove_network("other", OURS),
    "remove_volume": lambda one: one.remove_volume("v", OURS),
    "create_volume": lambda one: one.create_volume(VolumeSpec(name="w", labels=OURS)),
    "pull_image": lambda one: one.pull_image("other:1", lambda _done, _all: None),
    "containers": lambda one: one.containers(),
    "inspect_container": lambda one: one.inspect_container("c"),
    "read_file": lambda one: one.read_file("c", "/a"),
}


@virtual_time
@pytest.mark.parametrize("moment", list(Moment))
@pytest.mark.parametrize("error", [BUSY, CUT], ids=["busy", "cut"])
@pytest.mark.parametrize("verb", ACTS)
async def test_each_call_is_tried_again(verb: str, error: K3dAsyncError, moment: Moment) -> None:
    """Whether it had taken effect or not; twice refused, it succeeds at the third try."""
    order = Fault(trouble=Fail(error), verb=verb, moment=moment, times=2)
    async with engine() as runtime:
        one = await prepared(runtime)
        runtime.faults.orders = (order,)
        began = anyio.current_time()
        await ACTS[verb](one)

        assert anyio.current_time() - began > 0.4


@virtual_time
@pytest.mark.parametrize("moment", list(Moment))
@pytest.mark.parametrize("error", [BUSY, CUT], ids=["busy", "cut"])
async def test_what_must_be_there_once_is(error: K3dAsyncError, moment: Moment) -> None:
    """One network of the name, one container, and its files are in it."""
    async with engine() as runtime:
        runtime.faults.orders = tuple(
            Fault(trouble=Fail(error), verb=verb, moment=moment)
            for verb in ("create_network", "create_container")
        )
        one = Retrying(runtime)
        id = await one.create_network(NETWORK)
        await one.create_container(CONTAINER)

        assert [id] == [network.id for network in await runtime.networks() if network.name == "net"]
        assert b"whole" == await runtime.read_file("c", "/a")


class Late(FakeRuntime):
    """Finishes a create that was cut when its caller has just looked and asks once more."""

    def __init__(self) -> None:
        super().__init__(images=[IMAGE], latency=Latency())
        self.asked = {"network": 0, "container": 0}

    def _is_cut(self, kind: str) -> bool:
        self.asked[kind] += 1
        if self.asked[kind] == 1:
            raise CUT
        return self.asked[kind] == 2

    async def create_network(self, spec: NetworkSpec) -> str:
        if self._is_cut("network"):
            await super().create_network(spec)
        return await super().create_network(spec)

    async def create_container(self, spec: ContainerSpec) -> str:
        if self._is_cut("container"):
            await super().create_container(replace(spec, files=()))
        return await super().create_container(spec)


@virtual_time
async def test_what_the_engine_makes_late_is_no_conflict() -> None:
    """Name and subnet are taken by ourselves: there is one of each in the end, and whole."""
    async with Late() as runtime:
        one = Retrying(runtime)
        id = await one.create_network(NETWORK)
        await one.create_container(CONTAINER)

        assert [id] == [network.id for network in await runtime.networks() if network.name == "net"]
        assert b"whole" == await runtime.read_file("c", "/a")


@virtual_time
async def test_a_name_of_somebody_else_stays_a_conflict_after_a_cut() -> None:
    """What lacks a label of ours is neither removed nor waited for."""
    theirs = replace(CONTAINER, labels={"k3dasync.run": "that"}, files=())
    async with engine() as runtime:
        one = await prepared(runtime)
        await one.remove_container("c", OURS)
        await runtime.create_container(theirs)
        runtime.faults.orders = (Fault(trouble=Fail(CUT), verb="create_container"),)
        with pytest.raises(Conflict):
            await one.create_container(CONTAINER)

        assert theirs.labels == (await runtime.inspect_container("c")).state.labels


@virtual_time
async def test_a_refusal_that_stays_is_raised_at_once() -> None:
    """Without a second try."""
    stays = refused("OCI runtime create failed")
    async with engine() as runtime:
        one = await prepared(runtime)
        runtime.faults.orders = (Fault(trouble=Fail(stays), verb="start_container"),)
        with pytest.raises(EngineError, match="OCI"):
            await one.start_container("c")
        await one.start_container("c")


@virtual_time
async def test_tries_come_to_an_end() -> None:
    """What does not pass in time is raised as it is."""
    always = Fault(trouble=Fail(BUSY), verb="start_container", times=100)
    async with engine() as runtime:
        one = await prepared(runtime)
        runtime.faults.orders = (always,)
        began = anyio.current_time()
        with pytest.raises(EngineError, match="try later"):
            await one.start_container("c")

        assert 4 < anyio.current_time() - began < 9


@virtual_time
async def test_a_port_that_the_engine_chose_is_chosen_again() -> None:
    """Somebody was quicker; with a port of the user's own that stays a lost claim."""
    taken = PortTaken("start", "container p", "Bind for 0.0.0.0:32768 failed: port is already …")
    for host_port, is_refused in ((0, False), (32768, True)):
        async with engine() as runtime:
            one = await prepared(runtime)
            binding = PortBinding(port="80", host_ip="", host_port=host_port)
            await one.create_container(
                ContainerSpec(name="p", image=IMAGE, network="net", labels=OURS, ports=(binding,))
            )
            runtime.faults.orders = (Fault(trouble=Fail(taken), verb="start_container"),)
            if is_refused:
                with pytest.raises(PortTaken):
                    await one.start_container("p")
            else:
                await one.start_container("p")


SPEC = ClusterSpec(name="dev", servers=3, agents=2)
FLAKY = ("create_network", "create_container", "start_container", "create_volume")


@virtual_time
@pytest.mark.parametrize("moment", list(Moment))
@pytest.mark.parametrize("error", [BUSY, CUT], ids=["busy", "cut"])
async def test_a_create_on_a_flaky_engine_succeeds_and_tells(
    error: K3dAsyncError, moment: Moment
) -> None:
    """Each retry is an event of its task, in order, with its delay and the engine's words."""
    keeper = Keeper()
    flaky = [Fault(trouble=Fail(error), verb=verb, moment=moment, times=2) for verb in FLAKY]
    async with FakeRuntime(latency=Latency(), faults=Faults(tuple(flaky))) as runtime:
        backend = backend_of(runtime)
        await create(SPEC, backend=backend, sinks=(keeper,))
        await delete(["dev"], backend=backend)

        assert runtime.is_empty()
    assert_laws([event for event in keeper.events if event.run == keeper.events[0].run])
    told = [event for event in keeper.events if isinstance(event, events.TaskRetry)]
    server = [event for event in told if event.task == "container:k3d-dev-server-0"]
    assert [2, 3] == [event.attempt for event in server]
    assert all(str(error) == event.error and event.delay > 0.1 for event in told)


@virtual_time
async def test_an_undo_is_tried_again_and_tells() -> None:
    """Each try after the first is an event of the task that is undone, and nothing is left."""
    keeper = Keeper()
    orders = (
        Fault(trouble=Fail(refused("no")), verb="start_container"),
        Fault(trouble=Fail(BUSY), verb="remove_container", times=2),
        Fault(trouble=Fail(CUT), verb="remove_network"),
    )
    async with FakeRuntime(latency=Latency(), faults=Faults(orders)) as runtime:
        with pytest.raises(TaskFailed):
            await create(ClusterSpec(name="dev"), backend=backend_of(runtime), sinks=(keeper,))

        assert runtime.is_empty()
    assert_laws(keeper.events)
    undoing = {one.task for one in keeper.events if isinstance(one, events.UndoStarted)}
    told = [one.task for one in keeper.events if isinstance(one, events.TaskRetry)]
    assert 3 == len(told)
    assert {"network:k3d-dev"} < set(told) <= undoing


@virtual_time
@pytest.mark.parametrize("verb", ["create_container", "start_container", "create_network"])
async def test_a_create_that_is_refused_for_good_leaves_nothing(verb: str) -> None:
    """After the last try it is rolled back, as after any failure."""
    always = Fault(trouble=Fail(BUSY), verb=verb, nth=1, times=1000)
    async with FakeRuntime(latency=Latency(), faults=Faults((always,))) as runtime:
        with pytest.raises(TaskFailed, match="try later"):
            await create(SPEC, backend=backend_of(runtime))

        assert runtime.is_empty()


@virtual_time
async def test_the_deadline_ends_retries() -> None:
    """A pause between two tries is cut by it."""
    always = Fault(trouble=Fail(BUSY), verb="start_container", times=1000)
    async with FakeRuntime(latency=Latency(), faults=Faults((always,))) as runtime:
        with pytest.raises(DeadlineExceeded):
            await create(ClusterSpec(name="dev", timeout=3.0), backend=backend_of(runtime))

        assert runtime.is_empty()
