"""Clusters that are changed, on the fake engine: only their load balancer is another one then."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import anyio
import pytest

from k3dasync import events, listening, nginx
from k3dasync.backend import Backend
from k3dasync.cli import main
from k3dasync.cluster import LABEL_RUN
from k3dasync.errors import (
    ClusterNotFound,
    DeadlineExceeded,
    EngineError,
    Interrupted,
    InvalidPort,
    NotFound,
    PortTaken,
    RollbackIncomplete,
    TaskFailed,
)
from k3dasync.fake import Call, Fail, FakeRuntime, Fault, Faults, Hang, Kill, Latency, backend_of
from k3dasync.grammar import filtered
from k3dasync.life_errors import BalancerFailed, NoLoadBalancer, NotEditable
from k3dasync.operations._edits import Changes
from k3dasync.operations._run import Stop
from k3dasync.operations.create import create
from k3dasync.operations.delete import delete
from k3dasync.operations.edit import Outcome, configuration, edit, edit_node
from k3dasync.operations.start import StartOptions, start
from k3dasync.operations.stop import stop_clusters
from k3dasync.runtime import ContainerDetail, PortBinding, Status
from k3dasync.spec import ClusterSpec
from tests.laws import Keeper, assert_laws
from tests.support import virtual_time

BALANCER = "k3d-dev-serverlb"
SPEC = ClusterSpec(name="dev", agents=1, ports=(filtered.parse("25080:80@agent:0"),))


@asynccontextmanager
async def world(
    *orders: Fault, spec: ClusterSpec = SPEC
) -> AsyncIterator[tuple[FakeRuntime, Backend]]:
    """Return an engine with a cluster; the faults come after the create."""
    faults = Faults()
    async with FakeRuntime(latency=Latency.instant(), faults=faults) as runtime:
        backend = backend_of(runtime)
        await create(spec, backend=backend)
        faults.orders = orders
        yield runtime, backend


def added(*texts: str) -> Changes:
    return Changes(ports_added=tuple(map(filtered.parse, texts)))


async def balancer(runtime: FakeRuntime) -> ContainerDetail:
    return await runtime.inspect_container(BALANCER)


async def names(runtime: FakeRuntime) -> set[str]:
    return {one.name for one in await runtime.containers()}


async def answers(backend: Backend, runtime: FakeRuntime) -> bool:
    """Say whether the API answers at the port of the cluster's label."""
    labels = (await runtime.inspect_container("k3d-dev-server-0")).state.labels
    port = int(labels["k3d.server.api.port"])
    async with backend.kubernetes("127.0.0.1", port, None) as kubernetes:
        return await kubernetes.supervisor_answers()


async def test_ports_are_added_and_deleted_and_all_else_stays() -> None:
    """The new load balancer has the old one's name, address and other ports; nodes run on."""
    keeper = Keeper()
    async with world() as (runtime, backend):
        before, all_names = await balancer(runtime), await names(runtime)
        since = (await runtime.inspect_container("k3d-dev-agent-0")).started_at
        changes = replace(added("25081:443@server:0"), ports_deleted=(filtered.parse("9999:99"),))
        outcome = await edit("dev", changes, backend=backend, sinks=(keeper,))
        assert (
            Outcome(cluster="dev", is_changed=True, unchanged=("9999:99 is not published",))
            == outcome
        )
        after = await balancer(runtime)
        assert after.state.id != before.state.id
        assert before.fixed_addresses == after.fixed_addresses
        assert before.state.addresses == after.state.addresses
        assert {*before.state.bound_ports, 25081} == {*after.state.bound_ports}
        assert all_names == await names(runtime)
        assert since == (await runtime.inspect_container("k3d-dev-agent-0")).started_at
        assert before.state.labels.items() < after.state.labels.items()
        values = nginx.read_values(await runtime.read_file(BALANCER, nginx.VALUES_PATH))
        assert values is not None
        assert ["k3d-dev-agent-0"] == values["ports"]["80.tcp"]
        assert ["k3d-dev-server-0"] == values["ports"]["443.tcp"]
        assert await answers(backend, runtime)
        assert_laws(keeper.events)
        assert isinstance(keeper.events[-1], events.RunDone)

        await edit("dev", Changes(ports_deleted=changes.ports_added), backend=backend)
        assert before.bindings == (await balancer(runtime)).bindings


async def test_nothing_to_change_changes_nothing() -> None:
    """What is there already: no run, and the same load balancer."""
    async with world() as (runtime, backend):
        before = await balancer(runtime)
        outcome = await edit("dev", added("25080:80@agent:0"), backend=backend)
        assert not outcome.is_changed
        assert ("25080:80@agent:0 is published already",) == outcome.unchanged
        assert not (await edit("dev", Changes(), backend=backend)).is_changed
        assert before == await balancer(runtime)


async def test_variables_and_labels_of_the_load_balancer() -> None:
    """They are set, replaced and taken away, those of clusters left alone."""
    async with world() as (runtime, backend):
        changes = Changes(
            env_added=(filtered.parse("A=1"), filtered.parse("B=2@loadbalancer")),
            labels_added=(filtered.parse("team=x"),),
        )
        assert (await edit("dev", changes, backend=backend)).is_changed
        again = await edit("dev", changes, backend=backend)
        assert ("variable A is set already", "variable B is set already") == again.unchanged[:2]
        assert not again.is_changed
        changes = Changes(
            env_deleted=(filtered.parse("A"), filtered.parse("C")),
            labels_added=(filtered.parse("team=y"),),
            labels_deleted=(filtered.parse("team"),),
        )
        outcome = await edit("dev", changes, backend=backend)
        assert ("variable C is not set",) == outcome.unchanged
        found = await balancer(runtime)
        assert ("y", "dev") == (found.state.labels["team"], found.state.labels["k3d.cluster"])
        assert "B=2" in found.env
        assert "A=1" not in found.env


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (Changes(env_added=(filtered.parse("A=1@server:0"),)), "variables of a node are fixed"),
        (Changes(labels_added=(filtered.parse("a=b@all"),)), "labels of a node are fixed"),
    ],
)
async def test_what_is_fixed_in_other_nodes_is_refused(changes: Changes, message: str) -> None:
    """The error says so, and the load balancer is not changed either."""
    async with world() as (runtime, backend):
        before = await balancer(runtime)
        with pytest.raises(NotEditable, match=message):
            await edit("dev", changes, backend=backend)
        assert before == await balancer(runtime)


async def test_a_port_of_another_container_is_refused_before_anything_is_made() -> None:
    """By the name of who has it."""
    async with world() as (runtime, backend):
        before = await balancer(runtime)
        binding = PortBinding(port="80", host_ip="", host_port=25090)
        await runtime.add_foreign_container("squatter", "k3d-dev", ports=[binding])
        with pytest.raises(PortTaken, match="container squatter has it"):
            await edit("dev", added("25090:90"), backend=backend)
        assert before == await balancer(runtime)


async def test_clusters_that_cannot_be_edited() -> None:
    """Unknown ones, and those without a load balancer."""
    async with world(spec=ClusterSpec(name="dev", loadbalancer=False)) as (runtime, backend):
        with pytest.raises(ClusterNotFound):
            await edit("nosuch", added("25080:80"), backend=backend)
        with pytest.raises(NoLoadBalancer, match="cluster dev has no load balancer"):
            await edit("dev", added("25080:80"), backend=backend)
        with pytest.raises(NoLoadBalancer):
            await configuration("dev", runtime)


async def test_a_load_balancer_without_a_description_is_left_alone() -> None:
    """Nobody knows where its ports lead."""
    async with world() as (runtime, backend):
        del runtime.machine.inventory.containers[BALANCER].files[nginx.VALUES_PATH]
        with pytest.raises(NotEditable, match=r"/etc/confd/values\.yaml"):
            await edit("dev", added("25081:80"), backend=backend)
        with pytest.raises(NotFound):
            await configuration("dev", runtime)


async def test_a_node_is_edited_if_it_is_a_load_balancer() -> None:
    """By its name, with or without `k3d-`; a port that is forwarded keeps its nodes."""
    async with world() as (runtime, backend):
        changes = replace(added("25081:80", "25082:443"), keeps_targets=True)
        outcome = await edit_node("dev-serverlb", changes, backend=backend)
        assert outcome.is_changed
        values = nginx.read_values(await runtime.read_file(BALANCER, nginx.VALUES_PATH))
        assert values is not None
        assert ["k3d-dev-agent-0"] == values["ports"]["80.tcp"]
        assert ["k3d-dev-server-0", "k3d-dev-agent-0"] == values["ports"]["443.tcp"]
        with pytest.raises(NotEditable, match="its role is server, and only load balancers"):
            await edit_node("k3d-dev-server-0", changes, backend=backend)


async def test_a_stopped_cluster_stays_stopped() -> None:
    """The new load balancer has its place and starts with the cluster."""
    async with world() as (runtime, backend):
        before = await balancer(runtime)
        await stop_clusters(["dev"], backend=backend)
        await edit("dev", added("25081:81"), backend=backend)
        found = await balancer(runtime)
        assert Status.CREATED is found.state.status
        assert before.fixed_addresses == found.fixed_addresses
        await start(["dev"], StartOptions(seconds=300), backend=backend)
        assert 25081 in (await balancer(runtime)).state.bound_ports
        assert await answers(backend, runtime)


async def test_servers_that_stand_by_go_on_to() -> None:
    """Whoever was not to get connections gets none after an edit either."""
    async with world(spec=ClusterSpec(name="dev", servers=3)) as (runtime, backend):
        config = await runtime.read_file(BALANCER, nginx.CONFIG_PATH)
        address = (await runtime.inspect_container("k3d-dev-server-2")).state.addresses["k3d-dev"]
        was = f"server {address}:6443 max_fails=0;".encode()
        held = config.replace(was, was.replace(b";", b" backup;"))
        runtime.machine.inventory.containers[BALANCER].files[nginx.CONFIG_PATH] = held
        await edit("dev", added("25081:81"), backend=backend)
        after = await runtime.read_file(BALANCER, nginx.CONFIG_PATH)
        assert 1 == after.count(b"backup")
        assert was.replace(b";", b" backup;") in after


async def test_an_image_whose_name_means_another_one_by_now() -> None:
    """The new load balancer has the old one's, by its id."""
    async with world() as (runtime, backend):
        before = await balancer(runtime)
        images = runtime.machine.inventory.images
        images[before.state.image] = replace(images[before.state.image], id="sha256:other")
        images["by id"] = replace(images[before.state.image], id=before.image_id, tags=())
        await edit("dev", added("25081:81"), backend=backend)
        assert before.image_id == (await balancer(runtime)).state.image


def failing(verb: str, nth: int) -> Fault:
    error = EngineError("do", f"container {BALANCER}", "no")
    return Fault(trouble=Fail(error), verb=verb, nth=nth)


@pytest.mark.parametrize(
    "order",
    [
        failing("rename_container", 1),
        failing("create_container", 1),
        failing("disconnect_network", 1),
        failing("start_container", 1),
        failing("disconnect_network", 2),
        failing("connect_network", 1),
        failing("remove_container", 1),
    ],
    ids=["rename", "create", "leave", "start", "old leaves", "connect", "remove the old one"],
)
async def test_a_failure_at_any_step_brings_the_old_one_back(order: Fault) -> None:
    """It has its name, its address and its ports, it serves, and nothing else is there."""
    keeper = Keeper()
    async with world(order) as (runtime, backend):
        before, all_names = await balancer(runtime), await names(runtime)
        with pytest.raises(TaskFailed, match="no") as caught:
            await edit("dev", added("25081:81"), backend=backend, sinks=(keeper,))
        assert ["the old load balancer is back: nothing has changed"] == caught.value.__notes__
        assert before == await balancer(runtime)
        assert all_names == await names(runtime)
        assert await answers(backend, runtime)
        assert_laws(keeper.events)
        failed = keeper.events[-1]
        assert isinstance(failed, events.RunFailed)
        assert ((), True) == (failed.left, failed.rolled_back)


async def test_a_missing_image_changes_nothing() -> None:
    """The old load balancer serves on, and the error names the image."""
    async with world() as (runtime, backend):
        before = await balancer(runtime)
        runtime.remove_image(before.state.image)
        with pytest.raises(TaskFailed, match="No such image"):
            await edit("dev", added("25081:81"), backend=backend)
        assert before == await balancer(runtime)


async def test_a_port_that_is_taken_meanwhile() -> None:
    """Somebody is faster after we have looked: the old load balancer is back."""
    binding = PortBinding(port="80", host_ip="", host_port=25081)

    def squat() -> None:
        runtime.machine.group.start_soon(add)

    async def add() -> None:
        await runtime.add_foreign_container("squatter", "k3d-dev", ports=[binding])

    order = Fault(trouble=Call(squat), verb="create_container")
    async with world(order) as (runtime, backend):
        before = await balancer(runtime)
        with pytest.raises(TaskFailed, match="port is already allocated"):
            await edit("dev", added("25081:81"), backend=backend)
        assert before == await balancer(runtime)


async def test_a_killed_edit_is_taken_back_by_a_stop_and_a_start_too() -> None:
    """Else there would be two load balancers that want the same ports."""
    async with world() as (runtime, backend):
        before, all_names = await balancer(runtime), await names(runtime)
        runtime.faults.orders = (Fault(trouble=Kill(), verb="start_container"),)
        with pytest.raises(BaseException):  # noqa: B017 - in a group or not: the process died
            await edit("dev", added("25081:81"), backend=backend)
        runtime.faults.revive()
        await stop_clusters(["dev"], backend=backend)
        assert all_names == await names(runtime)
        await start(["dev"], StartOptions(seconds=300), backend=backend)
        assert before.state.id == (await balancer(runtime)).state.id
        assert await answers(backend, runtime)


async def test_a_cluster_whose_load_balancer_cannot_be_put_back_can_be_deleted() -> None:
    """Everything that has the cluster's labels goes; but a start of it says what is left."""
    async with world() as (runtime, backend):
        runtime.faults.orders = (Fault(trouble=Kill(), verb="start_container"),)
        with pytest.raises(BaseException):  # noqa: B017 - in a group or not: the process died
            await edit("dev", added("25081:81"), backend=backend)
        runtime.faults.revive()
        error = EngineError("rename", f"container {BALANCER}", "no")
        runtime.faults.orders = (Fault(trouble=Fail(error), verb="rename_container", times=99),)
        with pytest.raises(RollbackIncomplete, match=f"which is to be {BALANCER} again"):
            await start(["dev"], StartOptions(seconds=300), backend=backend)
        assert ("dev",) == (await delete(["dev"], backend=backend)).deleted
        assert runtime.is_empty()


@virtual_time
async def test_one_that_exits_is_not_taken() -> None:
    """Its last words are in the error; the old one never stopped serving."""
    async with world() as (runtime, backend):

        def crash() -> None:
            runtime.crash(BALANCER)

        runtime.faults.orders = (Fault(trouble=Call(crash), verb="execute"),)
        before = await balancer(runtime)
        with pytest.raises(TaskFailed, match="it has exited with code 1") as caught:
            await edit("dev", added("25081:81"), backend=backend)
        assert isinstance(caught.value.cause, BalancerFailed)
        assert before == await balancer(runtime)


@virtual_time
async def test_one_through_which_nothing_answers_is_not_kept() -> None:
    """The API did answer before: so the old one comes back after 20 s."""
    async with world() as (runtime, backend):

        def mute() -> None:
            runtime.machine.inventory.containers["k3d-dev-server-0"].serves.clear()

        runtime.faults.orders = (Fault(trouble=Call(mute), verb="connect_network"),)
        before = await balancer(runtime)
        with pytest.raises(TaskFailed, match="nothing answers at https"):
            await edit("dev", added("25081:81"), backend=backend)
        assert before == await balancer(runtime)


async def test_a_cluster_whose_api_does_not_answer_is_edited_all_the_same() -> None:
    """What did not answer before need not answer afterwards."""
    async with world() as (runtime, backend):
        await runtime.stop_container("k3d-dev-server-0")
        assert (await edit("dev", added("25081:81"), backend=backend)).is_changed
        assert Status.RUNNING is (await balancer(runtime)).state.status


@virtual_time
@pytest.mark.parametrize("is_deadline", [True, False])
async def test_an_edit_that_is_stopped_takes_itself_back(is_deadline: bool) -> None:
    """By its deadline or by Ctrl-C, while the new one starts."""
    hanging = Fault(trouble=Hang(), verb="start_container")
    async with world(hanging) as (runtime, backend):
        before, wish = await balancer(runtime), Stop()

        async def after_a_while() -> None:
            await anyio.sleep(5)
            if not is_deadline:
                wish.request("stopped by SIGINT")

        async with anyio.create_task_group() as group:
            group.start_soon(after_a_while)
            seconds = 5.0 if is_deadline else None
            with pytest.raises(DeadlineExceeded if is_deadline else Interrupted):
                await edit("dev", added("25081:81"), backend=backend, stop=wish, seconds=seconds)
        assert before == await balancer(runtime)
        assert await answers(backend, runtime)


async def test_networks_that_a_load_balancer_was_put_into_are_kept() -> None:
    """The cluster's is the first: its ports are published there."""
    async with world() as (runtime, backend):
        runtime.add_foreign_network("other", subnet="10.99.0.0/24")
        await runtime.connect_network(BALANCER, "other", address="10.99.0.9", labels={})
        before = await balancer(runtime)
        await edit("dev", added("25081:81"), backend=backend)
        after = await balancer(runtime)
        assert before.state.addresses == after.state.addresses
        assert before.fixed_addresses == after.fixed_addresses


async def test_without_fixed_addresses_it_goes_by_names() -> None:
    """On a network whose addresses the engine chooses: by alias where nodes have it."""
    async with FakeRuntime(latency=Latency.instant()) as runtime:
        backend = backend_of(runtime)
        runtime.add_foreign_network("shared")
        await create(
            ClusterSpec(
                name="dev",
                servers=2,
                agents=1,
                network="shared",
                ports=(filtered.parse("25080:80@agent:0"),),
            ),
            backend=backend,
        )
        changes = added("25081:81@server:*", "25082:82@agent:0", "25083:83@server:0;agent:0")
        await edit("dev", changes, backend=backend)
        config = (await runtime.read_file(BALANCER, nginx.CONFIG_PATH)).decode()
        assert "default k3d-dev-servers:6443;" in config
        assert "default k3d-dev-port-80-tcp:80;" in config
        assert "default k3d-dev-servers:81;" in config
        assert "default k3d-dev-agent-0:82;" in config
        assert "50.00% k3d-dev-agent-0:83;\n    * k3d-dev-server-0:83;" in config
        assert await answers(backend, runtime)


async def test_a_cluster_of_k3d_keeps_going_by_names() -> None:
    """Its image reads k3d's description only: addresses at first, names as soon as they resolve."""
    async with world(spec=ClusterSpec(name="dev", servers=2, agents=1)) as (runtime, backend):
        as_k3d_made_it(runtime)
        await edit("dev", added("25081:81@agent:0"), backend=backend)
        found = runtime.machine.inventory.containers[BALANCER]
        assert b"server k3d-dev-agent-0:81;" in found.files[nginx.CONFIG_PATH]
        values = nginx.read_values(found.files[nginx.VALUES_PATH])
        assert values is not None
        assert ["k3d-dev-server-0", "k3d-dev-server-1"] == values["ports"]["6443.tcp"]
        assert ["k3d-dev-agent-0"] == values["ports"]["81.tcp"]
        assert LABEL_RUN not in found.spec.labels
        assert await answers(backend, runtime)
        # Names of agents must resolve when it starts, and agents wait for what is behind it.
        await stop_clusters(["dev"], backend=backend)
        await start(["dev"], StartOptions(seconds=300), backend=backend)
        assert await answers(backend, runtime)


def as_k3d_made_it(runtime: FakeRuntime) -> None:
    """Let the load balancer have what k3d gives one."""
    found = runtime.machine.inventory.containers[BALANCER]
    labels = {k: v for k, v in found.spec.labels.items() if not k.startswith("k3dasync.")}
    found.spec = replace(found.spec, labels=labels)
    del found.files[nginx.CONFIG_PATH]


async def test_the_description_of_a_load_balancer_is_shown() -> None:
    """As it stands in it, running or not."""
    async with world() as (runtime, backend):
        shown = await configuration("dev", runtime)
        assert "80.tcp:\n  - k3d-dev-agent-0" in shown
        await stop_clusters(["dev"], backend=backend)
        assert shown == await configuration("dev", runtime)


def test_listening_sockets_are_read_from_proc() -> None:
    """Those of both families and protocols; a connection is none."""
    text = b"""\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:192B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1
   1: 0B00007F:A1B2 00000000:0000 01 00000000:00000000 00:00000000 00000000     0        0 2 1
  sl  local_address                         remote_address                        st tx_queue
   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 00000000
   1: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 3 2
"""
    assert {(6443, "tcp"), (80, "tcp"), (53, "udp")} == listening.sockets(text)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("edit", "dev", "--port-add", "8080:x"), "--port-add '8080:x': expected a port"),
        (("cluster", "edit", "dev", "--port-delete", "80@nobody"), "--port-delete '80@nobody'"),
        (("cluster", "update", "dev", "--env-add", "=1"), "--env-add '=1': expected KEY=VALUE"),
        (("edit", "dev", "--env-add", "NOEQ"), "--env-add 'NOEQ': expected KEY=VALUE"),
        (
            ("edit", "dev", "--runtime-label-add", "x"),
            "--runtime-label-add 'x': expected KEY=VALUE",
        ),
        (("node", "edit", "x", "--port-add", ""), "--port-add ''"),
        (("edit", "Bad_Name", "--port-add", "8080:80"), "cluster name"),
    ],
)
def test_what_is_no_change_is_refused_before_an_engine_is_asked(
    words: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the flag and where it is wrong; exit code 2."""
    assert 2 == main(words)
    assert says in capsys.readouterr().err


async def test_a_port_that_nodes_publish_themselves_is_refused() -> None:
    """The way it was meant is in the error."""
    async with world() as (_, backend):
        with pytest.raises(InvalidPort, match="no :direct"):
            await edit("dev", added("25081:80@server:0:direct"), backend=backend)
