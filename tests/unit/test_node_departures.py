"""Deletes and stops of nodes that do not get through: who stays works, who goes is named."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from k3dasync import nginx
from k3dasync.backend import Backend
from k3dasync.cluster import Role
from k3dasync.errors import EngineError, Interrupted, TaskFailed
from k3dasync.etcd import EtcdRefused
from k3dasync.fake import (
    Call,
    Fail,
    FakeRuntime,
    Fault,
    Faults,
    Kill,
    ProcessKilled,
    backend_of,
)
from k3dasync.grammar import filtered
from k3dasync.life_errors import NotHalted
from k3dasync.member_errors import NodeElsewhere
from k3dasync.operations._run import Stop
from k3dasync.operations.create import create
from k3dasync.operations.delete import delete
from k3dasync.operations.node_create import GrowOptions
from k3dasync.operations.node_delete import delete_nodes
from k3dasync.operations.node_run import stop_nodes
from k3dasync.operations.rollback import rollback
from k3dasync.operations.scale import scale
from k3dasync.runtime import Status
from k3dasync.spec import ClusterSpec, read
from tests.laws import Keeper, assert_laws
from tests.support import virtual_time
from tests.unit.test_nodes import config, members, store_of

HA = ClusterSpec(
    name="dev",
    servers=3,
    agents=2,
    ports=(read("--port", filtered.parse, "8080:80@agent:*:proxy"),),
)
SERVER, AGENT = "k3d-dev-server-2", "k3d-dev-agent-1"
WITHIN = GrowOptions(seconds=600)


@asynccontextmanager
async def ha_cluster() -> AsyncIterator[tuple[FakeRuntime, Backend, Faults]]:
    """Yield a cluster of three servers and two agents; the faults have no orders yet."""
    faults = Faults()
    async with FakeRuntime(faults=faults) as runtime:
        backend = backend_of(runtime)
        await create(HA, backend=backend)
        yield runtime, backend, faults


async def ports(runtime: FakeRuntime) -> dict[str, list[str]]:
    values = nginx.read_values(await runtime.read_file("k3d-dev-serverlb", nginx.VALUES_PATH))
    assert values is not None
    found: dict[str, list[str]] = values["ports"]
    return found


async def seen(runtime: FakeRuntime) -> tuple[object, ...]:
    """Return what users and nodes notice of a cluster."""
    store = store_of(runtime)
    there = {one.name: one.status for one in await runtime.containers()}
    cordoned, nodes = sorted(store.cordoned), sorted(store.nodes)
    return await config(runtime), await ports(runtime), cordoned, nodes, members(store), there


def stopping(wish: Stop, verb: str, name: str, nth: int = 1) -> Fault:
    """Return the order to ask for a stop when that call is made."""
    trouble = Call(lambda: wish.request("stopped by SIGINT"))
    return Fault(trouble=trouble, verb=verb, name=name, nth=nth)


@virtual_time
@pytest.mark.parametrize(
    ("verb", "name", "nth"),
    [
        ("execute", "k3d-dev-server-0", 2),
        ("write_files", SERVER, 1),
        ("write_files", "k3d-dev-serverlb", 1),
        ("signal_container", "k3d-dev-serverlb", 1),
        ("remove_member", "*", 1),
    ],
)
async def test_a_stopped_delete_leaves_the_node_as_it_was(verb: str, name: str, nth: int) -> None:
    """While it is drained, while the load balancer is told, while etcd is asked."""
    wish, keeper = Stop(), Keeper()
    async with ha_cluster() as (runtime, backend, faults):
        before = await seen(runtime)
        faults.orders = (stopping(wish, verb, name, nth),)
        with pytest.raises(Interrupted, match=f"deleted: {SERVER}"):
            await delete_nodes([SERVER], backend=backend, sinks=(keeper,), stop=wish)

        assert before == await seen(runtime)
        assert_laws(keeper.events)
        faults.orders = ()
        await delete_nodes([SERVER], backend=backend)
        assert SERVER not in store_of(runtime).nodes
        assert () == await rollback("dev", backend=backend)


@virtual_time
@pytest.mark.parametrize("verb", ["remove_container", "delete_secret", "delete_node"])
async def test_what_has_begun_to_go_is_named_and_finished_by_the_next_delete(verb: str) -> None:
    """There is no way back: the error names nodes and the command, which does the rest."""
    wish = Stop()
    async with ha_cluster() as (runtime, backend, faults):
        faults.orders = (stopping(wish, verb, "*"),)
        with pytest.raises(Interrupted) as caught:
            await delete_nodes([SERVER], backend=backend, stop=wish)
        assert f"half deleted: {SERVER}; finish with: k3dasync node delete {SERVER}" in str(
            caught.value
        )
        faults.orders = ()
        done = await delete_nodes([SERVER], backend=backend)
        store = store_of(runtime)

        assert ((SERVER,), ()) == (done.deleted, done.absent)
        assert SERVER not in {*store.nodes, *store.passwords, *members(store)}
        assert 2 == len(members(store))


@virtual_time
@pytest.mark.parametrize("command", ["rollback", "delete"])
@pytest.mark.parametrize(
    ("verb", "name"), [("execute", "k3d-dev-server-0"), ("write_files", "k3d-dev-serverlb")]
)
async def test_a_killed_delete_is_taken_back_or_finished(
    command: str, verb: str, name: str
) -> None:
    """By a rollback the node works as before; another delete deletes it."""
    kill = Fault(trouble=Kill(), verb=verb, name=name, nth=2 if verb == "execute" else 1)
    async with ha_cluster() as (runtime, backend, faults):
        before = await seen(runtime)
        faults.orders = (kill,)
        with pytest.raises((ProcessKilled, BaseExceptionGroup)):
            await delete_nodes([SERVER], backend=backend)
        faults.orders = ()
        faults.revive()
        if command == "rollback":
            assert 1 == len(await rollback("dev", backend=backend))
            assert before == await seen(runtime)
        else:
            await delete_nodes([SERVER], backend=backend)
            assert SERVER not in {*store_of(runtime).nodes, *members(store_of(runtime))}
            assert [] == sorted(store_of(runtime).cordoned)


@virtual_time
async def test_of_several_nodes_those_that_cannot_go_stay() -> None:
    """Etcd refuses: the server works as before, the agent is gone, also from the ports."""
    keeper = Keeper()
    async with ha_cluster() as (runtime, backend, faults):
        api = await config(runtime)
        faults.orders = (Fault(trouble=Fail(EtcdRefused("no")), verb="remove_member", times=10**6),)
        with pytest.raises(TaskFailed, match=f"leave:{SERVER}") as caught:
            await delete_nodes([SERVER, AGENT], backend=backend, sinks=(keeper,))

        assert [f"not deleted: {SERVER}"] == caught.value.__notes__
        store = store_of(runtime)
        assert set() == store.cordoned
        assert SERVER in {*store.nodes} & {*members(store)}
        assert AGENT not in store.nodes
        assert ["k3d-dev-agent-0"] == (await ports(runtime))["80.tcp"]
        assert api.count(":6443 ") == (await config(runtime)).count(":6443 ")
        assert_laws(keeper.events)


@virtual_time
async def test_who_was_cordoned_before_stays_cordoned() -> None:
    """Only what the delete has done is taken back."""
    wish = Stop()
    async with ha_cluster() as (runtime, backend, faults):
        await runtime.execute("k3d-dev-server-0", ["kubectl", "cordon", AGENT])
        faults.orders = (stopping(wish, "write_files", "k3d-dev-serverlb"),)
        with pytest.raises(Interrupted):
            await delete_nodes([SERVER, AGENT], backend=backend, stop=wish)
        assert {AGENT} == store_of(runtime).cordoned


@virtual_time
async def test_a_killed_delete_of_a_node_does_not_keep_the_cluster() -> None:
    """Stopped since, its nodes cannot be uncordoned, and need not be."""
    async with ha_cluster() as (runtime, backend, faults):
        faults.orders = (Fault(trouble=Kill(), verb="write_files", name="k3d-dev-serverlb"),)
        with pytest.raises((ProcessKilled, BaseExceptionGroup)):
            await delete_nodes([AGENT], backend=backend)
        faults.orders = ()
        faults.revive()
        for one in await runtime.containers():
            await runtime.stop_container(one.name)
        assert ("dev",) == (await delete(["dev"], backend=backend)).deleted


@virtual_time
async def test_a_node_whose_container_went_without_a_word() -> None:
    """Refused while it is Ready, as it may run elsewhere; then its cluster forgets it."""
    async with ha_cluster() as (runtime, backend, _):
        await create(ClusterSpec(name="other"), backend=backend)
        for name in (SERVER, AGENT):
            await runtime.remove_container(name, {})
        with pytest.raises(NodeElsewhere, match="cluster dev says that it is Ready"):
            await delete_nodes(["dev-server-2"], backend=backend)
        await anyio.sleep(300)
        done = await delete_nodes(["dev-server-2", AGENT, "nosuch"], backend=backend)
        store = store_of(runtime)

        assert ((AGENT, SERVER), ("nosuch",)) == (done.deleted, done.absent)
        assert not {SERVER, AGENT} & {*store.nodes, *store.passwords, *members(store)}
        assert ["k3d-dev-agent-0"] == (await ports(runtime))["80.tcp"]
        assert 2 == (await config(runtime)).count(":6443 ")


@virtual_time
async def test_a_stopped_scale_names_what_became_of_the_nodes() -> None:
    """As a delete of nodes does."""
    wish = Stop()
    async with ha_cluster() as (runtime, backend, faults):
        before = await seen(runtime)
        faults.orders = (stopping(wish, "write_files", "k3d-dev-serverlb"),)
        with pytest.raises(Interrupted, match=f"; not deleted: {AGENT}, k3d-dev-agent-0"):
            await scale("dev", {Role.AGENT: 0}, WITHIN, backend=backend, stop=wish)
        assert before == await seen(runtime)


@virtual_time
async def test_a_server_that_does_not_stop_gets_connections_as_before() -> None:
    """The engine refuses: it runs on, and the load balancer knows."""
    keeper = Keeper()
    async with ha_cluster() as (runtime, backend, faults):
        before = await seen(runtime)
        refusal = Fail(EngineError("stop", f"container {SERVER}", "no"))
        faults.orders = (Fault(trouble=refusal, verb="stop_container", times=10**6),)
        with pytest.raises(NotHalted, match=SERVER):
            await stop_nodes([SERVER], backend=backend, sinks=(keeper,))
        assert before == await seen(runtime)
        assert_laws(keeper.events)


@virtual_time
async def test_a_stop_that_has_begun_is_not_cut() -> None:
    """Asked to stop before it: the server runs on as before; after it: it is stopped, and named."""
    for verb, name, expected in (
        ("write_files", "k3d-dev-serverlb", Status.RUNNING),
        ("stop_container", SERVER, Status.EXITED),
    ):
        wish = Stop()
        async with ha_cluster() as (runtime, backend, faults):
            before = await config(runtime)
            faults.orders = (stopping(wish, verb, name),)
            is_stopped = expected is Status.EXITED
            words = f"; {'' if is_stopped else 'not '}stopped: {SERVER}$"
            with pytest.raises(Interrupted, match=words):
                await stop_nodes([SERVER], backend=backend, stop=wish)
            found = await runtime.inspect_container(SERVER)
            assert expected is found.state.status
            assert is_stopped == (" backup;" in await config(runtime))
            assert is_stopped == (before != await config(runtime))
            await delete(["dev"], backend=backend)
