"""Nodes added, deleted, started and stopped, and clusters scaled, on the fake engine."""

from dataclasses import replace

import anyio
import pytest

from k3dasync import events, nginx
from k3dasync.cli import main
from k3dasync.cluster import LABEL_CLUSTER, LABEL_ROLE, Role
from k3dasync.commands._node_flags import NodeFlags
from k3dasync.entrypoint import DRAINED
from k3dasync.errors import (
    ClusterNotFound,
    KubernetesError,
    NameTaken,
    NodeNotFound,
    RollbackIncomplete,
    SpecError,
    TaskFailed,
)
from k3dasync.etcd import EtcdRefused
from k3dasync.fake import (
    Fail,
    FakeRuntime,
    Fault,
    Faults,
    Kill,
    Latency,
    Moment,
    NodeFault,
    ProcessKilled,
    Stage,
    backend_of,
)
from k3dasync.fake.datastore import Datastore
from k3dasync.grammar import filtered
from k3dasync.member_errors import BalancerStale, CannotGrow, NodeNeeded, NothingToAsk
from k3dasync.operations.create import create
from k3dasync.operations.delete import delete
from k3dasync.operations.listing import list_clusters
from k3dasync.operations.node_create import GrowOptions, create_nodes
from k3dasync.operations.node_delete import delete_all_nodes, delete_nodes
from k3dasync.operations.node_elsewhere import create_elsewhere
from k3dasync.operations.node_run import NodeOptions, start_nodes, stop_nodes
from k3dasync.operations.rollback import rollback
from k3dasync.operations.scale import scale
from k3dasync.operations.start import StartOptions, start
from k3dasync.operations.stop import stop_clusters
from k3dasync.quorum import why_not
from k3dasync.resolve import NodeSpec
from k3dasync.runtime import ContainerSpec, Status
from k3dasync.spec import ClusterSpec, read
from k3dasync.spec import Datastore as OutsideDatastore
from tests.laws import Keeper, assert_laws
from tests.support import virtual_time

AGENTS = NodeSpec()
SERVERS = NodeSpec(role=Role.SERVER)
WITHIN = GrowOptions(seconds=600)


def runtime_of(*orders: Fault) -> FakeRuntime:
    return FakeRuntime(latency=Latency.instant(), faults=Faults(orders))


def store_of(runtime: FakeRuntime, server: str = "k3d-dev-server-0") -> Datastore:
    store = runtime.machine.inventory.containers[server].data
    assert isinstance(store, Datastore)
    return store


def members(store: Datastore) -> list[str]:
    return sorted(one.node for one in store.members)


async def config(runtime: FakeRuntime) -> str:
    return (await runtime.read_file("k3d-dev-serverlb", nginx.CONFIG_PATH)).decode()


async def address(runtime: FakeRuntime, name: str) -> str:
    return next(iter((await runtime.inspect_container(name)).fixed_addresses.values()))


async def test_agents_are_like_those_that_are_there() -> None:
    """Image, environment, scripts and network are the cluster's; names and addresses are own."""
    keeper = Keeper()
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        await create(ClusterSpec(name="dev", agents=1, agents_memory=2**30), backend=backend)
        names = ["k3d-extra-0", "k3d-extra-1"]
        out = await create_nodes("dev", names, AGENTS, WITHIN, backend=backend, sinks=(keeper,))

        assert set(names) <= set(out.nodes)
        assert all(store_of(runtime).nodes[name].is_ready for name in names)
        old, new = [await runtime.inspect_container(n) for n in ("k3d-dev-agent-0", "k3d-extra-1")]
        assert set(old.env) == set(new.env)
        assert old.command == new.command
        assert old.binds == new.binds
        assert old.memory == new.memory
        assert old.extra_hosts == new.extra_hosts
        assert "agent" == new.state.labels[LABEL_ROLE]
        assert "dev" == new.state.labels[LABEL_CLUSTER]
        assert old.state.labels["k3dasync.run"] != new.state.labels["k3dasync.run"]
        assert 5 == len({await address(runtime, n) for n in out.nodes})
        for path in await runtime.list_files("k3d-dev-agent-0", "/bin"):
            assert await runtime.read_file("k3d-dev-agent-0", path) == await runtime.read_file(
                "k3d-extra-1", path
            )
        assert_laws(keeper.events)


async def test_what_is_asked_of_new_nodes() -> None:
    """Labels, arguments, ulimits, memory and further networks are theirs alone."""
    wanted = NodeSpec(
        memory=2**29,
        labels={"team": "blue"},
        node_labels=("disk=ssd",),
        arguments=("--kubelet-arg=v=2",),
        networks=("other",),
    )
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        runtime.add_foreign_network("other")
        await create(ClusterSpec(name="dev"), backend=backend)
        await create_nodes("dev", ["k3d-a-0"], wanted, WITHIN, backend=backend)
        made = await runtime.inspect_container("k3d-a-0")

        assert 2**29 == made.memory
        assert "blue" == made.state.labels["team"]
        assert ("agent", "--kubelet-arg=v=2", "--node-label", "disk=ssd") == made.command
        assert {"k3d-dev", "other"} == set(made.state.addresses)
        assert b"MemTotal" in await runtime.read_file("k3d-a-0", "/etc/k3d/meminfo")
        assert "k3d.server.api.port" not in made.state.labels


@virtual_time
async def test_servers_join_one_at_a_time_and_take_connections() -> None:
    """Three more servers are voting members, Ready, and behind the load balancer."""
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        await create(ClusterSpec(name="dev", servers=3), backend=backend)
        names = [f"k3d-more-{number}" for number in range(2)]
        await create_nodes("dev", names, SERVERS, WITHIN, backend=backend)
        store = store_of(runtime)

        assert 5 == len(store.members)
        assert not any(one.is_learner for one in store.members)
        text = await config(runtime)
        for name in names:
            assert f"server {await address(runtime, name)}:6443" in text
            labels = (await runtime.inspect_container(name)).state.labels
            assert "false" == labels["k3d.server.init"]
            assert await address(runtime, name) == labels["k3d.node.staticIP"]
        assert "backup" not in text


async def test_a_port_of_all_nodes_leads_to_new_ones_too() -> None:
    """One that was for a single agent stays as it is."""
    ports = tuple(
        read("--port", filtered.parse, text)
        for text in ("8080:80@loadbalancer", "8081:81@agent:0:proxy")
    )
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        await create(ClusterSpec(name="dev", agents=2, ports=ports), backend=backend)
        await create_nodes("dev", ["k3d-a-0"], AGENTS, WITHIN, backend=backend)
        values = nginx.read_values(await runtime.read_file("k3d-dev-serverlb", nginx.VALUES_PATH))

        assert values is not None
        assert "k3d-a-0" in values["ports"]["80.tcp"]
        assert ["k3d-dev-agent-0"] == values["ports"]["81.tcp"]
        await delete_nodes(["a-0", "dev-agent-0"], backend=backend)
        values = nginx.read_values(await runtime.read_file("k3d-dev-serverlb", nginx.VALUES_PATH))
        assert values is not None
        assert ["k3d-dev-server-0", "k3d-dev-agent-1"] == values["ports"]["80.tcp"]
        assert "81.tcp" not in values["ports"]


async def test_refusals_come_before_anything_is_made() -> None:
    """Unknown clusters, names that are taken, SQLite, a cluster that does not run."""
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        await create(ClusterSpec(name="dev", agents=1), backend=backend)
        before = runtime.machine.inventory.snapshot()
        with pytest.raises(ClusterNotFound):
            await create_nodes("nosuch", ["k3d-a-0"], AGENTS, WITHIN, backend=backend)
        with pytest.raises(NameTaken, match="a node of cluster dev"):
            await create_nodes("dev", ["k3d-dev-agent-0"], AGENTS, WITHIN, backend=backend)
        with pytest.raises(CannotGrow, match="SQLite"):
            await create_nodes("dev", ["k3d-a-0"], SERVERS, WITHIN, backend=backend)
        await stop_clusters(["dev"], backend=backend)
        with pytest.raises(NothingToAsk, match="k3dasync start dev"):
            await create_nodes("dev", ["k3d-a-0"], AGENTS, WITHIN, backend=backend)
        assert before == runtime.machine.inventory.snapshot()


@virtual_time
@pytest.mark.parametrize("role", [Role.SERVER, Role.AGENT])
async def test_a_failure_takes_everything_back(role: Role) -> None:
    """Containers, Node objects, passwords, members of etcd, and the load balancer's files."""
    faults = Faults((NodeFault(node="k3d-more-1", stage=Stage.READY),))
    async with FakeRuntime(faults=faults) as runtime:
        backend = backend_of(runtime)
        await create(ClusterSpec(name="dev", servers=3), backend=backend)
        before, files = runtime.machine.inventory.snapshot(), await config(runtime)
        keeper = Keeper()
        names = ["k3d-more-0", "k3d-more-1"]
        with pytest.raises(TaskFailed, match="k3d-more-1") as caught:
            await create_nodes(
                "dev", names, NodeSpec(role=role), WITHIN, backend=backend, sinks=(keeper,)
            )

        assert ["rolled back: nothing of this run is left"] == caught.value.__notes__
        assert before == runtime.machine.inventory.snapshot()
        store = store_of(runtime)
        assert 3 == len(store.members) == len(store.nodes) == len(store.passwords)
        assert files == await config(runtime)
        assert_laws(keeper.events)
        faults.orders = ()
        await create_nodes("dev", names, NodeSpec(role=role), WITHIN, backend=backend)
        assert all(store_of(runtime).nodes[name].is_ready for name in names)


@virtual_time
async def test_the_only_server_survives_a_failed_second_one() -> None:
    """Of two members none can go when one is dead: the new one goes before its container does."""
    cluster_init = read("--k3s-arg", filtered.parse, "--cluster-init@server:0")
    faults = Faults((NodeFault(node="k3d-more-0", stage=Stage.READY),))
    async with FakeRuntime(faults=faults) as runtime:
        backend = backend_of(runtime)
        await create(ClusterSpec(name="dev", k3s_args=(cluster_init,)), backend=backend)
        with pytest.raises(TaskFailed):
            await create_nodes("dev", ["k3d-more-0"], SERVERS, WITHIN, backend=backend)
        store = store_of(runtime)

        assert ["k3d-dev-server-0"] == members(store)
        assert store.has_quorum


@virtual_time
async def test_a_server_that_etcd_cannot_let_go_stays() -> None:
    """Without it there would be no quorum: what is left is named, and rollback tries once more."""
    cluster_init = read("--k3s-arg", filtered.parse, "--cluster-init@server:0")
    refusal = Fault(trouble=Fail(EtcdRefused("no")), verb="remove_member", times=10**6)
    faults = Faults((NodeFault(node="k3d-more-0", stage=Stage.READY), refusal))
    async with FakeRuntime(faults=faults) as runtime:
        backend = backend_of(runtime)
        await create(ClusterSpec(name="dev", k3s_args=(cluster_init,)), backend=backend)
        with pytest.raises(RollbackIncomplete, match="container k3d-more-0, node k3d-more-0"):
            await create_nodes("dev", ["k3d-more-0"], SERVERS, WITHIN, backend=backend)
        faults.orders = ()
        await rollback("dev", backend=backend)
        assert ["k3d-dev-server-0"] == members(store_of(runtime))
        assert "k3d-more-0" not in [one.name for one in await runtime.containers()]


@virtual_time
@pytest.mark.parametrize("verb", ["start_container", "create_container", "write_files"])
async def test_a_killed_create_is_finished_by_rollback(verb: str) -> None:
    """Whatever the process was about when it died: nothing of it is left afterwards."""
    kill = Fault(trouble=Kill(), verb=verb, name="k3d-more-0", moment=Moment.AFTER)
    if verb == "write_files":
        kill = replace(kill, name="k3d-dev-serverlb")
    faults = Faults()
    async with FakeRuntime(faults=faults) as runtime:
        backend = backend_of(runtime)
        await create(ClusterSpec(name="dev", servers=3), backend=backend)
        before, files = runtime.machine.inventory.snapshot(), await config(runtime)
        faults.orders = (kill,)
        with pytest.raises((ProcessKilled, BaseExceptionGroup)):
            await create_nodes("dev", ["k3d-more-0"], SERVERS, WITHIN, backend=backend)
        faults.orders = ()
        faults.revive()
        assert before != runtime.machine.inventory.snapshot() or files != await config(runtime)
        assert 1 == len(await rollback("dev", backend=backend))

        assert before == runtime.machine.inventory.snapshot()
        assert files == await config(runtime)
        assert 3 == len(store_of(runtime).members)


async def test_a_deleted_agent_is_forgotten_and_its_name_is_free() -> None:
    """Drained first, then gone with Node object and password; the same name comes back Ready."""
    keeper = Keeper()
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        await create(ClusterSpec(name="dev", agents=2), backend=backend)
        done = await delete_nodes(["dev-agent-1", "nosuch"], backend=backend, sinks=(keeper,))

        assert (("k3d-dev-agent-1",), ("nosuch",)) == (done.deleted, done.absent)
        store = store_of(runtime)
        assert {"k3d-dev-agent-1"} == store.drained
        assert "k3d-dev-agent-1" not in {*store.nodes, *store.passwords}
        assert_laws(keeper.events)
        await create_nodes("dev", ["k3d-dev-agent-1"], AGENTS, WITHIN, backend=backend)
        assert store_of(runtime).nodes["k3d-dev-agent-1"].is_ready


@virtual_time
async def test_deleted_servers_leave_etcd_and_the_load_balancer() -> None:
    """Of three servers the first and the last go at once, and one by its name comes back."""
    async with FakeRuntime() as runtime:
        backend = backend_of(runtime)
        await create(ClusterSpec(name="dev", servers=3, agents=1), backend=backend)
        gone = await address(runtime, "k3d-dev-server-0")
        await delete_nodes(["dev-server-0", "dev-server-2"], backend=backend)
        store = store_of(runtime, "k3d-dev-server-1")

        assert ["k3d-dev-server-1"] == members(store)
        assert store.has_quorum
        assert {"k3d-dev-server-1", "k3d-dev-agent-0"} == set(store.nodes)
        assert gone not in await config(runtime)
        await create_nodes("dev", ["k3d-dev-server-2"], SERVERS, WITHIN, backend=backend)
        assert ["k3d-dev-server-1", "k3d-dev-server-2"] == members(store)
        url = "K3S_URL=https://k3d-dev-serverlb:6443"
        assert url in (await runtime.inspect_container("k3d-dev-server-2")).env


@virtual_time
async def test_servers_that_are_needed_stay() -> None:
    """The last one, and those without which etcd has no quorum: refused, unless forced."""
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        await create(ClusterSpec(name="dev", servers=3), backend=backend)
        every = [f"dev-server-{number}" for number in range(3)]
        with pytest.raises(NodeNeeded, match="k3dasync delete dev"):
            await delete_nodes(every, backend=backend)
        await stop_nodes(["dev-server-1"], backend=backend)
        with pytest.raises(NodeNeeded, match="would lose its quorum: 1 of 2"):
            await delete_nodes(["dev-server-2"], backend=backend)
        await delete_nodes(["dev-server-1"], backend=backend)  # the dead may go
        assert ["k3d-dev-server-0", "k3d-dev-server-2"] == members(store_of(runtime))
        keeper = Keeper()
        rest = ["dev-server-0", "dev-server-2"]
        await delete_nodes(rest, forced=True, backend=backend, sinks=(keeper,))
        told = [one.text for one in keeper.events if isinstance(one, events.Warned)]
        assert any(text.startswith("forced") for text in told)
        left = await runtime.containers({LABEL_CLUSTER: "dev"})
        assert ["k3d-dev-serverlb"] == [one.name for one in left]


async def test_nodes_of_a_stopped_cluster_are_refused_unless_forced() -> None:
    """Nobody could be told that they are gone."""
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        await create(ClusterSpec(name="dev", agents=1), backend=backend)
        await stop_clusters(["dev"], backend=backend)
        with pytest.raises(NothingToAsk):
            await delete_nodes(["dev-agent-0"], backend=backend)
        assert 3 == len(await runtime.containers({LABEL_CLUSTER: "dev"}))
        await delete_nodes(["dev-agent-0"], forced=True, backend=backend)
        assert 2 == len(await runtime.containers({LABEL_CLUSTER: "dev"}))


async def test_all_nodes_of_all_clusters_and_registries() -> None:
    """Without -r registries stay; networks and volumes stay in any case, as with k3d."""
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        for name in "ab":
            await create(ClusterSpec(name=name, agents=1), backend=backend)
        done = await delete_all_nodes(registries=False, backend=backend)

        assert 6 == len(done.deleted)
        assert [] == list(await runtime.containers())
        assert 2 == len([one for one in await runtime.networks() if "k3d-" in one.name])


@virtual_time
async def test_what_cannot_be_forgotten_is_named() -> None:
    """The container is gone, the Node object is not: exit code 3, and how to finish."""
    error = KubernetesError("no")
    failing = Fault(trouble=Fail(error), verb="delete_node", times=10**6)
    async with FakeRuntime(faults=Faults((failing,))) as runtime:
        backend = backend_of(runtime)
        await create(ClusterSpec(name="dev", agents=1), backend=backend)
        with pytest.raises(RollbackIncomplete, match="Node object of k3d-dev-agent-0") as caught:
            await delete_nodes(["dev-agent-0"], backend=backend)
        assert "finish with: k3dasync node delete k3d-dev-agent-0" in str(caught.value)
        runtime.faults.orders = ()
        again = await delete_nodes(["dev-agent-0"], backend=backend)
        assert (("k3d-dev-agent-0",), ()) == (again.deleted, again.absent)
        assert {"k3d-dev-server-0"} == set(store_of(runtime).nodes)
        once_more = await delete_nodes(["dev-agent-0"], backend=backend)
        assert ((), ("dev-agent-0",)) == (once_more.deleted, once_more.absent)


@virtual_time
async def test_a_stopped_server_is_drained_and_stands_by() -> None:
    """It is not told to be short, unlike those of a whole cluster; started, it is used again."""
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        await create(ClusterSpec(name="dev", servers=3, agents=1), backend=backend)
        names = ["dev-server-1", "dev-agent-0"]
        ends = await stop_nodes(names, backend=backend)
        assert ["k3d-dev-agent-0", "k3d-dev-server-1"] == ends.done
        written = [name for verb, name in runtime.faults.calls if verb == "write_files"]
        assert "k3d-dev-server-1" not in written
        standby = f"server {await address(runtime, 'k3d-dev-server-1')}:6443 max_fails=0 backup;"
        assert standby in await config(runtime)
        assert names[:0] == (await stop_nodes(names, backend=backend)).done

        keeper = Keeper()
        options = NodeOptions(seconds=100)
        ends = await start_nodes(names, options, backend=backend, sinks=(keeper,))
        assert ["k3d-dev-agent-0", "k3d-dev-server-1"] == ends.done
        assert "backup" not in await config(runtime)
        assert all(node.is_ready for node in store_of(runtime).nodes.values())
        assert_laws(keeper.events)


async def test_unknown_nodes_are_refused_before_anything_is_touched() -> None:
    """One wrong name of several: nothing is stopped or started."""
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        await create(ClusterSpec(name="dev"), backend=backend)
        with pytest.raises(NodeNotFound, match="nosuch"):
            await stop_nodes(["dev-server-0", "nosuch"], backend=backend)
        with pytest.raises(NodeNotFound, match="nosuch"):
            await start_nodes(["nosuch"], NodeOptions(), backend=backend)
        found = await runtime.inspect_container("k3d-dev-server-0")
        assert Status.RUNNING is found.state.status


async def test_nobody_waits_for_what_cannot_be_known() -> None:
    """An agent whose servers do not run is started, and the log says why that is all."""
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        await create(ClusterSpec(name="dev", agents=1), backend=backend)
        await stop_clusters(["dev"], backend=backend)
        keeper = Keeper()
        await start_nodes(["dev-agent-0"], NodeOptions(), backend=backend, sinks=(keeper,))
        told = [one.text for one in keeper.events if isinstance(one, events.Warned)]
        assert [
            "k3d-dev-agent-0: started, and not waited for: no server of cluster dev runs"
        ] == told


@virtual_time
async def test_scale_up_and_down_is_idempotent() -> None:
    """The lowest free numbers come, the highest go; a second time nothing happens."""
    async with FakeRuntime() as runtime:
        backend = backend_of(runtime)
        await create(ClusterSpec(name="dev", servers=3, agents=2), backend=backend)
        await delete_nodes(["dev-agent-0"], backend=backend)
        done = await scale("dev", {Role.AGENT: 4, Role.SERVER: 5}, WITHIN, backend=backend)
        agents = {"k3d-dev-agent-0", "k3d-dev-agent-2", "k3d-dev-agent-3"}
        assert agents | {"k3d-dev-server-3", "k3d-dev-server-4"} == set(done.added)
        again = await scale("dev", {Role.AGENT: 4, Role.SERVER: 5}, WITHIN, backend=backend)
        assert ((), ()) == (again.added, again.removed)
        done = await scale("dev", {Role.AGENT: 1, Role.SERVER: 1}, WITHIN, backend=backend)
        assert 7 == len(done.removed)
        store = store_of(runtime)
        assert {"k3d-dev-server-0", "k3d-dev-agent-0"} == set(store.nodes)
        assert ["k3d-dev-server-0"] == members(store)


async def test_more_servers_than_sqlite_has_are_refused() -> None:
    """The error says how a cluster is made that can grow."""
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        await create(ClusterSpec(name="dev"), backend=backend)
        with pytest.raises(CannotGrow, match="--servers 3"):
            await scale("dev", {Role.SERVER: 3}, WITHIN, backend=backend)


async def test_no_server_is_added_while_another_one_is_away() -> None:
    """Etcd would refuse it eight times over; agents can be added all the same."""
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        await create(ClusterSpec(name="dev", servers=3), backend=backend)
        await runtime.stop_container("k3d-dev-server-2")
        with pytest.raises(CannotGrow, match="takes no member while one is away, and 2 of 3"):
            await create_nodes("dev", ["k3d-a-0"], SERVERS, WITHIN, backend=backend)
        await create_nodes("dev", ["k3d-a-0"], AGENTS, WITHIN, backend=backend)


async def test_whoever_had_the_name_is_forgotten_first() -> None:
    """A container that went without a word has left a Node and a member of etcd."""
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        await create(ClusterSpec(name="dev", servers=3), backend=backend)
        await runtime.remove_container("k3d-dev-server-2", {})
        await scale("dev", {Role.SERVER: 3}, WITHIN, backend=backend)
        store = store_of(runtime)
        assert 3 == len(members(store))
        assert {f"k3d-dev-server-{number}" for number in range(3)} == set(store.nodes)


async def test_a_start_waits_until_a_drained_server_is_uncordoned() -> None:
    """Its start script undoes what it did before the stop, and tells by removing a file."""
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        await create(ClusterSpec(name="dev", servers=3), backend=backend)
        await stop_nodes(["k3d-dev-server-1"], backend=backend)
        server = runtime.machine.inventory.containers["k3d-dev-server-1"]
        server.files[DRAINED] = b""
        is_started = anyio.Event()

        async def restart() -> None:
            await start_nodes(["k3d-dev-server-1"], NodeOptions(seconds=60), backend=backend)
            is_started.set()

        async with anyio.create_task_group() as group:
            group.start_soon(restart)
            await anyio.sleep(2)
            assert not is_started.is_set()
            del server.files[DRAINED]


async def test_former_holders_of_many_names_are_forgotten_at_once() -> None:
    """One task, which reads the file with old passwords once."""
    path = "/var/lib/rancher/k3s/server/cred/node-passwd"
    names = [f"k3d-a-{number}" for number in range(5)]
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        await create(ClusterSpec(name="dev", agents=1), backend=backend)
        server = runtime.machine.inventory.containers["k3d-dev-server-0"]
        server.files[path] = b"aa,k3d-a-0,k3d-a-0,\nbb,k3d-dev-agent-0,x,\ncc,k3d-a-4,y,\n"
        store_of(runtime).passwords |= dict.fromkeys(names, "of another")
        keeper = Keeper()
        await create_nodes("dev", names, AGENTS, WITHIN, backend=backend, sinks=(keeper,))

        assert b"bb,k3d-dev-agent-0,x,\n" == server.files[path]
        assert all(store_of(runtime).nodes[name].is_ready for name in names)
        kinds = [one.task for one in keeper.events if isinstance(one, events.TaskDone)]
        assert ["forget:dev"] == [one for one in kinds if one.startswith("forget:")]


async def test_old_password_files_lose_their_line() -> None:
    """k3s before 1.20 keeps passwords in a file on each server."""
    path = "/var/lib/rancher/k3s/server/cred/node-passwd"
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        await create(ClusterSpec(name="dev", agents=2), backend=backend)
        files = runtime.machine.inventory.containers["k3d-dev-server-0"].files
        files[path] = b"aa,k3d-dev-agent-0,k3d-dev-agent-0,\nbb,k3d-dev-agent-1,x,\n"
        await delete_nodes(["dev-agent-0"], backend=backend)
        assert b"bb,k3d-dev-agent-1,x,\n" == files[path]


@virtual_time
async def test_new_nodes_come_at_once() -> None:
    """Five agents take about as long as one."""
    took = []
    for count in (1, 5):
        async with FakeRuntime() as runtime:
            backend = backend_of(runtime)
            await create(ClusterSpec(name="dev"), backend=backend)
            began = anyio.current_time()
            names = [f"k3d-a-{number}" for number in range(count)]
            await create_nodes("dev", names, AGENTS, WITHIN, backend=backend)
            took.append(anyio.current_time() - began)
    assert took[1] < 2 * took[0]


async def test_agents_of_a_cluster_elsewhere() -> None:
    """Known by URL and token alone: Ready as they say themselves, listed, stopped, deleted."""
    url = "https://k3d-far-server-0:6443"
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        await create(ClusterSpec(name="far", token="sesame"), backend=backend)
        wanted = NodeSpec(token="sesame", networks=("k3d-far",), node_labels=("a=b",))
        names = ["k3d-near-0", "k3d-near-1"]
        await create_elsewhere(url, names, wanted, WITHIN, backend=backend)
        assert all(store_of(runtime, "k3d-far-server-0").nodes[name].is_ready for name in names)
        made = await runtime.inspect_container("k3d-near-0")
        assert ("agent", "--node-label", "a=b") == made.command
        assert (url, "true") == (
            made.state.labels[LABEL_CLUSTER],
            made.state.labels["k3d.cluster.external"],
        )

        assert ["far", url] == [one.name for one in await list_clusters(runtime)]
        await stop_clusters(None, backend=backend)
        assert (url, "far") == tuple(reversed(await start(None, StartOptions(), backend=backend)))
        await stop_nodes(["near-0"], backend=backend)
        again = Keeper()
        await start_nodes(["near-0"], NodeOptions(seconds=60), backend=backend, sinks=(again,))
        assert ["start", "ready"] == [
            one.task.partition(":")[0] for one in again.events if isinstance(one, events.TaskDone)
        ]
        assert [] == [one for one in again.events if isinstance(one, events.Warned)]
        keeper = Keeper()
        await delete_nodes(["near-0"], backend=backend, sinks=(keeper,))
        told = [one.text for one in keeper.events if isinstance(one, events.Warned)]
        assert [f"the cluster at {url} is not told; there: kubectl delete node k3d-near-0"] == told
        keeper = Keeper()
        done = await delete(None, backend=backend, sinks=(keeper,))
        told = [one.text for one in keeper.events if isinstance(one, events.Warned)]
        assert [f"the cluster at {url} is not told; there: kubectl delete node k3d-near-1"] == told
        assert ("far", url) == done.deleted
        assert [] == list(await runtime.containers())


@virtual_time
@pytest.mark.parametrize(
    ("host", "token", "code"),
    [
        ("k3d-far-server-0", "wrong", "TOKEN_MISMATCH"),
        ("k3d-far-server-0", "sesame", "NODE_PASSWORD_REJECTED"),
        ("k3d-nosuch-server-0", "sesame", "API_UNREACHABLE"),
    ],
)
async def test_an_agent_that_cannot_join_a_cluster_elsewhere_says_why(
    host: str, token: str, code: str
) -> None:
    """Within seconds, and with its own words; it is gone again."""
    async with FakeRuntime() as runtime:
        backend = backend_of(runtime)
        await create(ClusterSpec(name="far", token="sesame"), backend=backend)
        store_of(runtime, "k3d-far-server-0").passwords["k3d-near-0"] = "another"
        wanted = NodeSpec(token=token, networks=("k3d-far",))
        began, url = anyio.current_time(), f"https://{host}:6443"
        with pytest.raises(TaskFailed, match="its last words") as caught:
            await create_elsewhere(url, ["k3d-near-0"], wanted, WITHIN, backend=backend)

        assert code == caught.value.code
        assert caught.value.hint
        assert anyio.current_time() - began < 40
        assert "k3d-near-0" not in [one.name for one in await runtime.containers()]


@virtual_time
async def test_a_stop_that_ends_the_quorum_says_so() -> None:
    """Before it is done, with the way back; nothing is said of one that etcd can do without."""
    async with FakeRuntime() as runtime:
        backend = backend_of(runtime)
        await create(ClusterSpec(name="dev", servers=3), backend=backend)
        keeper = Keeper()
        await stop_nodes(["dev-server-1"], backend=backend, sinks=(keeper,))
        assert [] == [one for one in keeper.events if isinstance(one, events.Warned)]
        await stop_nodes(["dev-server-2"], backend=backend, sinks=(keeper,))
        [told] = [one.text for one in keeper.events if isinstance(one, events.Warned)]
        assert told.startswith("without k3d-dev-server-2 etcd has no quorum, 1 of 3 servers")
        assert told.endswith("k3dasync node start k3d-dev-server-2")
        await start_nodes(["dev-server-2"], NodeOptions(seconds=200), backend=backend)
        await start_nodes(["dev-server-1"], NodeOptions(seconds=200), backend=backend)
        assert all(node.is_ready for node in store_of(runtime).nodes.values())
        assert "backup" not in await config(runtime)


async def test_a_name_that_is_repeated_counts_once() -> None:
    """With and without `k3d-`."""
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        await create(ClusterSpec(name="dev", agents=1), backend=backend)
        names = ["dev-agent-0", "dev-agent-0", "k3d-dev-agent-0"]
        assert ["k3d-dev-agent-0"] == (await stop_nodes(names, backend=backend)).done
        started = await start_nodes(names, NodeOptions(seconds=60), backend=backend)
        assert ["k3d-dev-agent-0"] == started.done
        done = await delete_nodes([*names, "nosuch", "nosuch"], backend=backend)
        assert (("k3d-dev-agent-0",), ("nosuch",)) == (done.deleted, done.absent)


@pytest.mark.parametrize(
    ("url", "wanted", "words"),
    [
        ("https://x:6443", NodeSpec(), "add --token"),
        ("https://x:6443", replace(SERVERS, token="t"), "--role server"),
        ("https://", NodeSpec(token="t"), "expected https://HOST:PORT"),
        ("https://x:6443", NodeSpec(token="t", networks=("nosuch",)), "no such network"),
    ],
)
async def test_what_a_cluster_elsewhere_cannot_have(url: str, wanted: NodeSpec, words: str) -> None:
    """Refused before anything is made."""
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        with pytest.raises(SpecError, match=words):
            await create_elsewhere(url, ["k3d-a-0"], wanted, WITHIN, backend=backend)
        assert runtime.is_empty()


def test_the_quorum_decides_who_may_leave() -> None:
    """The dead may always go while there is a quorum; the living as long as one is left."""
    servers = ["a", "b", "c", "d", "e"]
    assert "" == why_not(servers, servers, servers[1:])
    assert "" == why_not(servers[:3], ["a", "b"], ["c"])
    assert "" == why_not(servers[:3], ["a", "b"], ["b", "c"])
    assert "would lose its quorum" in why_not(servers[:3], ["a", "b"], ["b"])
    assert "has no quorum: 1 of 3" in why_not(servers[:3], ["a"], ["b"])
    assert "" == why_not(servers[:2], servers[:2], ["b"])
    assert "would lose its quorum: 0 of 0" in why_not(["a"], ["a"], ["a"])


def as_k3d_makes_it(runtime: FakeRuntime) -> dict[str, bytes]:
    """Turn our load balancer into one of k3d's image, and return its files."""
    balancer = runtime.machine.inventory.containers["k3d-dev-serverlb"]
    labels = {key: value for key, value in balancer.spec.labels.items() if "k3dasync" not in key}
    balancer.spec = replace(balancer.spec, labels=labels)
    del balancer.files[nginx.CONFIG_PATH]
    return balancer.files


def rendered(values: bytes) -> bytes:
    """Return what k3d's image makes of its file, as far as it matters here."""
    found = nginx.read_values(values)
    assert found is not None
    lines = [
        f"    server {name}:{key.partition('.')[0]} max_fails=1;"
        for key, names in found["ports"].items()
        for name in names
    ]
    return "\n".join(lines).encode()


@virtual_time
async def test_a_load_balancer_of_k3d_is_seen_to_take_its_file() -> None:
    """When its own nginx's file says so; its ports are in the new one, and the server too."""
    async with FakeRuntime() as runtime:
        backend = backend_of(runtime)
        await create(ClusterSpec(name="dev", servers=3), backend=backend)
        files = as_k3d_makes_it(runtime)

        async def confd() -> None:
            while True:
                files[nginx.CONFIG_PATH] = rendered(files[nginx.VALUES_PATH])
                await anyio.sleep(1)

        async with anyio.create_task_group() as group:
            group.start_soon(confd)
            await create_nodes("dev", ["k3d-a-0"], SERVERS, WITHIN, backend=backend)
            group.cancel_scope.cancel()
        assert b"server k3d-a-0:6443" in files[nginx.CONFIG_PATH]


@virtual_time
async def test_a_load_balancer_of_k3d_that_takes_nothing() -> None:
    """The run fails after a while, and the file is as it was."""
    async with FakeRuntime() as runtime:
        backend = backend_of(runtime)
        await create(ClusterSpec(name="dev", servers=3), backend=backend)
        files = as_k3d_makes_it(runtime)
        before = files[nginx.VALUES_PATH]
        with pytest.raises(TaskFailed) as caught:
            await create_nodes("dev", ["k3d-a-0"], SERVERS, WITHIN, backend=backend)
        assert BalancerStale.code == caught.value.code
        assert before == files[nginx.VALUES_PATH]
        assert 3 == len(store_of(runtime).members)


@virtual_time
async def test_a_killed_create_of_nodes_does_not_keep_a_cluster_from_being_deleted() -> None:
    """Stopped since, it cannot be told of the node any more, and need not be."""
    faults = Faults()
    async with FakeRuntime(faults=faults) as runtime:
        backend = backend_of(runtime)
        await create(ClusterSpec(name="dev", servers=3), backend=backend)
        kill = Fault(trouble=Kill(), verb="start_container", name="k3d-a-0", moment=Moment.AFTER)
        faults.orders = (kill,)
        with pytest.raises((ProcessKilled, BaseExceptionGroup)):
            await create_nodes("dev", ["k3d-a-0"], SERVERS, WITHIN, backend=backend)
        faults.orders = ()
        faults.revive()
        for one in await runtime.containers():
            await runtime.stop_container(one.name)
        with pytest.raises(RollbackIncomplete, match="node k3d-a-0 in its cluster"):
            await rollback("dev", backend=backend)
        assert ("dev",) == (await delete(["dev"], backend=backend)).deleted
        assert [] == list(await runtime.containers())


async def test_the_network_of_the_host_has_room_for_one() -> None:
    """Refused, as any other node would want the same ports."""
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        spec = ClusterSpec(name="dev", network="host", loadbalancer=False)
        await create(spec, backend=backend)
        with pytest.raises(CannotGrow, match="host's network"):
            await create_nodes("dev", ["k3d-a-0"], AGENTS, WITHIN, backend=backend)


async def test_servers_share_a_datastore_outside() -> None:
    """A new one is told of it, and joins nobody; its certificates are copied."""
    store = OutsideDatastore(endpoint="https://etcd.example:2379")
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        await create(ClusterSpec(name="dev", datastore=store), backend=backend)
        await create_nodes("dev", ["k3d-a-0"], SERVERS, WITHIN, backend=backend)
        env = (await runtime.inspect_container("k3d-a-0")).env
        assert "K3S_DATASTORE_ENDPOINT=https://etcd.example:2379" in env
        assert not [entry for entry in env if entry.startswith("K3S_URL")]
        await runtime.read_file("k3d-a-0", "/etc/rancher/node/password")
        await create_nodes("dev", ["k3d-b-0"], AGENTS, WITHIN, backend=backend)
        env = (await runtime.inspect_container("k3d-b-0")).env
        assert not [entry for entry in env if entry.startswith("K3S_DATASTORE")]
        await delete_nodes(["a-0"], backend=backend)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["create", "Bad_Name"], "INVALID_NAME"),
        (["create", "x" * 60], "INVALID_NAME"),
        (["create", "x", "--replicas", "0"], "INVALID_COUNT"),
        (["create", "x", "--role", "loadbalancer"], "INVALID_VALUE"),
        (["create", "x", "--wait=quorum"], "INVALID_WAIT"),
        (["create", "x", "--memory", "1k"], "INVALID_VALUE"),
        (["create", "x", "--runtime-label", "app=x"], "INVALID_SYNTAX"),
        (["create", "x", "--cluster", "https://y"], "CONFLICTING_FLAGS"),
        (["create", "x", "--cluster", "nosuch"], "CLUSTER_NOT_FOUND"),
        (["delete"], "MISSING_VALUE"),
        (["delete", "x", "--all"], "CONFLICTING_FLAGS"),
        (["delete", "x", "-r"], "CONFLICTING_FLAGS"),
        (["start"], "MISSING_VALUE"),
        (["start", ""], "MISSING_VALUE"),
        (["stop", ""], "MISSING_VALUE"),
        (["delete", "x", ""], "MISSING_VALUE"),
        (["stop", "nosuch"], "NODE_NOT_FOUND"),
    ],
)
def test_what_is_written_wrong(
    words: list[str], code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each has the code of its kind."""
    assert main(["node", *words, "--runtime", "fake"])
    assert f"[{code}]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["dev"], "MISSING_VALUE"),
        (["dev", "--servers", "0"], "INVALID_COUNT"),
        (["dev", "--agents", "-1"], "INVALID_COUNT"),
        (["dev", "--agents", "1"], "CLUSTER_NOT_FOUND"),
    ],
)
def test_what_cannot_be_scaled(
    words: list[str], code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each has the code of its kind."""
    assert main(["scale", *words, "--runtime", "fake"])
    assert f"[{code}]" in capsys.readouterr().err


def test_lists_are_split_at_commas_as_k3d_does_it() -> None:
    """Labels, limits and networks; arguments for k3s are taken as they are."""
    flags = NodeFlags(
        runtime_label=("a=1,b=2",),
        k3s_node_label=("c=3,d=4", "e=5"),
        network=("x,y",),
        k3s_arg=("--kubelet-arg=a=1,b=2",),
        memory="1g",
    )
    spec = flags.spec()
    assert {"a": "1", "b": "2"} == spec.labels
    assert ("c=3", "d=4", "e=5") == spec.node_labels
    assert ("x", "y") == spec.networks
    assert ("--kubelet-arg=a=1,b=2",) == spec.arguments
    assert 2**30 == spec.memory
    assert ("k3d-x-0",) == flags.names("x")


async def test_registries_by_themselves_are_nodes_too() -> None:
    """Stopped, started and deleted by their names, under their own lock."""
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        runtime.add_foreign_network("net")
        labels = {"app": "k3d", LABEL_ROLE: "registry", LABEL_CLUSTER: ""}
        runtime.add_image("registry:2")
        spec = ContainerSpec(name="k3d-reg", image="registry:2", network="net", labels=labels)
        await runtime.create_container(spec)
        assert ["k3d-reg"] == (await start_nodes(["reg"], NodeOptions(), backend=backend)).done
        assert ["k3d-reg"] == (await stop_nodes(["reg"], backend=backend)).done
        assert ("k3d-reg",) == (await delete_nodes(["reg"], backend=backend)).deleted
        assert [] == list(await runtime.containers())
