"""What can be asked for of nodes, on a real engine: it is there, and it works."""

import json
import socket
import time
from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

from k3dasync.docker.runtime import DockerRuntime
from tests.integration.conftest import Cli
from tests.integration.test_clusters import everything_of

pytestmark = [pytest.mark.engine, pytest.mark.timeout(240)]


def free_ports(count: int) -> list[int]:
    """Return ports that nobody uses just now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def inside(node: str, *command: str) -> str:
    """Run a command in a node and return what it says."""

    async def run() -> str:
        async with DockerRuntime() as runtime:
            container = runtime._engine.docker.containers.container(node)
            execution = await container.exec(list(command), privileged=True)
            said = b""
            async with execution.start(detach=False) as stream:
                while (part := await stream.read_out()) is not None:
                    said += part.data
            return said.decode()

    return anyio.run(run)


def answer(port: int) -> str:
    """Return the first line that a connection to that port gets, as soon as somebody listens."""
    end, line = time.monotonic() + 10, ""
    while not line and time.monotonic() < end:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            line = connection.makefile().readline()
    return line


def test_what_is_asked_for_is_there_and_works(cli: Cli, own_name: str, tmp_path: Path) -> None:
    """Ports of both kinds, env, arguments, labels, volumes, limits and host entries."""
    proxied, direct = free_ports(2)
    (tmp_path / "file").write_text("from the host")
    flags: Sequence[str] = (
        *("--agents", "2", "--no-image-volume"),
        *("-p", f"{proxied}:80@agent:*", "-p", f"127.0.0.1:{direct}:81@agents[1]"),
        *("-e", "FIRST=1@all", "-e", r"MAIL=a\@b@agent:0"),
        *("--k3s-arg", "--disable=traefik@server:0", "--k3s-node-label", "tier=front@agent:0"),
        *("--runtime-label", "team=x@loadbalancer", "--runtime-ulimit", "core=4096:8192"),
        *("-v", f"{tmp_path}:/mounted:ro@agent:0", "-v", f"k3d-{own_name}-data:/data@agent:*"),
        *("--host-alias", "10.9.8.7:far.example", "--agents-memory", "512m"),
    )
    created = cli.create(own_name, *flags)
    assert 0 == created.code, created.err
    nodes = {
        node["name"].removeprefix(f"k3d-{own_name}-"): node
        for node in json.loads(cli("list", own_name, "-o", "json").out)[0]["nodes"]
    }
    first, second = f"k3d-{own_name}-agent-0", f"k3d-{own_name}-agent-1"

    assert {"FIRST=1", "MAIL=a@b"} <= set(nodes["agent-0"]["env"])
    assert "FIRST=1" in nodes["serverlb"]["env"]
    assert ["server", "--disable=traefik"] == nodes["server-0"]["Cmd"][:2]
    assert ["agent", "--node-label", "tier=front"] == nodes["agent-0"]["Cmd"]
    assert [f"k3d-{own_name}-data:/data"] == nodes["agent-1"]["volumes"]
    assert "from the host" == inside(first, "cat", "/mounted/file")
    # Not open files: of those Go's programs, runc among them, raise the soft limit by themselves.
    limits = inside(first, "cat", "/proc/1/limits").splitlines()
    assert ["Max core file size 4096 8192 bytes"] == [
        " ".join(line.split()) for line in limits if "core file" in line
    ]
    assert inside(first, "cat", "/proc/meminfo").startswith("MemTotal: 524288 kB")
    assert "10.9.8.7" in inside(second, "cat", "/etc/hosts")
    for node, port in ((second, 80), (second, 81)):
        inside(node, "sh", "-c", f"(echo hello {port} | nc -l -p {port}) >/dev/null 2>&1 &")
    # Agent 0 does not listen: the load balancer passes it over.
    assert ("hello 80\n", "hello 81\n") == (answer(proxied), answer(direct))

    assert 0 == cli("delete", own_name).code
    assert [] == everything_of(own_name)


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (["-p", "80@nobody"], 2, "--port '80@nobody': expected"),
        (["-p", "8080:80@agent:5"], 2, "expected"),
        (["-p", "8080:80", "-p", "8080:81"], 2, "another host port"),
        (["-e", "A=1"], 2, "a node filter"),
        (["-v", "a:b"], 2, "an absolute path"),
        (["--runtime-ulimit", "noproc=1:2"], 2, "nproc"),
        (["--agents-memory", "lots"], 2, "a size"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_before_anything_is_made(
    cli: Cli, own_name: str, flags: list[str], code: int, words: str
) -> None:
    """One line, the exit code, nothing on the engine, no log."""
    refused = cli.create(own_name, "--agents", "1", *flags)

    assert (code, 1) == (refused.code, len(refused.err.splitlines())), refused.err
    assert words in refused.err
    assert [] == cli.events(own_name)
