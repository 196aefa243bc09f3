"""Clusters on networks of every kind, on a real engine, and what their nodes do at each start."""

import ipaddress
import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import anyio
import pytest

from k3dasync.docker.runtime import DockerRuntime
from tests.integration.conftest import Cli, Variant
from tests.integration.test_clusters import (
    everything_of,
    ready_nodes,
    ready_or_none,
    restart_all,
    wait_until,
)
from tests.integration.test_create_flags import free_ports, inside
from tests.integration.test_endpoints import forwarded, write_context

pytestmark = [pytest.mark.engine, pytest.mark.timeout(240)]


@contextmanager
def network(name: str, **body: Any) -> Iterator[None]:
    """Let there be a network that no cluster has made."""

    async def make() -> None:
        async with DockerRuntime() as runtime:
            await runtime._engine.docker.networks.create({"Name": name, **body})

    async def remove() -> bool:
        async with DockerRuntime() as runtime:
            return await runtime.remove_network(name, {})

    anyio.run(make)
    try:
        yield
    finally:
        assert anyio.run(remove)


def free_subnets() -> tuple[str, str]:
    """Return an IPv4 and an IPv6 range that no network of the engine has."""

    async def look() -> list[str]:
        async with DockerRuntime() as runtime:
            return [cidr for one in await runtime.networks() for cidr in one.subnets]

    taken = [ipaddress.ip_network(cidr) for cidr in anyio.run(look)]

    def free(pool: str, prefix: int) -> str:
        candidates = ipaddress.ip_network(pool).subnets(new_prefix=prefix)
        return str(next(one for one in candidates if not any(map(one.overlaps, taken))))

    return free("10.215.0.0/16", 24), free("fd00:d215::/48", 64)


def inspect(name: str) -> Mapping[str, Any]:
    """Return the engine's own words about a container."""

    async def ask() -> Mapping[str, Any]:
        async with DockerRuntime() as runtime:
            return dict(await runtime._engine.docker.containers.container(name).show())

    return anyio.run(ask)


def said(name: str) -> str:
    """Return what a container has printed in all its lives."""

    async def ask() -> str:
        async with DockerRuntime() as runtime:
            return "\n".join(await runtime.logs(name, tail=500))

    return anyio.run(ask)


def stop(name: str) -> None:
    async def end() -> None:
        async with DockerRuntime() as runtime:
            await runtime.stop_container(name)

    anyio.run(end)


def start(name: str) -> None:
    async def begin() -> None:
        async with DockerRuntime() as runtime:
            await runtime.start_container(name)

    anyio.run(begin)


# ---- the host's own network


def test_on_the_hosts_network(cli: Cli, own_name: str) -> None:
    """Side by side at two ports, restart-proof; a port in use is found before; nothing is left."""
    names, ports = [f"{own_name}a", f"{own_name}b"], free_ports(2)
    for name, port in zip(names, ports, strict=True):
        created = cli.create(name, "--network", "host", "--api-port", str(port))
        assert 0 == created.code, created.err
        assert f"port {port} of every address" in created.err
        assert f"https://127.0.0.1:{port}" in created.err
        assert [f"k3d-{name}-server-0"] == ready_nodes(cli, name)
    container = inspect(f"k3d-{names[0]}-server-0")
    assert "host" == container["HostConfig"]["NetworkMode"]
    assert ["host"] == list(container["NetworkSettings"]["Networks"])

    refused = cli.create(f"{own_name}c", "--network", "host", "--api-port", str(ports[0]))
    assert 1 == refused.code
    assert f"cannot use port {ports[0]} of the engine's host: it is in use" in refused.error
    assert [] == everything_of(f"{own_name}c")

    restart_all(names[0])
    expected = [f"k3d-{names[0]}-server-0"]
    wait_until(lambda: expected == ready_or_none(cli, names[0]), 30, "node that is back")

    assert 0 == cli("delete", *names).code
    assert [] == everything_of(own_name)
    for port in ports:
        socket.create_server(("127.0.0.1", port)).close()  # free again


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--network", "host", "--agents", "1"], "one server and no agents"),
        (["--network", "host", "-p", "8080:80"], "cannot be used with --network host"),
        (["--network", "x", "--subnet", "10.1.0.0/24"], "--subnet cannot be used with --network"),
        (["--k3s-arg", "--https-listen-port=1@server:0"], "it stays 6443"),
        (["-v", "/etc/hostname:/etc/resolv.conf@server:0"], "K3D_FIX_DNS=false"),
        (["--datastore-endpoint", "http://localhost:2379"], "host.k3d.internal"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_before_anything_is_made(
    cli: Cli, own_name: str, flags: list[str], words: str
) -> None:
    """One line, exit code 2, nothing on the engine, no log."""
    refused = cli.create(own_name, *flags)

    assert (2, 1) == (refused.code, len(refused.err.splitlines())), refused.err
    assert words in refused.error
    assert [] == cli.events(own_name)


# ---- networks that are there, and those that are not


@pytest.mark.parametrize("kind", ["both families", "ipv6 of the user's", "range without gateway"])
def test_networks_that_users_make(cli: Cli, own_name: str, kind: str) -> None:
    """Nodes are Ready, at fixed IPv4 addresses where there can be any; the network stays."""
    name = f"{own_name}-net"
    v4, v6 = free_subnets()
    half = str(list(ipaddress.ip_network(v4).subnets())[1])
    bodies: dict[str, dict[str, Any]] = {
        "both families": {
            "EnableIPv6": True,
            "IPAM": {"Config": [{"Subnet": v6}, {"Subnet": v4}]},
        },
        "ipv6 of the user's": {"EnableIPv6": True, "IPAM": {"Config": [{"Subnet": v6}]}},
        "range without gateway": {"IPAM": {"Config": [{"Subnet": v4, "IPRange": half}]}},
    }
    with network(name, **bodies[kind]):
        created = cli.create(own_name, "--network", name, "--subnet", "auto", "--agents", "1")
        assert 0 == created.code, created.err
        assert 2 == len(ready_nodes(cli, own_name))
        server = inspect(f"k3d-{own_name}-server-0")
        endpoint = server["NetworkSettings"]["Networks"][name]
        has_range = kind != "ipv6 of the user's"
        assert has_range is ("k3d.node.staticIP" in server["Config"]["Labels"])
        assert has_range is bool(endpoint["IPAMConfig"])
        assert "true" == server["Config"]["Labels"]["k3d.cluster.network.external"]
        # That the engine does not tell the gateway keeps nobody from knowing it.
        hosts = inside(f"k3d-{own_name}-agent-0", "cat", "/etc/hosts")
        assert [endpoint["Gateway"], "host.k3d.internal"] in map(str.split, hosts.splitlines())

        assert 0 == cli("delete", own_name).code
        assert [name] == everything_of(own_name)


def test_a_named_network_that_is_not_there_comes_and_goes(cli: Cli, own_name: str) -> None:
    """It is the cluster's own, with fixed addresses."""
    created = cli.create(own_name, "--network", f"{own_name}-new", "--subnet", "auto")
    assert 0 == created.code, created.err
    labels = inspect(f"k3d-{own_name}-server-0")["Config"]["Labels"]
    assert (f"{own_name}-new", "false") == (
        labels["k3d.cluster.network"],
        labels["k3d.cluster.network.external"],
    )
    assert labels["k3d.node.staticIP"]
    assert 0 == cli("delete", own_name).code
    assert [] == everything_of(own_name)


# ---- what nodes do at each start


def test_names_of_the_host_are_there_after_every_start(cli: Cli, own_name: str) -> None:
    """In each node once, for pods in the manifest, on server and agent alike."""
    created = cli.create(own_name, "--agents", "1", "--host-alias", "10.9.8.7:far.example,near")
    assert 0 == created.code, created.err
    nodes = [f"k3d-{own_name}-{one}" for one in ("server-0", "agent-0")]
    gateway = next(iter(inspect(nodes[0])["NetworkSettings"]["Networks"].values()))["Gateway"]

    def known() -> list[list[list[str]]]:
        wanted = {"far.example", "near", "host.k3d.internal"}
        found = [inside(node, "cat", "/etc/hosts").splitlines() for node in nodes]
        return [[line.split() for line in one if wanted & set(line.split())] for one in found]

    path = "/var/lib/rancher/k3s/server/manifests/k3dasync-coredns-custom.yaml"
    expected = [["10.9.8.7", "far.example"], ["10.9.8.7", "near"], [gateway, "host.k3d.internal"]]
    assert [expected, expected] == known()
    manifest = inside(nodes[0], "cat", path)
    for address, name in expected:
        assert 1 == manifest.count(f"        {address} {name}\n")

    restart_all(own_name)
    assert [expected, expected] == known()
    assert manifest == inside(nodes[0], "cat", path)
    assert 0 == cli("delete", own_name).code


def test_a_server_is_drained_when_it_stops_and_comes_back_schedulable(
    cli: Cli, own_name: str
) -> None:
    """An agent neither; a node that was cordoned by hand stays so."""
    created = cli.create(own_name, "--servers", "3", "--agents", "1")
    assert 0 == created.code, created.err
    first, second, agent = (f"k3d-{own_name}-{one}" for one in ("server-0", "server-1", "agent-0"))

    def status(node: str) -> str:
        lines = inside(first, "kubectl", "get", "nodes").splitlines()
        return next((line.split()[1] for line in lines if line.startswith(node)), "")

    stop(second)
    stop(agent)
    assert status(second).endswith(",SchedulingDisabled")
    assert "SchedulingDisabled" not in status(agent)

    start(second)
    start(agent)
    wait_until(lambda: status(second) == "Ready", 60, "server that is back")
    inside(first, "kubectl", "cordon", agent)
    restart_all(f"{own_name}-agent")
    wait_until(lambda: status(agent) == "Ready,SchedulingDisabled", 60, "agent that is back")

    inside(first, "kubectl", "cordon", second)
    stop(second)
    start(second)
    assert ".k3d-drained" not in inside(second, "ls", "-A", "/var/lib/rancher/k3s")
    wait_until(lambda: status(second) == "Ready,SchedulingDisabled", 60, "server that is back")
    assert 0 == cli("delete", own_name).code


def test_a_stop_during_the_start_is_no_kill(cli: Cli, variant: Variant, own_name: str) -> None:
    """The trap is there from the first moment: k3s ends by itself, before it could be drained."""
    cli.image = variant("slow", "STANDIN_SCALE=1")
    created = cli.create(own_name, "--no-lb", "--wait=none")
    assert 0 == created.code, created.err
    node = f"k3d-{own_name}-server-0"
    restart_all(own_name)
    wait_until(lambda: 2 == said(node).count("Starting k3s"), 30, "second life of k3s")
    stop(node)
    assert 0 == inspect(node)["State"]["ExitCode"]
    assert 0 == cli("delete", own_name).code


OFF = {"K3D_FIX_CGROUPV2": "0", "K3D_FIX_DNS": "false", "K3D_FIX_MOUNTS": "garbage"}


def test_with_every_fix_off_nodes_start_as_their_image_says(cli: Cli, own_name: str) -> None:
    """No script of ours, no init of the engine's; Ready all the same, and after a restart."""
    created = cli.create(own_name, "--agents", "1", **OFF, K3D_DEBUG_DISABLE_DOCKER_INIT="true")
    assert 0 == created.code, created.err
    for node in ("server-0", "agent-0"):
        found = inspect(f"k3d-{own_name}-{node}")
        assert ["/bin/k3s"] == found["Config"]["Entrypoint"]
        assert found["HostConfig"]["Init"] is False
        assert "" == inside(f"k3d-{own_name}-{node}", "find", "/bin", "-name", "k3d-*")
    restart_all(own_name)
    wait_until(lambda: 2 == len(ready_or_none(cli, own_name)), 30, "cluster that is back")
    assert 0 == cli("delete", own_name).code


def test_one_fix_off_leaves_the_others(cli: Cli, own_name: str) -> None:
    """The resolver stays where the engine has put it, root is shared."""
    created = cli.create(own_name, "--no-lb", K3D_FIX_DNS="f")
    assert 0 == created.code, created.err
    node = f"k3d-{own_name}-server-0"

    assert "nameserver 127.0.0.11" in inside(node, "cat", "/etc/resolv.conf")
    mounts = inside(node, "cat", "/proc/self/mountinfo").splitlines()
    root = next(line.split() for line in mounts if line.split()[4] == "/")
    assert any(word.startswith("shared:") for word in root[6:])
    assert 0 == cli("delete", own_name).code


# ---- engines elsewhere


def address_of_the_engine() -> str:
    """Return an address of this machine that is not loopback: that of the engine's own bridge."""

    async def look() -> str:
        async with DockerRuntime() as runtime:
            return next(one.gateway for one in await runtime.networks() if one.name == "bridge")

    return anyio.run(look)


@contextmanager
def served(address: str, url: str) -> Iterator[str]:
    """Serve the engine at an address of this machine for as long as this is open."""
    ready, done, found = Event(), Event(), [""]

    async def serve() -> None:
        async with forwarded(url, host=address) as port:
            found[0] = f"tcp://{address}:{port}"
            ready.set()
            await anyio.to_thread.run_sync(done.wait)

    thread = Thread(target=anyio.run, args=(serve,))
    thread.start()
    try:
        assert ready.wait(10)
        yield found[0]
    finally:
        done.set()
        thread.join(10)


@pytest.mark.parametrize("how", ["DOCKER_HOST", "context", "docker-machine"])
def test_the_api_of_an_engine_elsewhere_is_where_that_is(
    cli: Cli, own_name: str, tmp_path: Path, how: str
) -> None:
    """In the kubeconfig and in the certificate; bound so that it can be reached."""
    address = address_of_the_engine()
    with served(address, cli.engine) as url:
        environ = {"DOCKER_HOST": url}
        if how == "context":
            write_context(tmp_path / "docker", "far", url)
            (tmp_path / "docker" / "config.json").write_text(json.dumps({"currentContext": "far"}))
            environ = {"DOCKER_HOST": "", "DOCKER_CONFIG": str(tmp_path / "docker")}
        elif how == "docker-machine":
            program = tmp_path / "docker-machine"
            program.write_text(f'#!/bin/sh\n[ "$*" = "ip box" ] && echo {address}\n')
            program.chmod(0o755)
            path = f"{tmp_path}:{cli.env['PATH']}"
            environ = {"DOCKER_MACHINE_NAME": "box", "PATH": path}
        created = cli.create(own_name, **environ)
        assert 0 == created.code, created.err
        config = cli.kubeconfig()

    server = config["clusters"][0]["cluster"]["server"]
    assert server.startswith(f"https://{address}:")
    node = inspect(f"k3d-{own_name}-server-0")
    assert ["--tls-san", address] == node["Config"]["Cmd"][1:3]
    assert (address, "0.0.0.0") == (
        node["Config"]["Labels"]["k3d.server.api.host"],
        node["Config"]["Labels"]["k3d.server.api.hostIP"],
    )
    assert 0 == cli("delete", own_name).code


def test_the_api_is_reached_over_ipv6(cli: Cli, own_name: str) -> None:
    """A create asks there, through the load balancer's IPv6 address, whether Nodes are Ready."""
    name = f"{own_name}-net"
    v4, v6 = free_subnets()
    both = {"EnableIPv6": True, "IPAM": {"Config": [{"Subnet": v6}, {"Subnet": v4}]}}
    with network(name, **both):
        created = cli.create(own_name, "--network", name, "--api-port", "[::1]:29397")
        assert 0 == created.code, created.err
        assert "https://[::1]:29397" == cli.kubeconfig()["clusters"][0]["cluster"]["server"]
        assert 0 == cli("delete", own_name).code
