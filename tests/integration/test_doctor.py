"""doctor on a real engine."""

import json
import socket
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from k3dasync import docker
from k3dasync.docker.runtime import DockerRuntime
from k3dasync.operations.doctor import examine
from k3dasync.runtime import VolumeSpec
from k3dasync.spec import ClusterSpec
from tests.integration.conftest import Cli

pytestmark = [pytest.mark.engine, pytest.mark.timeout(120)]


def findings(cli: Cli, *arguments: str, code: int = 0) -> dict[str, dict[str, str]]:
    """Return doctor's findings by check, with an image whose cgroups are not judged."""
    done = cli("doctor", "--image", cli.image, "-o", "json", *arguments)
    assert code == done.code, done.err
    return {one["check"]: one for one in json.loads(done.out)["findings"]}


def test_everything_is_looked_at(cli: Cli) -> None:
    """A local engine, from this machine; what was measured is this machine's."""
    found = findings(cli, "--servers", "3", "--agents", "10")
    instances = Path("/proc/sys/fs/inotify/max_user_instances").read_text().strip()

    assert instances == found["inotify-instances"]["value"]
    assert "14" == found["bridge-ports"]["needed"]
    unknown = {name for name, one in found.items() if one["verdict"] == "unknown"}
    assert set() == unknown - {"kernel-modules"}  # listed nowhere on some machines


def test_a_taken_port_is_named(cli: Cli) -> None:
    """One that a process of this machine has."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = findings(cli, "-p", f"127.0.0.1:{port}:80@loadbalancer", code=1)

    assert "error" == found["host-ports"]["verdict"]
    assert f"{port} (it is in use)" == found["host-ports"]["value"]


def test_a_leftover_is_found_and_its_cure_cures(cli: Cli, own_name: str) -> None:
    """A volume of a run of which nothing else is left."""
    labels = {"app": "k3d", "k3d.cluster": own_name, "k3dasync.run": "r"}

    async def leave() -> None:
        async with DockerRuntime() as runtime:
            await runtime.create_volume(VolumeSpec(name=f"k3d-{own_name}-images", labels=labels))

    anyio.run(leave)
    found = findings(cli)["leftovers"]
    assert f"{own_name} (volume k3d-{own_name}-images)" in found["value"]
    assert f"k3dasync delete {own_name}" in found["cure"].split("; ")
    assert 0 == cli("delete", own_name).code
    assert own_name not in findings(cli)["leftovers"]["value"]


def test_a_host_is_looked_at_from_inside_a_node(cli: Cli, own_name: str) -> None:
    """What a node sees of its host is what this machine sees; the node's disk is the engine's."""
    created = cli.create(own_name, "--wait=none")
    assert 0 == created.code, created.err

    async def ask() -> tuple[str, dict[str, str]]:
        async with docker.backend() as backend:
            spec = ClusterSpec(name="other", image=cli.image)
            found = await examine(spec, backend=replace(backend, look=None))
            return found.looked, {one.check: one.value for one in found.findings}

    looked, inside = anyio.run(ask)
    here = findings(cli)
    deleted = cli("delete", own_name)

    assert looked.startswith("inside ")
    for check in ("inotify-instances", "inotify-watches"):
        assert here[check]["value"] == inside[check]
    # Other tests fill the disk meanwhile: to the percent.
    assert here["disk"]["value"].rpartition(", ")[2] == inside["disk"].rpartition(", ")[2]
    assert "a process" in inside["open-files"] or "free" in inside["open-files"]
    assert 0 == deleted.code


def test_no_engine_ends_with_69(cli: Cli) -> None:
    """As every command."""
    done = cli("doctor", DOCKER_HOST="unix:///nonexistent/docker.sock")

    assert (69, "") == (done.code, done.out)
