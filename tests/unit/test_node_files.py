"""Files for nodes, from the spec to the containers, on the fake engine."""

from pathlib import Path

import pytest

from k3dasync.errors import SpecError
from k3dasync.fake import FakeRuntime, Latency, backend_of
from k3dasync.grammar import filters
from k3dasync.grammar.node_files import NodeFile
from k3dasync.journal import past_runs
from k3dasync.operations.create import create, plan
from k3dasync.spec import ApiPort, ClusterSpec


def spec_with(*files: NodeFile) -> ClusterSpec:
    return ClusterSpec(name="dev", servers=2, agents=1, files=files)


async def test_files_are_in_the_nodes_they_are_for(tmp_path: Path) -> None:
    """From disk as they are, byte by byte, and from the spec itself."""
    (tmp_path / "far").write_bytes(b"\x00\xff")
    spec = spec_with(
        NodeFile(source=str(tmp_path / "far"), destination="/etc/far"),
        NodeFile(source="a\nb", destination="/etc/near", filters=(filters.parse("server:0"),)),
    )
    async with FakeRuntime(latency=Latency.instant()) as runtime:
        await create(spec, backend=backend_of(runtime))
        far = {
            name: await runtime.read_file(f"k3d-dev-{name}", "/etc/far")
            for name in ("server-0", "server-1", "agent-0", "serverlb")
        }

        assert {b"\x00\xff"} == set(far.values())
        assert b"a\nb" == await runtime.read_file("k3d-dev-server-0", "/etc/near")


async def test_a_file_that_cannot_be_read_is_refused_before_anything_is_made(
    tmp_path: Path,
) -> None:
    """With its place, and what the system says; no log is begun."""
    spec = spec_with(
        NodeFile(source=str(tmp_path / "no"), destination="/a", origin="c.yaml:7: files[0].source")
    )
    async with FakeRuntime(latency=Latency.instant()) as runtime:
        for act in (create, plan):
            with pytest.raises(SpecError, match=r"c.yaml:7: files\[0\].source: cannot read .*/no"):
                await act(spec, backend=backend_of(runtime))

        assert () == tuple(await runtime.containers())
        assert [] == list(past_runs("dev"))


async def test_a_host_that_cannot_be_looked_up_needs_an_address_to_bind() -> None:
    """With one, it is only what clients are told."""
    async with FakeRuntime(latency=Latency.instant()) as runtime:
        backend = backend_of(runtime)
        unknown = ApiPort(host="no-such-host.invalid")
        with pytest.raises(SpecError, match=r"cannot look up no-such-host.invalid.*hostIP"):
            await plan(ClusterSpec(api_port=unknown), backend=backend)
        told = ApiPort(host="no-such-host.invalid", host_ip="127.0.0.2", port=6550)
        decided = await plan(ClusterSpec(api_port=told), backend=backend)
        api, server = decided.cluster.api, decided.cluster.servers[0].container

        assert ("no-such-host.invalid", "127.0.0.2", 6550) == (api.host, api.host_ip, api.port)
        assert server.command is not None
        assert ("--tls-san", "no-such-host.invalid") == server.command[1:3]
        assert ("no-such-host.invalid", "127.0.0.2") == (
            server.labels["k3d.server.api.host"],
            server.labels["k3d.server.api.hostIP"],
        )
