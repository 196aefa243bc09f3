"""The simulated nodes behave like k3s."""

from dataclasses import replace

import anyio
import pytest

from k3dasync import kubeconfig, nginx
from k3dasync.errors import NotFound
from k3dasync.fake import Faults, Latency, NodeFault, NodeTrouble, Stage
from k3dasync.fake.certificates import ETCD_FILES
from k3dasync.fake.state import Service
from k3dasync.runtime import Status
from tests.support import virtual_time
from tests.unit.fake.lab import INSTANT, KUBECONFIG, OURS, Lab, idle, lab, node


async def said(world: Lab, name: str, text: str) -> None:
    """Wait until a node's log has a line with that text; not every line comes with a change."""
    while not any(text in line for line in await world.runtime.logs(name, tail=1000)):
        with anyio.move_on_after(0.001):
            await world.runtime.machine.changed.wait()


async def last_line(world: Lab, name: str) -> str:
    return (await world.runtime.logs(name, tail=1))[0]


async def test_an_init_server_tells_its_stages() -> None:
    """The log has k3s's own lines in k3s's order."""
    lines = [
        "Starting k3s v",
        "Managed etcd cluster initializing",
        "etcd data store connection OK",
        f"Wrote kubeconfig {KUBECONFIG}",
        "Waiting for API server to become available",
        "k3s is up and running",
        "Successfully registered node",
        "Node CIDR assigned for: s0",
    ]
    async with lab(3) as world:
        await world.start("s0")
        await said(world, "s0", lines[-1])
        log = await world.runtime.logs("s0", tail=100)

    positions = [next(at for at, line in enumerate(log) if text in line) for text in lines]
    assert sorted(positions) == positions


async def test_one_server_alone_has_no_etcd() -> None:
    """Without cluster-init the datastore is SQLite, and nobody can join it."""
    async with lab() as world:
        await world.runtime.create_container(node("s1", "server", url="s0"))
        await world.start("s0")
        await world.ready()
        await world.start("s1")
        await said(world, "s1", "level=fatal")

        assert world.store is not None
        assert not world.store.has_etcd
        assert "no embedded etcd" in await last_line(world, "s1")


@virtual_time
async def test_the_kubeconfig_comes_in_two_steps() -> None:
    """The file is there empty for a moment, then complete, about when the supervisor answers."""
    seen: list[bytes] = []
    async with lab(latency=Latency()) as world:
        await world.start("s0")
        while not seen or not kubeconfig.is_complete(seen[-1]):
            await anyio.sleep(0.001)
            try:
                content = await world.runtime.read_file("s0", KUBECONFIG)
            except NotFound:
                continue
            seen.append(content)
        credentials = await world.credentials()

    assert b"" == seen[0]
    assert b"-----BEGIN CERTIFICATE-----" in credentials.certificate


async def test_etcd_keys_are_in_a_servers_volume() -> None:
    """Whoever promotes from outside finds the client's key where k3s keeps it."""
    async with lab(3) as world:
        await world.start("s0")
        await world.supervisor()
        contents = [await world.runtime.read_file("s0", path) for path in ETCD_FILES]

    assert all(content.startswith(b"-----BEGIN ") for content in contents)


async def test_a_joiner_before_the_supervisor_exits() -> None:
    """A joining server whose target does not answer exits 1 and lives on by the restart policy."""
    async with lab(2) as world, world.runtime.container_events(OURS) as events:
        await world.start("s1")
        async for event in events:
            if event.action == "die":
                break
        log = await world.runtime.logs("s1", tail=100)
        await world.start("s0")
        await world.ready()

        assert 1 == event.exit_code
        assert any("failed to get CA certs" in line for line in log)
        assert await world.restarts() > 0


@virtual_time
async def test_an_agent_waits_for_the_supervisor() -> None:
    """An agent never exits: it tries every 2 s and joins by itself."""
    async with lab(1, 1, latency=Latency()) as world:
        await world.start("a0")
        await anyio.sleep(30)
        log = await world.runtime.logs("a0", tail=100)
        await world.start("s0")
        await world.ready()

        assert 15 == sum("failed to get CA certs" in line for line in log)
        assert 0 == await world.restarts()


async def test_a_wrong_token_ends_a_server_and_keeps_an_agent_out() -> None:
    """A joining server exits naming the token, an agent goes on asking and is refused."""
    async with lab() as world:
        await world.runtime.create_container(node("bad", "server", url="s0", token="wrong"))
        await world.runtime.create_container(node("out", "agent", url="s0", token="wrong"))
        await world.start("s0")
        await world.ready()
        await world.start("bad", "out")
        await said(world, "bad", "token CA hash does not match")
        await said(world, "out", "401 Unauthorized")

        assert {"s0": True} == world.readiness()


async def test_a_full_token_is_accepted() -> None:
    """A token with the authority's hash before it means the same secret."""
    async with lab() as world:
        token = "K10abc::server:t"
        await world.runtime.create_container(node("a0", "agent", url="s0", token=token))
        await world.start("s0", "a0")
        await world.until(lambda: world.readiness() == {"s0": True, "a0": True})


async def test_servers_restart_with_fixed_addresses() -> None:
    """A stopped cluster comes up again in any order, and nobody registers twice."""
    async with lab(3, 1) as world:
        await world.start("s0")
        await world.supervisor()
        await world.start("s1", "s2", "a0")
        await world.ready()
        for name in (*world.servers, *world.agents):
            await world.runtime.stop_container(name)
        await world.start("s2", "s0", "a0")
        await world.up("s0")
        log = await world.runtime.logs("s0", tail=100)

        assert any("bootstrap already complete and initialized" in line for line in log)
        assert 4 == len(world.readiness())


@virtual_time
async def test_one_of_three_servers_never_comes_up_alone() -> None:
    """Without a quorum a server waits, and it goes on when the second one is there."""
    async with lab(3, latency=Latency()) as world:
        await world.start("s0")
        await world.supervisor()
        await world.start("s1", "s2")
        await world.ready()
        for name in world.servers:
            await world.runtime.stop_container(name)
        await world.start("s0")
        await anyio.sleep(600)
        assert not world.serves("s0", Service.SUPERVISOR)
        await world.start("s1")
        await world.up("s0")


async def test_another_address_after_a_restart_is_the_end() -> None:
    """A member of etcd that comes back with another address cannot find itself."""
    async with lab() as world:
        await world.runtime.create_container(
            node("moved", "server", "--cluster-init", address=None)
        )
        await world.start("moved")
        await said(world, "moved", "up and running")
        await world.runtime.stop_container("moved")
        await world.runtime.add_foreign_container("thief", "net")
        await world.start("moved")
        await said(world, "moved", "failed to find local node")


@virtual_time
async def test_a_lost_kubelet_is_not_ready_after_a_while() -> None:
    """A stopped agent's Node stays Ready for 40 s, then the controller calls it lost."""
    async with lab(1, 1, latency=Latency()) as world:
        await world.start("s0", "a0")
        await world.ready()
        await world.runtime.stop_container("a0")
        await anyio.sleep(39)
        assert {"s0": True, "a0": True} == world.readiness()
        await anyio.sleep(2)
        assert {"s0": True, "a0": False} == world.readiness()
        await world.start("a0")
        await world.ready()


async def test_a_new_node_with_an_old_name_is_rejected() -> None:
    """The name of a Node object that is still there belongs to the container which made it."""
    async with lab(1, 1) as world:
        await world.start("s0", "a0")
        await world.ready()
        await world.runtime.remove_container("a0", OURS)
        await world.runtime.create_container(node("a0", "agent", url="s0"))
        await world.start("a0")
        await said(world, "a0", "Node password rejected")
        assert world.store is not None
        assert world.store.delete_node("a0")
        await world.ready()


@pytest.mark.parametrize("stage", list(Stage))
async def test_a_node_can_crash_at_every_stage(stage: Stage) -> None:
    """A node ordered to crash once at a stage comes back and is Ready all the same."""
    fault = NodeFault(node="s0", stage=stage, times=1, says="on order")
    async with lab(3, faults=Faults((fault,))) as world:
        await world.start("s0")
        s0 = world.container("s0")
        await world.until(lambda: world.readiness() == {"s0": True} and s0.restarts == 1)
        log = await world.runtime.logs("s0", tail=100)

        assert any('level=fatal msg="on order"' in line for line in log)


async def test_a_node_can_stall_and_run_out_of_memory() -> None:
    """A node can run and never be Ready, another can be killed again and again."""
    faults = Faults(
        (
            NodeFault(node="a0", stage=Stage.READY, trouble=NodeTrouble.STALL),
            NodeFault(node="a1", stage=Stage.REGISTERED, trouble=NodeTrouble.OOM),
        )
    )
    async with lab(1, 2, faults=faults) as world, world.runtime.container_events(OURS) as events:
        await world.start("s0", "a0", "a1")
        await world.until(lambda: world.readiness() == {"s0": True, "a0": False})
        kills = 0
        async for event in events:
            kills += event.action == "oom" and event.name == "a1"
            if kills == 3:
                break

        assert Status.RUNNING is (await world.runtime.inspect_container("a0")).state.status


async def test_nginx_needs_its_upstreams_by_name() -> None:
    """A name that does not resolve at the start keeps nginx from starting, an address does not."""
    async with lab(2) as world:
        for name, host in (("byname", "s0"), ("byaddress", "10.160.0.10")):
            files = nginx.files(nginx.config([nginx.Forward(port=6443, hosts=(host,))]), "")
            await world.runtime.create_container(idle(name, files=files))
        await world.start("byname", "byaddress")
        await said(world, "byname", "host not found in upstream")
        await said(world, "byaddress", "start worker processes")


@virtual_time
async def test_slow_and_fast_nodes_share_the_cores() -> None:
    """Four servers on two cores take longer than one, on eight cores they do not."""
    took = []
    for servers, cores in ((1, 2), (4, 2), (4, 8)):
        async with lab(latency=replace(Latency(), cores=cores)) as world:
            names = [f"x{index}" for index in range(servers)]
            for name in names:
                await world.runtime.create_container(node(name, "server"))
            began = anyio.current_time()
            await world.start(*names)
            for name in names:
                await world.up(name)
            took.append(anyio.current_time() - began)

    alone, crowded, roomy = took
    assert crowded > alone * 1.4
    assert pytest.approx(alone, abs=0.3) == roomy


def test_instant_latencies_have_pauses() -> None:
    """Nothing takes time in instant latencies but the pauses between attempts."""
    assert 0 == INSTANT.node.up.cpu
    assert INSTANT.node.agent_retry > 0
