"""Whole clusters on a real engine, made and broken as users do it."""

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import anyio
import pytest

from k3dasync import events, kubernetes_http
from k3dasync.docker.runtime import DockerRuntime
from k3dasync.kubernetes import credentials_of
from k3dasync.runtime import ContainerSpec, NetworkSpec, Status, VolumeSpec
from tests.integration.conftest import Cli, Variant
from tests.laws import assert_laws

pytestmark = [pytest.mark.engine, pytest.mark.timeout(240)]


def everything_of(name: str) -> list[str]:
    """Return the names of everything on the engine that has *name* in its name."""

    async def look() -> list[str]:
        async with DockerRuntime() as runtime:
            return sorted(
                [one.name for one in await runtime.containers() if name in one.name]
                + [one.name for one in await runtime.networks() if name in one.name]
                + [one.name for one in await runtime.volumes() if name in one.name]
            )

    return anyio.run(look)


def ready_nodes(cli: Cli, name: str) -> list[str]:
    """Return the nodes that the cluster's own API calls Ready."""
    config = cli.kubeconfig()
    by_name = {entry["name"]: entry for entry in config["clusters"]}
    server = by_name[f"k3d-{name}"]["cluster"]["server"]
    user = next(one for one in config["users"] if one["name"] == f"admin@k3d-{name}")
    credentials = credentials_of({"clusters": [by_name[f"k3d-{name}"]], "users": [user]})

    async def ask() -> list[str]:
        port = int(server.rpartition(":")[2])
        async with (
            kubernetes_http.connect("127.0.0.1", port, credentials) as api,
            api.nodes() as snapshots,
        ):
            nodes = await anext(snapshots)
            return sorted(node.name for node in nodes.values() if node.is_ready)

    return anyio.run(ask)


def connect_often(cli: Cli, name: str, times: int = 100, *, has_api: bool = True) -> int:
    """Return how many of that many fresh connections were answered 200.

    Those to `/readyz`, or without an API to `/cacerts`, which is the supervisor's.
    """
    config = cli.kubeconfig()
    server = next(one for one in config["clusters"] if one["name"] == f"k3d-{name}")
    user = next(one for one in config["users"] if one["name"] == f"admin@k3d-{name}")
    credentials = credentials_of({"clusters": [server], "users": [user]})

    async def ask() -> int:
        port = int(server["cluster"]["server"].rpartition(":")[2])
        async with kubernetes_http.connect("127.0.0.1", port, credentials) as api:
            probe = api.is_ready if has_api else api.supervisor_answers
            return sum([await probe() for _ in range(times)])

    return anyio.run(ask)


def test_one_server(cli: Cli, own_name: str) -> None:
    """Create, use, list, delete; nothing is left, in the engine or in the kubeconfig."""
    created = cli.create(own_name)
    assert (0, "") == (created.code, created.out), created.err
    assert f"cluster {own_name} created in" in created.err
    assert f"k3d-{own_name}" == cli.kubeconfig()["current-context"]
    assert [f"k3d-{own_name}-server-0"] == ready_nodes(cli, own_name)
    assert_laws(cli.events(own_name))
    listed = next(one for one in cli.clusters() if one["name"] == own_name)
    assert (1, 1, True) == (
        listed["serversRunning"],
        listed["serversCount"],
        listed["hasLoadbalancer"],
    )
    table = cli("list", own_name, "--no-headers").out
    assert [own_name, "1/1", "0/0", "true"] == table.split()
    got = cli("kubeconfig", "get", own_name)
    assert got.out.startswith("---\n")
    assert f"admin@k3d-{own_name}" in got.out

    deleted = cli("delete", own_name)
    assert 0 == deleted.code, deleted.err
    assert [] == everything_of(own_name)
    assert [] == cli.kubeconfig()["contexts"]


@pytest.mark.parametrize("level", ["none", "api"])
def test_lower_levels_return_earlier(cli: Cli, own_name: str, level: str) -> None:
    """Without waiting for nodes there is no task that does; who is there answers each time."""
    created = cli.create(own_name, "--servers", "3", f"--wait={level}")
    assert 0 == created.code, created.err
    assert not any(
        isinstance(event, events.TaskStarted) and event.task.startswith("ready:")
        for event in cli.events(own_name)
    )
    assert 100 == connect_often(cli, own_name, has_api=level == "api")
    assert 0 == restarts(own_name)
    assert 0 == cli("delete", own_name).code


def test_three_servers_and_ten_agents(cli: Cli, own_name: str) -> None:
    """The command our users type: all nodes Ready, every connection answered, addresses fixed."""
    created = cli.create(own_name, "--servers", "3", "--agents", "10")
    assert 0 == created.code, created.err
    assert 13 == len(ready_nodes(cli, own_name))
    assert 100 == connect_often(cli, own_name)
    assert 0 == restarts(own_name)
    log = cli.events(own_name)
    assert_laws(log)
    assert isinstance(log[-1], events.RunDone)

    before = addresses(own_name)
    restart_all(own_name)
    # The Nodes are Ready from before: that every server answers again says that it is back.
    wait_until(lambda: 20 == connect_often(cli, own_name, 20), 90, "server that answers")
    wait_until(lambda: 13 == len(ready_or_none(cli, own_name)), 60, "13 nodes ready again")
    assert before == addresses(own_name)
    assert 100 == connect_often(cli, own_name)

    assert 0 == cli("delete", own_name).code
    assert [] == everything_of(own_name)


def restarts(name: str) -> int:
    async def count() -> int:
        async with DockerRuntime() as runtime:
            found = await runtime.containers({"k3d.cluster": name})
            return sum([(await runtime.inspect_container(one.name)).restarts for one in found])

    return anyio.run(count)


def ready_or_none(cli: Cli, name: str) -> list[str]:
    try:
        return ready_nodes(cli, name)
    except Exception:  # noqa: BLE001 - whatever it is, the API is not back yet
        return []


def wait_until(holds: "object", seconds: float, what: str) -> None:
    """Ask until it holds: nothing tells a test from outside when a node is back."""
    assert callable(holds)
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"no {what} after {seconds} s"
        time.sleep(0.2)


def addresses(name: str) -> dict[str, str]:
    async def look() -> dict[str, str]:
        async with DockerRuntime() as runtime:
            found = [one for one in await runtime.containers() if f"k3d-{name}-" in one.name]
            return {one.name: next(iter(one.addresses.values())) for one in found}

    return anyio.run(look)


def restart_all(name: str) -> None:
    """Stop and start the containers as `docker restart` does, in no order of ours."""

    async def restart() -> None:
        async with DockerRuntime() as runtime:
            names = [one.name for one in await runtime.containers() if f"k3d-{name}-" in one.name]

            async def one(container: str) -> None:
                await runtime.stop_container(container)
                await runtime.start_container(container)

            async with anyio.create_task_group() as group:
                for container in sorted(names, reverse=True):
                    group.start_soon(one, container)

    anyio.run(restart)


def test_an_agent_that_crashes_fails_the_create_and_everything_goes(
    cli: Cli, variant: Variant, own_name: str
) -> None:
    """Its last words are in the error, exit code 1, and nothing is left."""
    cli.image = variant("crash", "STANDIN_CRASH=registered@*-agent-1")
    created = cli.create(own_name, "--agents", "3")

    assert 1 == created.code
    assert f"k3d-{own_name}-agent-1 exited with code 1" in created.error
    assert "level=fatal" in created.err
    assert "rolled back" in created.err
    assert [] == everything_of(own_name)
    assert_laws(cli.events(own_name))
    assert "contexts" not in cli.kubeconfig() or [] == cli.kubeconfig()["contexts"]


def test_no_rollback_keeps_the_wreck_for_looking_at(
    cli: Cli, variant: Variant, own_name: str
) -> None:
    """Everything stays until the command that is printed."""
    cli.image = variant("crash", "STANDIN_CRASH=registered@*-agent-1")
    created = cli.create(own_name, "--agents", "2", "--no-rollback")
    assert 1 == created.code
    assert f"k3dasync rollback {own_name}" in created.err
    assert f"k3d-{own_name}-agent-1" in everything_of(own_name)

    assert 0 == cli("rollback", own_name).code
    assert [] == everything_of(own_name)


def test_a_node_that_is_never_ready_ends_with_the_deadline(
    cli: Cli, variant: Variant, own_name: str
) -> None:
    """Exit code 124, and the error says which node and what the API says of it."""
    cli.image = variant("lame", "STANDIN_NEVER_READY=*-agent-0")
    created = cli.create(own_name, "--agents", "1", "--timeout", "8s")

    assert 124 == created.code
    assert f"ready:k3d-{own_name}-agent-0 (the node to be Ready" in created.error
    assert [] == everything_of(own_name)


def until_event(process: "subprocess.Popen[str]", cli: Cli, name: str, task: str) -> None:
    """Return when the run has begun the task."""
    wait_until(
        lambda: (
            process.poll() is not None
            or any(
                isinstance(event, events.TaskStarted) and event.task == task
                for event in cli.events(name)
            )
        ),
        60,
        f"start of {task}",
    )
    assert process.poll() is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_half_way_takes_everything_back(
    cli: Cli, own_name: str, number: signal.Signals
) -> None:
    """Exit code 130, the log is closed, nothing is left."""
    with cli.starting(own_name, "--agents", "4") as process:
        until_event(process, cli, own_name, f"start:k3d-{own_name}-agent-2")
        process.send_signal(number)
        _, err = process.communicate(timeout=60)

    assert 130 == process.returncode, err
    assert "rolled back: nothing of this run is left" in err
    assert [] == everything_of(own_name)
    assert_laws(cli.events(own_name))


def test_a_second_signal_stops_at_once_and_names_the_command(cli: Cli, own_name: str) -> None:
    """What is left is finished by exactly that command."""
    with cli.starting(own_name, "--agents", "6") as process:
        until_event(process, cli, own_name, f"start:k3d-{own_name}-agent-2")
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        for line in process.stderr:
            if "once more to stop at once" in line:
                break
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)

    assert 130 == process.returncode
    assert f"finish with: k3dasync rollback {own_name}" in err
    assert 0 == cli("rollback", own_name).code
    assert [] == everything_of(own_name)


@pytest.mark.parametrize("how", ["rollback", "create", "delete"])
@pytest.mark.parametrize("at", ["container:k3d-{}-agent-0", "start:k3d-{}-agent-0"])
def test_after_a_kill_the_next_command_finishes(cli: Cli, own_name: str, how: str, at: str) -> None:
    """Kill -9, then rollback, a new create or delete of the name: nothing of the old run stays."""
    with cli.starting(own_name, "--agents", "2") as process:
        until_event(process, cli, own_name, at.format(own_name))
        process.kill()
        process.communicate()
    assert everything_of(own_name)

    if how == "create":
        again = cli.create(own_name)
        assert 0 == again.code, again.err
        assert [f"k3d-{own_name}-server-0"] == ready_nodes(cli, own_name)
    done = cli("rollback" if how == "rollback" else "delete", own_name)
    assert 0 == done.code, done.err
    assert [] == everything_of(own_name)


def test_an_existing_cluster_is_never_touched(cli: Cli, own_name: str) -> None:
    """The second create says so before it makes anything; also from another state directory."""
    assert 0 == cli.create(own_name).code
    before = everything_of(own_name)
    other = Cli(cli.home.parent / "other", cli.image, cli.engine)
    for one in (cli, other):
        again = one.create(own_name, "--agents", "2")
        assert (1, before) == (again.code, everything_of(own_name))
        assert "already exists" in again.error
    assert [f"k3d-{own_name}-server-0"] == ready_nodes(cli, own_name)
    assert 0 == cli("delete", own_name).code


@pytest.mark.parametrize("kind", ["container", "network", "volume"])
def test_something_foreign_of_that_name_is_never_touched(
    cli: Cli, own_name: str, kind: str
) -> None:
    """A clear error before anything is made, and the thing is still there."""
    names = {
        "container": f"k3d-{own_name}-agent-0",
        "network": f"k3d-{own_name}",
        "volume": f"k3d-{own_name}-images",
    }

    async def put() -> None:
        async with DockerRuntime() as runtime:
            if kind == "container":
                spec = ContainerSpec(name=names[kind], image=cli.image, network="bridge")
                await runtime.create_container(spec)
            elif kind == "volume":
                await runtime.create_volume(VolumeSpec(name=names[kind], labels={}))
            else:
                await runtime.create_network(
                    NetworkSpec(
                        name=names[kind],
                        subnet="10.214.77.0/24",
                        gateway="10.214.77.1",
                        ip_range="10.214.77.128/25",
                        labels={},
                    )
                )

    async def take() -> None:
        async with DockerRuntime() as runtime:
            await runtime.remove_container(names["container"], {})
            await runtime.remove_network(names["network"], {})
            await runtime.remove_volume(names["volume"], {})

    anyio.run(put)
    try:
        created = cli.create(own_name, "--agents", "1")
        assert (1, [names[kind]]) == (created.code, everything_of(own_name))
        assert f"cannot create {kind} {names[kind]}: the name is taken" in created.error
    finally:
        anyio.run(take)


def test_no_engine_is_one_line_and_69(cli: Cli, own_name: str) -> None:
    """It says what was tried and what to do; nothing is written about a run."""
    cli.engine = "unix:///nowhere/docker.sock"
    for arguments in (["create", own_name], ["list"], ["delete", own_name], ["plan", "create"]):
        done = cli(*arguments)
        assert (69, 1) == (done.code, len(done.err.splitlines())), done.err
        assert "/nowhere/docker.sock" in done.error
    assert [] == cli.events(own_name)
    cli.engine = os.environ["DOCKER_HOST"]


def test_an_image_that_cannot_be_had(cli: Cli, own_name: str) -> None:
    """One line with the engine's words, exit code 1, nothing left."""
    cli.image = "localhost:1/nobody/k3s:v0"
    created = cli.create(own_name)

    assert 1 == created.code
    assert "localhost:1/nobody/k3s:v0" in created.error
    assert [] == everything_of(own_name)


def test_an_api_port_in_use(cli: Cli, own_name: str) -> None:
    """--api-port of a port that somebody listens on: one line, nothing left."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        created = cli.create(own_name, "--api-port", str(port))

    assert 1 == created.code
    assert f"port {port} " in created.error
    assert created.error.endswith("[PORT_IN_USE]")
    assert "container:" not in created.err, "something was made"
    assert [] == everything_of(own_name)


def test_a_port_of_another_cluster(cli: Cli, own_name: str) -> None:
    """The container that has the port is named, and nothing is made."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    assert 0 == cli.create(own_name, "--api-port", port).code
    refused = cli.create(f"{own_name}-b", "--api-port", port)

    assert f"container k3d-{own_name}-serverlb has it" in refused.error
    assert "container:" not in refused.err, "something was made"
    assert [] == everything_of(f"{own_name}-b")
    assert 0 == cli("delete", own_name).code


def test_two_creates_of_one_name_at_once(cli: Cli, own_name: str) -> None:
    """From two state directories: exactly one wins, and the loser breaks nothing."""
    other = Cli(cli.home.parent / "other", cli.image, cli.engine)
    processes = [one.starting(own_name, "--agents", "1") for one in (cli, other)]
    results = [(process, process.communicate(timeout=120)[1]) for process in processes]

    codes = [process.returncode for process, _ in results]
    assert [0, 1] == sorted(codes), [err for _, err in results]
    winner = (cli, other)[codes.index(0)]
    assert 2 == len(ready_nodes(winner, own_name))
    expected = ["agent-0", "images", "server-0", "serverlb"]
    assert [f"k3d-{own_name}", *(f"k3d-{own_name}-{part}" for part in expected)] == everything_of(
        own_name
    )
    assert 0 == winner("delete", own_name).code


def test_two_creates_from_one_state_directory(cli: Cli, own_name: str) -> None:
    """The second one is told at once that another process is at work."""
    with cli.starting(own_name) as process:
        until_event(process, cli, own_name, f"start:k3d-{own_name}-server-0")
        second = cli.create(own_name)
        assert 1 == second.code
        assert f"process {process.pid} is working on it" in second.error
        process.communicate(timeout=60)
    assert 0 == process.returncode
    assert 0 == cli("delete", own_name).code


def test_four_clusters_at_once(cli: Cli, own_name: str) -> None:
    """Different subnets and ports, one kubeconfig with all of them, deleted together."""
    names = [f"{own_name}-{letter}" for letter in "abcd"]
    processes = [cli.starting(name, "--agents", "1") for name in names]
    for process in processes:
        _, err = process.communicate(timeout=180)
        assert 0 == process.returncode, err

    contexts = {entry["name"] for entry in cli.kubeconfig()["contexts"]}
    assert {f"k3d-{name}" for name in names} == contexts
    servers = {entry["cluster"]["server"] for entry in cli.kubeconfig()["clusters"]}
    assert 4 == len(servers)
    for name in names:
        assert 2 == len(ready_nodes(cli, name))
    deleted = cli("delete", *names)
    assert 0 == deleted.code, deleted.err
    assert [] == everything_of(own_name)


def test_without_load_balancer_and_with_a_named_port(cli: Cli, own_name: str) -> None:
    """--no-lb: server-0 publishes the API itself, at the port that was asked for."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    created = cli.create(own_name, "--no-lb", "--api-port", str(port), "--token", "s3cret")
    assert 0 == created.code, created.err
    assert f"https://127.0.0.1:{port}" in created.err
    assert [f"k3d-{own_name}-server-0"] == ready_nodes(cli, own_name)
    assert "s3cret" in cli("list", own_name, "--token").out
    assert "s3cret" not in cli("list", own_name, "-o", "json").out + created.err
    assert 0 == cli("delete", own_name).code


def test_a_network_that_is_there_is_used_and_stays(cli: Cli, own_name: str) -> None:
    """--network of one the engine chose a subnet for: dynamic addresses, a warning, it works."""

    async def make() -> None:
        import aiohttp

        path = cli.engine.removeprefix("unix://")
        connector = aiohttp.UnixConnector(path)
        async with aiohttp.ClientSession(connector=connector) as session:
            body = {"Name": f"{own_name}-net", "Labels": {"test": own_name}}
            async with session.post("http://engine/networks/create", json=body) as answer:
                assert 201 == answer.status, await answer.text()

    async def remove() -> bool:
        async with DockerRuntime() as runtime:
            return await runtime.remove_network(f"{own_name}-net", {"test": own_name})

    anyio.run(make)
    try:
        created = cli.create(own_name, "--network", f"{own_name}-net", "--agents", "1")
        assert 0 == created.code, created.err
        assert "dynamic addresses" in created.err
        assert 2 == len(ready_nodes(cli, own_name))
        assert 100 == connect_often(cli, own_name)
        assert 0 == cli("delete", own_name).code
        assert [f"{own_name}-net"] == everything_of(own_name)
    finally:
        assert anyio.run(remove)


def test_events_on_stdout_are_the_only_thing_there(cli: Cli, own_name: str) -> None:
    """--events - is for machines: every line is an event, and equal to the log's."""
    created = cli.create(own_name, "--events", "-", "--wait=none")
    assert 0 == created.code, created.err
    lines = [json.loads(line) for line in created.out.splitlines()]

    assert list(range(len(lines))) == [line["seq"] for line in lines]
    assert len(lines) == len(cli.events(own_name))
    assert ("run_started", "run_done") == (lines[0]["event"], lines[-1]["event"])
    assert 0 == cli("delete", own_name).code


def test_a_cluster_survives_being_stopped(cli: Cli, own_name: str) -> None:
    """A kubeconfig can be had from a cluster whose containers are stopped."""
    assert 0 == cli.create(own_name).code

    async def stop() -> list[Status]:
        async with DockerRuntime() as runtime:
            for one in await runtime.containers():
                if f"k3d-{own_name}-" in one.name:
                    await runtime.stop_container(one.name)
            found = await runtime.containers()
            return [one.status for one in found if f"k3d-{own_name}-" in one.name]

    assert {Status.EXITED} == set(anyio.run(stop))
    written = cli("kubeconfig", "write", own_name)
    assert 0 == written.code, written.err
    assert f"k3d-{own_name}" in Path(written.out.strip()).read_text()
    assert [own_name, "0/1", "0/0", "true"] == cli("list", own_name, "--no-headers").out.split()
    assert 0 == cli("delete", own_name).code
    assert not Path(written.out.strip()).exists()
