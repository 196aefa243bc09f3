"""The seam to etcd: the real one of a cluster with several servers, in containers."""

import anyio
import pytest

from k3dasync import etcd_grpc
from k3dasync.docker.runtime import DockerRuntime
from k3dasync.etcd import EtcdRefused
from k3dasync.kubernetes import Credentials
from tests.integration.conftest import Cli
from tests.support import asyncio_only

pytestmark = [pytest.mark.engine, pytest.mark.timeout(120)]


@asyncio_only
async def test_members_of_a_real_cluster(cli: Cli, own_name: str) -> None:
    """Both servers are voting members, and there is nothing to promote in a voting member."""
    created = await anyio.to_thread.run_sync(lambda: cli.create(own_name, "--servers", "2"))
    assert 0 == created.code, created.err
    server = f"k3d-{own_name}-server-0"
    async with DockerRuntime() as runtime:
        ca, certificate, key = [
            await runtime.read_file(server, f"{etcd_grpc.TLS_PATH}/{name}")
            for name in ("server-ca.crt", "client.crt", "client.key")
        ]
        found = await runtime.inspect_container(server)
    address = next(iter(found.state.addresses.values()))
    credentials = Credentials(ca=ca, certificate=certificate, key=key)
    async with etcd_grpc.connect(address, credentials) as etcd:
        members = await etcd.members()
        names = sorted(member.name.rpartition("-")[0] for member in members)
        assert [f"k3d-{own_name}-server-{number}" for number in (0, 1)] == names
        assert not any(member.is_learner for member in members)
        with pytest.raises(EtcdRefused, match="can only promote a learner"):
            await etcd.promote(members[0].id)
        with pytest.raises(EtcdRefused, match="member not found"):
            await etcd.promote(1)
        with pytest.raises(EtcdRefused, match="member not found"):
            await etcd.remove(1)
    deleted = await anyio.to_thread.run_sync(cli, "delete", own_name)
    assert 0 == deleted.code, deleted.err


@asyncio_only
async def test_nothing_at_the_other_end_is_a_refusal() -> None:
    """Nobody listens: said in one line, within the call's own time."""
    nobody = Credentials(ca=b"", certificate=b"", key=b"")
    async with etcd_grpc.connect("127.0.0.9", nobody) as etcd:
        with pytest.raises(EtcdRefused, match="MemberList"):
            await etcd.members()
