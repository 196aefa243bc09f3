"""Servers that join a real etcd: promoted from outside, through the engine, or by k3s."""

from typing import Any

import anyio
import pytest

from k3dasync import etcd_reach, events
from k3dasync.docker.runtime import DockerRuntime
from k3dasync.etcd import EtcdUnreachable
from tests.integration.conftest import Cli
from tests.integration.elsewhere import Elsewhere
from tests.integration.test_clusters import connect_often, restarts
from tests.support import asyncio_only

pytestmark = [pytest.mark.engine, pytest.mark.timeout(120)]


def told(cli: Cli, name: str, task: str) -> list[str]:
    return [
        event.text
        for event in cli.events(name)
        if isinstance(event, events.TaskProgress) and event.task == task
    ]


@pytest.mark.parametrize(
    ("runtime", "says"),
    [
        ("docker", "etcd is reached at "),
        ("tests.integration.elsewhere:tunnelled", "etcd is reached through the engine"),
        ("tests.integration.elsewhere:unreachable", "left to k3s, every 15 s: cannot reach etcd"),
    ],
)
def test_three_servers_join_without_a_restart(
    cli: Cli, own_name: str, runtime: str, says: str
) -> None:
    """By each of the ways to etcd; every connection is answered afterwards."""
    created = cli.create(own_name, "--servers", "3", "--runtime", runtime)
    assert 0 == created.code, created.err

    assert told(cli, own_name, f"join:k3d-{own_name}-server-1")[0].startswith(says)
    assert 0 == restarts(own_name)
    assert 100 == connect_often(cli, own_name)
    assert 0 == cli("delete", own_name).code


def test_the_serial_order_leaves_etcd_alone(cli: Cli, own_name: str) -> None:
    """Nobody is promoted by us, and the next server starts when the one before has registered."""
    created = cli.create(own_name, "--servers", "3", "--join=serial")
    assert 0 == created.code, created.err

    assert [] == told(cli, own_name, f"join:k3d-{own_name}-server-1")
    assert 0 == restarts(own_name)
    assert 0 == cli("delete", own_name).code


def test_five_servers_at_the_level_of_a_quorum(cli: Cli, own_name: str) -> None:
    """All are started and voters when it returns, and none has been refused.

    The leader's own tick may come before ours, now and then.
    """
    created = cli.create(own_name, "--servers", "5", "--wait=quorum")
    assert 0 == created.code, created.err

    assert 0 == restarts(own_name)
    assert 100 == connect_often(cli, own_name)
    for number in (1, 4):
        last = told(cli, own_name, f"join:k3d-{own_name}-server-{number}")[-1]
        assert last in {"voting member", "voting member, made one by k3s"}
    assert 0 == cli("delete", own_name).code


@asyncio_only
async def test_the_ways_to_an_etcd(cli: Cli, own_name: str) -> None:
    """Straight on the engine's host, through the engine from elsewhere; else each way's reason."""
    created = await anyio.to_thread.run_sync(lambda: cli.create(own_name, "--servers", "2"))
    assert 0 == created.code, created.err
    server = f"k3d-{own_name}-server-0"
    async with DockerRuntime() as runtime:
        far: Any = Elsewhere(runtime)
        cut: Any = Elsewhere(runtime, has_carrier=False)
        async with etcd_reach.connect(runtime, server) as etcd:
            near_members, way = await etcd.members(), etcd.way
        assert way.startswith("at ")
        async with etcd_reach.connect(far, server) as etcd:
            assert near_members == await etcd.members()
            assert f"through the engine, by a command in {server}" == etcd.way
        with pytest.raises(ArithmeticError):
            async with etcd_reach.connect(far, server):
                raise ArithmeticError
        with pytest.raises(EtcdUnreachable, match=r"cannot reach etcd of .*;"):
            async with etcd_reach.connect(cut, server):
                raise AssertionError("it was reached")
        with pytest.raises(EtcdUnreachable, match="No such container"):
            async with etcd_reach.connect(runtime, f"{server}-none"):
                raise AssertionError("it was reached")
        commands = await runtime.execute(server, ["ps"])
        assert b"nc 127.0.0.1" not in commands.out
    deleted = await anyio.to_thread.run_sync(cli, "delete", own_name)
    assert 0 == deleted.code, deleted.err
