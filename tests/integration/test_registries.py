"""Registries on a real engine: images' parts are pushed from here and fetched in nodes, by name."""

import hashlib
import json
import os
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import anyio
import pytest
import yaml

from k3dasync.docker.runtime import DockerRuntime
from k3dasync.runtime import ContainerSpec, PortBinding
from tests.integration.conftest import Cli
from tests.integration.test_clusters import everything_of, until_event
from tests.integration.test_create_flags import free_ports, inside

pytestmark = [pytest.mark.engine, pytest.mark.timeout(240)]

IMAGE = os.environ.get("K3DASYNC_IMAGE_REGISTRY", "k3dasync-dev/registry:standin")


def push(port: int, content: bytes) -> str:
    """Push a blob to a registry on this machine, as docker does, and return its path there."""
    base, digest = f"http://127.0.0.1:{port}", f"sha256:{hashlib.sha256(content).hexdigest()}"
    begin = urllib.request.Request(f"{base}/v2/app/blobs/uploads/", data=b"", method="POST")
    with urllib.request.urlopen(begin) as answer:
        place = answer.headers["Location"]
    place = place if place.startswith("http") else base + place
    where = f"{place}{'&' if '?' in place else '?'}digest={digest}"
    put = urllib.request.Request(where, data=content, method="PUT")
    put.add_header("Content-Type", "application/octet-stream")  # or it is taken for a form
    with urllib.request.urlopen(put) as answer:
        assert 201 == answer.status
    return f"/v2/app/blobs/{digest}"


def fetch(node: str, host: str, port: int, path: str) -> str:
    """Fetch something from a registry within a node, which resolves its name, and return it."""
    # Not by wget: that of Debian's static busybox crashes.
    request = f"GET {path} HTTP/1.0\\r\\n\\r\\n"
    answer = inside(node, "sh", "-c", f"printf '{request}' | nc -w 5 {host} {port}")
    assert answer.startswith("HTTP/1.0 200 "), answer
    return answer.partition("\r\n\r\n")[2]


def until_it_answers(port: int) -> None:
    """Return when the registry at that port of this machine answers."""
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/"):
                return
        except OSError:
            continue  # each turn is a refused connection; the test has a deadline


async def _with_runtime(act: Callable[[DockerRuntime], Awaitable[None]]) -> None:
    async with DockerRuntime() as runtime:
        await act(runtime)


def networks_of(name: str) -> set[str]:
    found: set[str] = set()

    async def look(runtime: DockerRuntime) -> None:
        found.update((await runtime.inspect_container(name)).state.addresses)

    anyio.run(_with_runtime, look)
    return found


@pytest.fixture
def shared(own_name: str) -> Iterator[tuple[str, int]]:
    """Return a registry that somebody has made, in the engine's own network, and its port."""
    name, (port,) = f"k3d-{own_name}-shared", free_ports(1)
    spec = ContainerSpec(
        name=name,
        image=IMAGE,
        network="bridge",
        labels={"app": "k3d", "k3d.role": "registry", "k3d.cluster": ""},
        ports=(PortBinding(port="5000/tcp", host_ip="127.0.0.1", host_port=port),),
    )

    async def make(runtime: DockerRuntime) -> None:
        await runtime.create_container(spec)
        await runtime.start_container(name)

    async def remove(runtime: DockerRuntime) -> None:
        await runtime.remove_container(name, {})

    anyio.run(_with_runtime, make)
    until_it_answers(port)
    yield name, port
    anyio.run(_with_runtime, remove)


def test_a_registry_is_made_and_reached_from_everywhere(
    cli: Cli, own_name: str, tmp_path: Path
) -> None:
    """Pushed here, fetched in every node by its name; k3s, tools and pods are told of it."""
    mine = tmp_path / "registries.yaml"
    mine.write_text("mirrors:\n  a.example:\n    endpoint: [https://b.example]\nnew: 0x10\n")
    name, (port,) = f"{own_name}-reg", free_ports(1)
    flags = ("--registry-create", f"{name}:{port}", "--registry-config", str(mine))
    created = cli.create(own_name, "--agents", "1", *flags)
    assert 0 == created.code, created.err
    server, agent = f"k3d-{own_name}-server-0", f"k3d-{own_name}-agent-0"

    assert f"push images to localhost:{port}/…" in created.err
    path = push(port, b"a layer")
    for node in (server, agent):
        assert "a layer" == fetch(node, name, 5000, path)
        told = inside(node, "cat", "/etc/rancher/k3s/registries.yaml")
        assert "new: 0x10" in told
        mirrors = yaml.safe_load(told)["mirrors"]
        assert ["https://b.example"] == mirrors["a.example"]["endpoint"]
        assert [f"http://{name}:5000"] == mirrors[f"{name}:{port}"]["endpoint"]
    ask = ("kubectl", "get", "configmap", "-o", "json", "-n")
    hosting = json.loads(inside(server, *ask, "kube-public", "local-registry-hosting"))
    assert f"localhost:{port}" == yaml.safe_load(hosting["data"]["localRegistryHosting.v1"])["host"]
    zones = json.loads(inside(server, *ask, "kube-system", "coredns-custom"))["data"]
    assert f" {name}\n" in zones["k3d-hosts.server"]
    assert f"{name}:53" in zones["k3d-hosts.server"]
    rows = [line.split() for line in cli("node", "list").out.splitlines() if own_name in line]
    assert [name, "registry", own_name, "running"] in rows

    assert 0 == cli("delete", own_name).code
    assert [] == everything_of(own_name)


def test_a_registry_outlives_restarts(cli: Cli, own_name: str) -> None:
    """Its address, port and name are the same, and a port match holds inside too."""
    name, (port,) = f"{own_name}-reg", free_ports(1)
    flags = ("--registry-create", f"{name}:{port}", "--enforce-registry-port-match")
    created = cli.create(own_name, *flags)
    assert 0 == created.code, created.err
    path = push(port, b"before")

    async def restart(runtime: DockerRuntime) -> None:
        await runtime.stop_container(name, grace=2)
        await runtime.start_container(name)

    anyio.run(_with_runtime, restart)
    until_it_answers(port)

    assert "before" == fetch(f"k3d-{own_name}-server-0", name, port, path)
    assert 0 == cli("delete", own_name).code


def test_two_clusters_use_one_registry(cli: Cli, own_name: str, shared: tuple[str, int]) -> None:
    """It is in both networks with fixed addresses, and stays when they go."""
    name, port = shared
    first, second = f"{own_name}a", f"{own_name}b"
    path = push(port, b"shared")
    for cluster in (first, second):
        created = cli.create(cluster, "--registry-use", name)
        assert 0 == created.code, created.err
        server = f"k3d-{cluster}-server-0"
        assert "shared" == fetch(server, name, 5000, path)
        address = inside(server, "cat", "/etc/k3d/hosts").split()[0]
        assert "shared" == fetch(server, address, 5000, path)
    assert {"bridge", f"k3d-{first}", f"k3d-{second}"} == networks_of(name)
    star = [line.split() for line in cli("node", "list", name).out.splitlines()][1]
    assert [name, "registry", "*", "running"] == star

    assert 0 == cli("delete", first).code
    assert {"bridge", f"k3d-{second}"} == networks_of(name)
    assert 0 == cli("delete", second).code

    assert {"bridge"} == networks_of(name)
    assert [name] == everything_of(own_name)


def test_a_registry_that_another_cluster_uses_goes_with_that(cli: Cli, own_name: str) -> None:
    """In between it works as before, for the other cluster and for the host."""
    name, (port,) = f"{own_name}-reg", free_ports(1)
    first, second = f"{own_name}a", f"{own_name}b"
    assert 0 == cli.create(first, "--registry-create", f"{name}:{port}").code
    assert 0 == cli.create(second, "--registry-use", name).code

    deleted = cli("delete", first)
    assert 0 == deleted.code, deleted.err
    assert f"registry {name} stays" in deleted.err
    path = push(port, b"still here")
    assert "still here" == fetch(f"k3d-{second}-server-0", name, 5000, path)
    assert [second] == [c["name"] for c in cli.clusters() if own_name in c["name"]]

    deleted = cli("delete", second)
    assert 0 == deleted.code, deleted.err
    assert f"registry {name} goes too" in deleted.err
    assert [] == everything_of(own_name)


@pytest.mark.parametrize("at", ["connect:k3d-{}-shared", "container:k3d-{}-registry"])
def test_after_a_kill_used_registries_are_let_go(
    cli: Cli, own_name: str, shared: tuple[str, int], at: str
) -> None:
    """Kill -9, then rollback: the registry is where it was, and works."""
    name, port = shared
    registry = f"k3d-{own_name}-registry"
    flags = ("--registry-use", name, "--registry-create", registry)
    with cli.starting(own_name, *flags) as process:
        until_event(process, cli, own_name, at.format(own_name))
        process.kill()
        process.communicate()

    done = cli("rollback", own_name)

    assert 0 == done.code, done.err
    assert {"bridge"} == networks_of(name)
    assert [name] == everything_of(own_name)
    assert push(port, b"alive")


def test_what_cannot_be_used_is_said_before_anything_is_made(
    cli: Cli, own_name: str, shared: tuple[str, int]
) -> None:
    """A registry that does not run, or is not there."""
    name, _ = shared

    async def stop(runtime: DockerRuntime) -> None:
        await runtime.stop_container(name, grace=0)

    anyio.run(_with_runtime, stop)
    for registry, words in ((name, "registry start"), (f"{own_name}-none", "no container")):
        refused = cli.create(own_name, "--registry-use", registry)
        assert (1, 1) == (refused.code, len(refused.err.splitlines())), refused.err
        assert words in refused.err
    assert [] == cli.events(own_name)
