"""Nodes that come, go, stop and start while their cluster lives on, on a real engine."""

import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_network

import anyio
import pytest
import yaml

from k3dasync import events, nginx
from k3dasync.docker.runtime import DockerRuntime
from k3dasync.etcd_reach import connect
from k3dasync.runtime import Status
from tests.integration.conftest import Cli, Variant
from tests.integration.docker_api import DockerApi
from tests.integration.test_clusters import connect_often, ready_nodes, until_event, wait_until
from tests.integration.test_create_flags import free_ports
from tests.integration.test_side_by_side_of_k3d import made_by_k3d

pytestmark = [pytest.mark.engine, pytest.mark.timeout(240)]

OLD = "STANDIN_REMEMBERS=true"
"""Passwords and members of deleted Nodes stay, as with k3s that has no controllers for them."""


def members(server: str) -> list[str]:
    """Return the nodes whose members etcd has, as a server's etcd says."""

    async def ask() -> list[str]:
        async with DockerRuntime() as runtime, connect(runtime, server) as etcd:
            return sorted(one.name.rpartition("-")[0] for one in await etcd.members())

    return anyio.run(ask)


def status(name: str) -> Status:
    async def look() -> Status:
        async with DockerRuntime() as runtime:
            return (await runtime.inspect_container(name)).state.status

    return anyio.run(look)


def upstreams(api: DockerApi, name: str) -> str:
    return api.run_inside(f"k3d-{name}-serverlb", "cat", nginx.CONFIG_PATH)


def secrets_of(api: DockerApi, server: str) -> set[str]:
    path = "/api/v1/namespaces/kube-system/secrets"
    said = api.run_inside(server, "kubectl", "get", "--raw", path)
    return {one["metadata"]["name"] for one in json.loads(said)["items"]}


def test_agents_come_and_go_and_come_back(
    cli: Cli, api: DockerApi, variant: Variant, own_name: str
) -> None:
    """Two replicas with what was asked for; one is deleted, and another one gets its name."""
    cli.image = variant("old", OLD)
    assert 0 == cli.create(own_name, "--agents", "1", "--agents-memory", "256m").code
    asked = ("--replicas", "2", "--k3s-node-label", "disk=ssd", "--runtime-label", "team=blue")
    made = cli("node", "create", f"{own_name}x", "-c", own_name, *asked)
    assert 0 == made.code, made.err
    names = [f"k3d-{own_name}x-{number}" for number in range(2)]
    assert [f"node {name} created" for name in names] == made.err.splitlines()[-2:]
    assert {*names} < {*ready_nodes(cli, own_name)}
    found = api.get(f"containers/{names[0]}/json")
    assert "blue" == found["Config"]["Labels"]["team"]
    assert 256 * 2**20 == found["HostConfig"]["Memory"]
    server = f"k3d-{own_name}-server-0"
    said = json.loads(api.run_inside(server, "kubectl", "get", "node", names[0], "-o", "json"))
    assert "ssd" == said["metadata"]["labels"]["disk"]
    assert f"{names[1]}.node-password.k3s" in secrets_of(api, server)

    gone = cli("node", "delete", f"{own_name}x-1", "nosuch")
    assert 0 == gone.code, gone.err
    assert f"node {names[1]} deleted" in gone.err
    assert "node nosuch: nothing to delete" in gone.err
    assert names[1] not in ready_nodes(cli, own_name)
    assert f"{names[1]}.node-password.k3s" not in secrets_of(api, server)
    kinds = [one.task.partition(":")[0] for one in done(cli, own_name)]
    assert ["drain", "remove-container", "forget"] == kinds

    taken = cli("node", "create", f"{own_name}x", "-c", own_name, "--replicas", "2")
    assert 1 == taken.code
    assert "NAME_CONFLICT" in taken.error
    assert 0 == cli("node", "delete", names[0]).code
    again = cli("node", "create", f"{own_name}x", "-c", own_name, "--replicas", "2")
    assert 0 == again.code, again.err
    assert {*names} < {*ready_nodes(cli, own_name)}
    assert 0 == cli("delete", own_name).code


def done(cli: Cli, name: str) -> list[events.TaskDone]:
    return [one for one in cli.events(name) if isinstance(one, events.TaskDone)]


def test_servers_join_leave_and_come_back(
    cli: Cli, api: DockerApi, variant: Variant, own_name: str
) -> None:
    """From three to four, server-0 goes, and a server of its name joins the others."""
    cli.image = variant("old-ha", OLD, "STANDIN_TICK=1.5")
    assert 0 == cli.create(own_name, "--servers", "3", "--agents", "1").code
    added = cli("node", "create", f"{own_name}x", "-c", own_name, "--role", "server")
    assert 0 == added.code, added.err
    new, first = f"k3d-{own_name}x-0", f"k3d-{own_name}-server-0"
    assert new in members(first)
    assert 5 == len(ready_nodes(cli, own_name))
    assert upstreams(api, own_name).count(":6443 max_fails=0;") == 4
    assert 100 == connect_often(cli, own_name)

    gone = cli("node", "delete", first)
    assert 0 == gone.code, gone.err
    assert first not in members(new)
    assert first not in ready_nodes(cli, own_name)
    assert upstreams(api, own_name).count(":6443 max_fails=0;") == 3
    assert 100 == connect_often(cli, own_name)

    back = cli("scale", own_name, "--servers", "4")
    assert 0 == back.code, back.err
    assert f"node {first} created" in back.err
    assert first in members(new)
    # The others' kubelets asked server-0, which was away; theirs is the last word on that.
    wait_until(lambda: len(ready_nodes(cli, own_name)) == 5, 30, "five Ready nodes")
    assert 100 == connect_often(cli, own_name)
    assert 0 == cli("delete", own_name).code


def test_a_name_that_the_cluster_still_knows_is_free_again(
    cli: Cli, api: DockerApi, variant: Variant, own_name: str
) -> None:
    """Containers that went without a word: their Nodes, passwords and members are forgotten."""
    cli.image = variant("remembers", "STANDIN_REMEMBERS=true", "STANDIN_TICK=1.5")
    assert 0 == cli.create(own_name, "--servers", "3", "--agents", "1").code
    for part in ("server-2", "agent-0"):
        api.delete(f"containers/k3d-{own_name}-{part}", force="true", v="true")
    back = cli("scale", own_name, "--servers", "3", "--agents", "1", "--timeout", "60s")
    assert 0 == back.code, back.err
    assert 4 == len(ready_nodes(cli, own_name))
    assert 3 == len(members(f"k3d-{own_name}-server-0"))
    assert 100 == connect_often(cli, own_name)
    assert 0 == cli("delete", own_name).code


def test_scale_there_and_back(cli: Cli, own_name: str) -> None:
    """Five agents and five servers, then one of each: etcd lives on by itself."""
    assert 0 == cli.create(own_name, "--servers", "3", "--agents", "1").code
    up = cli("scale", own_name, "--servers", "5", "--agents", "5")
    assert 0 == up.code, up.err
    assert 10 == len(ready_nodes(cli, own_name))
    assert [own_name, "5/5", "5/5", "true"] == cli("list", own_name, "--no-headers").out.split()
    same = cli("scale", own_name, "--servers", "5", "--agents", "5")
    assert f"cluster {own_name} is of that size already" in same.err
    down = cli("scale", own_name, "--servers", "1", "--agents", "1")
    assert 0 == down.code, down.err
    first = f"k3d-{own_name}-server-0"
    assert [first] == members(first)
    assert [f"k3d-{own_name}-agent-0", first] == ready_nodes(cli, own_name)
    assert 100 == connect_often(cli, own_name)
    assert 0 == cli("delete", own_name).code


def test_what_a_cluster_cannot_do_without(cli: Cli, own_name: str) -> None:
    """SQLite takes no second server, the last server stays, a quorum is kept."""
    assert 0 == cli.create(own_name).code
    more = cli("scale", own_name, "--servers", "3")
    assert (1, True) == (more.code, "CANNOT_GROW" in more.error), more.err
    last = cli("node", "delete", f"{own_name}-server-0")
    assert (1, True) == (last.code, "NODE_NEEDED" in last.error), last.err
    assert 1 == len(ready_nodes(cli, own_name))
    forced = cli("node", "delete", f"{own_name}-server-0", "--force")
    assert 0 == forced.code, forced.err
    assert 0 == cli("delete", own_name).code


def test_one_server_is_stopped_and_started(cli: Cli, api: DockerApi, own_name: str) -> None:
    """It is drained, stands by while it is away, and takes connections again when it is Ready."""
    assert 0 == cli.create(own_name, "--servers", "3").code
    name = f"k3d-{own_name}-server-1"
    stopped = cli("node", "stop", name)
    assert 0 == stopped.code, stopped.err
    assert Status.EXITED is status(name)
    assert " backup;" in upstreams(api, own_name)
    asked = ("kubectl", "get", "node", name, "-o", "json")
    said = json.loads(api.run_inside(f"k3d-{own_name}-server-0", *asked))
    assert said["spec"]["unschedulable"] is True
    assert 100 == connect_often(cli, own_name)
    again = cli("node", "stop", name)
    assert (0, f"node {name}: does not run") == (again.code, again.err.splitlines()[-1])

    started = cli("node", "start", name)
    assert 0 == started.code, started.err
    assert name in ready_nodes(cli, own_name)
    assert " backup;" not in upstreams(api, own_name)
    assert 100 == connect_often(cli, own_name)
    assert 1 == cli("node", "start", "nosuch").code
    assert 0 == cli("delete", own_name).code


def test_a_node_that_does_not_come_up_leaves_nothing(
    cli: Cli, variant: Variant, own_name: str
) -> None:
    """Neither a container nor a member of etcd nor a Node object."""
    assert 0 == cli.create(own_name, "--k3s-arg", "--cluster-init@server:0").code
    crashing = variant("crash-registered", "STANDIN_CRASH=registered")
    failed = cli(
        "node", "create", f"{own_name}x", "-c", own_name, "--role", "server", "-i", crashing
    )
    assert 1 == failed.code
    assert "rolled back: nothing of this run is left" in failed.err
    first = f"k3d-{own_name}-server-0"
    assert [first] == members(first), failed.err
    assert [first] == ready_nodes(cli, own_name)
    assert 100 == connect_often(cli, own_name)
    # And it can still grow.
    made = cli("node", "create", f"{own_name}x", "-c", own_name, "--role", "server")
    assert 0 == made.code, made.err
    assert 2 == len(members(first))
    assert 0 == cli("delete", own_name).code


@contextmanager
def proxy_of_k3d(api: DockerApi, name: str) -> Iterator[None]:
    """Do what k3d's own load balancer image does: make nginx's file of k3d's when that changes."""
    balancer, over = f"k3d-{name}-serverlb", threading.Event()

    def render(text: str) -> str:
        blocks = []
        for key, nodes in (yaml.safe_load(text).get("ports") or {}).items():
            port = key.partition(".")[0]
            servers = "\n".join(f"    server {node}:{port} max_fails=1;" for node in nodes)
            blocks.append(f"  upstream p{port} {{\n{servers}\n  }}\n")
            blocks.append(f"  server {{ listen {port}; proxy_pass p{port}; }}\n")
        head = "include /etc/nginx/modules-enabled/*.conf;\nerror_log stderr notice;\n"
        return f"{head}events {{}}\nstream {{\n{''.join(blocks)}}}\n"

    def watch() -> None:
        seen = ""
        while not over.wait(0.3):
            text = api.run_inside(balancer, "cat", nginx.VALUES_PATH)
            if text != seen:
                api.write(balancer, nginx.CONFIG_PATH, render(text).encode())
                api.post(f"containers/{balancer}/kill", signal="HUP")
                seen = text

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_nodes_of_clusters_that_k3d_made(
    cli: Cli, api: DockerApi, variant: Variant, own_name: str
) -> None:
    """Added with k3d's environment, labels and scripts; its load balancer takes what we write."""
    cli.image = variant("k3d-ha", "STANDIN_SCALE=0.3", "STANDIN_TICK=1.5")
    made_by_k3d(cli, api, own_name, servers=2, agents=1)
    assert 0 == cli("kubeconfig", "merge", own_name, "-d").code
    with proxy_of_k3d(api, own_name):
        names = [f"k3d-{own_name}x-0", f"k3d-{own_name}y-0"]
        for role, short in (("server", "x"), ("agent", "y")):
            made = cli("node", "create", f"{own_name}{short}", "-c", own_name, "--role", role)
            assert 0 == made.code, made.err
        assert {*names} < {*ready_nodes(cli, own_name)}
        values = yaml.safe_load(
            api.run_inside(f"k3d-{own_name}-serverlb", "cat", nginx.VALUES_PATH)
        )
        servers = [f"k3d-{own_name}-server-{number}" for number in range(2)]
        assert [*servers, names[0]] == values["ports"]["6443.tcp"]
        hosts = api.run_inside(names[1], "cat", "/etc/hosts")
        assert "host.k3d.internal" in hosts
        gone = cli("node", "delete", *names, f"{own_name}-server-1")
        assert 0 == gone.code, gone.err
        values = yaml.safe_load(
            api.run_inside(f"k3d-{own_name}-serverlb", "cat", nginx.VALUES_PATH)
        )
        assert servers[:1] == values["ports"]["6443.tcp"]
        assert servers[:1] == members(servers[0])
        assert 2 == len(ready_nodes(cli, own_name))
    assert 0 == cli("delete", own_name).code


def test_agents_of_a_cluster_elsewhere(cli: Cli, api: DockerApi, own_name: str) -> None:
    """On the engine's own network, and on one of ours: both are Ready in the other cluster."""
    bridge = ip_network(api.get("networks/bridge")["IPAM"]["Config"][0]["Subnet"])[1]
    port = free_ports(1)[0]
    asked = ("--token", "sesame", "--api-port", f"0.0.0.0:{port}")
    assert 0 == cli.create(own_name, *asked).code
    for number, (url, more) in enumerate(
        [
            (f"https://{bridge}:{port}", ()),
            (f"https://k3d-{own_name}-server-0:6443", ("--network", f"k3d-{own_name}")),
        ]
    ):
        name = f"{own_name}x{number}"
        common = ("node", "create", name, "--image", cli.image, "--cluster", url, *more)
        wrong = cli(*common, "--token", "wrong", "--timeout", "60s")
        assert (1, True) == (wrong.code, "TOKEN_MISMATCH" in wrong.error), wrong.err
        assert "401 Unauthorized" in wrong.err
        made = cli(*common, "--token", "sesame")
        assert 0 == made.code, made.err
        assert f"k3d-{name}-0" in ready_nodes(cli, own_name)
        assert url in cli("list").out
        if more:
            assert 0 == cli("stop", url).code
            again = cli("start", url)
            assert (0, True) == (again.code, f"ready:k3d-{name}-0: done" in again.err), again.err
            gone = cli("delete", url)
            assert 0 == gone.code, gone.err
            assert f"kubectl delete node k3d-{name}-0" in gone.err
            continue
        gone = cli("node", "delete", f"{name}-0")
        assert 0 == gone.code, gone.err
        assert f"kubectl delete node k3d-{name}-0" in gone.err
    assert 0 == cli("delete", own_name).code


def cordoned(api: DockerApi, server: str) -> set[str]:
    """Return the nodes that take no pods, as a server's API says."""
    said = json.loads(api.run_inside(server, "kubectl", "get", "nodes", "-o", "json"))
    return {one["metadata"]["name"] for one in said["items"] if one["spec"].get("unschedulable")}


@pytest.mark.parametrize("how", ["ctrl-c", "kill"])
def test_a_delete_that_is_cut_leaves_the_node_as_it_was(
    cli: Cli, api: DockerApi, variant: Variant, own_name: str, how: str
) -> None:
    """Not cordoned, and behind the load balancer; the next delete deletes it."""
    cli.image = variant("fast-ha", "STANDIN_SCALE=0.3", "STANDIN_TICK=1.5")
    assert 0 == cli.create(own_name, "--servers", "3").code
    first, name = f"k3d-{own_name}-server-0", f"k3d-{own_name}-server-2"
    before = upstreams(api, own_name)
    with cli.start("node", "delete", name) as process:
        until_event(process, cli, own_name, f"drain:{name}")
        process.send_signal(signal.SIGINT if how == "ctrl-c" else signal.SIGKILL)
        said = process.communicate()[1]
    if how == "ctrl-c":
        assert 130 == process.returncode, said
        assert name in said
    else:
        assert 0 == cli("rollback", own_name).code
    assert Status.RUNNING is status(name)
    assert set() == cordoned(api, first)
    assert before == upstreams(api, own_name)
    assert 3 == len(members(first))
    gone = cli("node", "delete", name)
    assert 0 == gone.code, gone.err
    assert name not in members(first)
    assert 100 == connect_often(cli, own_name)
    assert 0 == cli("delete", own_name).code


@pytest.mark.parametrize("how", ["rollback", "scale"])
def test_after_a_kill_nothing_is_left_in_the_cluster(cli: Cli, own_name: str, how: str) -> None:
    """Kill -9 while a server joins: rollback, or the next change, takes its member away."""
    assert 0 == cli.create(own_name, "--k3s-arg", "--cluster-init@server:0").code
    first, new = f"k3d-{own_name}-server-0", f"k3d-{own_name}-server-1"
    with cli.start("scale", own_name, "--servers", "2") as process:
        until_event(process, cli, own_name, f"ready:{new}")
        process.kill()
        process.communicate()
    assert Status.RUNNING is status(new)
    back = cli("rollback", own_name) if how == "rollback" else cli("scale", own_name, "-a", "1")
    assert 0 == back.code, back.err
    assert [first] == members(first)
    assert new not in ready_nodes(cli, own_name)
    assert 100 == connect_often(cli, own_name)
    assert 0 == cli("delete", own_name).code
