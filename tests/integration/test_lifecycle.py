"""Clusters that are stopped, started, restarted, paused and resumed, on a real engine."""

import json
import time

import anyio
import pytest

from k3dasync import events
from k3dasync.docker.runtime import DockerRuntime
from k3dasync.runtime import Status
from tests.integration.conftest import Cli, Variant
from tests.integration.docker_api import DockerApi
from tests.integration.test_clusters import addresses, connect_often, ready_nodes
from tests.integration.test_side_by_side_of_k3d import made_by_k3d

pytestmark = [pytest.mark.engine, pytest.mark.timeout(240)]


def states(name: str) -> set[Status]:
    async def look() -> set[Status]:
        async with DockerRuntime() as runtime:
            found = await runtime.containers({"app": "k3d", "k3d.cluster": name})
            return {one.status for one in found}

    return anyio.run(look)


def test_servers_come_back_with_quorum(cli: Cli, own_name: str) -> None:
    """Three servers with a real etcd and two agents: stopped and started at once, all Ready.

    Nodes keep their addresses, and every fresh connection finds a server that answers.
    """
    assert 0 == cli.create(own_name, "--servers", "3", "--agents", "2").code
    before = addresses(own_name)
    stopped = cli("stop", own_name)
    assert 0 == stopped.code, stopped.err
    assert f"cluster {own_name} stopped" in stopped.err
    assert "" == stopped.out
    assert {Status.EXITED} == states(own_name)
    assert [own_name, "0/3", "0/2", "true"] == cli("list", own_name, "--no-headers").out.split()

    started = cli("start", own_name)
    assert 0 == started.code, started.err
    assert 5 == len(ready_nodes(cli, own_name))
    assert 100 == connect_often(cli, own_name)
    assert before == addresses(own_name)
    starts = [
        one
        for one in cli.events(own_name)
        if isinstance(one, events.TaskDone) and one.task.startswith("start:")
    ]
    assert 6 == len(starts)
    assert 0 == cli("delete", own_name).code


def test_a_stop_is_short_although_servers_drain_when_stopped_alone(cli: Cli, own_name: str) -> None:
    """A server that is stopped alone comes back uncordoned; one of a whole cluster never was."""
    assert 0 == cli.create(own_name, "--agents", "1").code
    began = time.monotonic()
    assert 0 == cli("cluster", "stop", own_name).code
    assert time.monotonic() - began < 9, "the engine had to kill something"
    codes = anyio.run(exit_codes, own_name)
    assert 137 not in codes.values(), codes
    assert 0 == cli("cluster", "start", own_name).code
    nodes = ready_nodes(cli, own_name)
    assert 2 == len(nodes)
    assert 0 == cli("delete", own_name).code


async def exit_codes(name: str) -> dict[str, int]:
    async with DockerRuntime() as runtime:
        found = await runtime.containers({"k3d.cluster": name})
        return {one.name: (await runtime.inspect_container(one.name)).exit_code for one in found}


@pytest.mark.parametrize("level", ["none", "api", "quorum", "all"])
def test_levels_of_a_start(cli: Cli, own_name: str, level: str) -> None:
    """At every level but none the API answers a hundred times when the start returns."""
    assert 0 == cli.create(own_name, "--servers", "3").code
    assert 0 == cli("stop", own_name).code
    started = cli("start", own_name, f"--wait={level}")
    assert 0 == started.code, started.err
    if level != "none":
        assert 100 == connect_often(cli, own_name)
    assert 0 == cli("delete", own_name).code


def test_several_clusters_at_once(cli: Cli, own_name: str) -> None:
    """Two are stopped, restarted and started in one command; an unknown third one stops neither."""
    names = [f"{own_name}a", f"{own_name}b"]
    for name in names:
        assert 0 == cli.create(name, "--wait=none").code
    wrong = cli("stop", *names, "nosuch")
    assert 1 == wrong.code
    assert "nosuch" in wrong.error
    assert {Status.RUNNING} == states(names[0])
    assert 0 == cli("stop", *names).code
    again = cli("stop", *names)
    assert 0 == again.code
    assert f"cluster {names[0]}: nothing of it runs" in again.err
    assert 0 == cli("restart", *names, "--timeout", "100s").code
    for name in names:
        assert 1 == len(ready_nodes(cli, name))
    assert 0 == cli("delete", *names).code


def test_a_paused_cluster_goes_on(cli: Cli, own_name: str) -> None:
    """Paused nodes are frozen, can be listed, resumed, and even stopped."""
    assert 0 == cli.create(own_name, "--agents", "1").code
    assert 0 == cli("pause", own_name).code
    assert {Status.PAUSED} == states(own_name)
    shown = json.loads(cli("node", "list", "-o", "json").out)
    mine = [one for one in shown if own_name in one["name"]]
    assert {"paused"} == {one["State"]["Status"] for one in mine}
    resumed = cli("resume", own_name)
    assert 0 == resumed.code, resumed.err
    assert 2 == len(ready_nodes(cli, own_name))
    assert 0 == cli("pause", own_name).code
    assert 0 == cli("stop", own_name).code
    assert {Status.EXITED} == states(own_name)
    assert 0 == cli("delete", own_name).code


def test_servers_of_k3d_get_their_addresses_again(
    cli: Cli, api: DockerApi, variant: Variant, own_name: str
) -> None:
    """On a network without fixed addresses servers start in the order that gives each its own.

    One whose address is taken is stopped again: it would never come up, and write that to its
    disk. The error says what has to give way.
    """
    # As slow as real ones: k3d starts the next one when etcd takes it only because of that.
    cli.image = variant("k3d-ha", "STANDIN_SCALE=1", "STANDIN_TICK=1.5")
    made_by_k3d(cli, api, own_name, servers=3, agents=1)
    before = server_addresses(own_name)
    stopped = cli("stop", own_name)
    assert 0 == stopped.code, stopped.err
    assert {Status.EXITED} == states(own_name)

    squatter = f"squatter-{own_name}"
    body = {
        "Image": cli.image,
        "Entrypoint": ["sleep", "1000"],
        "NetworkingConfig": {"EndpointsConfig": {f"k3d-{own_name}": {}}},
        "HostConfig": {"NetworkMode": f"k3d-{own_name}"},
    }
    api.post("containers/create", body, name=squatter)
    api.post(f"containers/{squatter}/start")
    started = cli("start", own_name)
    assert 1 == started.code
    assert "its etcd goes by" in started.error
    last = cli.events(own_name)[-1]
    assert isinstance(last, events.RunFailed)
    assert "NODE_MOVED" == last.code
    api.delete(f"containers/{squatter}", force="true", v="true")

    assert 0 == cli("stop", own_name).code
    started = cli("start", own_name)
    assert 0 == started.code, started.err
    assert before == server_addresses(own_name)
    assert 0 == cli("kubeconfig", "merge", own_name, "-d").code
    assert 4 == len(ready_nodes(cli, own_name))
    assert 0 == cli("delete", own_name).code


def server_addresses(name: str) -> dict[str, str]:
    return {node: one for node, one in addresses(name).items() if "-server-" in node}


def test_a_start_that_does_not_end_in_time(cli: Cli, variant: Variant, own_name: str) -> None:
    """Exit code 124, the nodes run on, and the error names what was missing."""
    assert 0 == cli.create(own_name).code
    assert 0 == cli("stop", own_name).code
    started = cli("start", own_name, "--timeout", "100ms")
    assert 124 == started.code
    assert "not done after 0.1 s" in started.error
    assert 0 == cli("start", own_name).code
    assert 0 == cli("delete", own_name).code
