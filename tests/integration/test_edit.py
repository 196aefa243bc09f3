"""Clusters that are changed on a real engine: their load balancer is replaced, nothing else."""

import http.client
import json
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import pytest
import yaml

from k3dasync import events
from k3dasync.docker.runtime import DockerRuntime
from k3dasync.runtime import ContainerDetail, Status
from tests.integration.conftest import Cli, Variant
from tests.integration.docker_api import DockerApi, Refused
from tests.integration.test_clusters import addresses, connect_often, everything_of, wait_until
from tests.integration.test_create_flags import answer, free_ports, inside
from tests.integration.test_side_by_side_of_k3d import made_by_k3d

pytestmark = [pytest.mark.engine, pytest.mark.timeout(240)]

CONFD = """\
#!/bin/sh
# What k3d's own image does, as far as it matters here: nginx.conf is rendered from k3d's
# description, checked, and loaded; names have to resolve then, at its start too.
render() {
  awk 'BEGIN { print "include /etc/nginx/modules-enabled/*.conf;\\nerror_log stderr notice;"
               print "events { worker_connections 1024; }\\nstream {" }
       /^  [0-9]+\\.[a-z]+:/ { if (port) print "}"; split($1, part, "."); port = part[1]
                               print "server { listen " port "; proxy_pass p" port "; }"
                               print "upstream p" port " {" }
       /^  - / { print "server " $2 ":" port ";" }
       END { print "}\\n}" }' /etc/confd/values.yaml >/tmp/nginx.conf
  nginx -t -c /tmp/nginx.conf && cp /tmp/nginx.conf /etc/nginx/nginx.conf
}
render || exit 1
sleep 1
(
  while sleep 0.2; do
    now=$(md5sum </etc/confd/values.yaml)
    if [ "$now" != "$last" ]; then render && nginx -s reload && last=$now; fi
  done
) &
exec nginx -g "daemon off;"
"""


def balancer(name: str) -> ContainerDetail:
    async def look() -> ContainerDetail:
        async with DockerRuntime() as runtime:
            return await runtime.inspect_container(f"k3d-{name}-serverlb")

    return anyio.run(look)


def serve(name: str, node: str, port: int) -> None:
    """Let a node answer every connection to a port with its name."""
    command = f"(while :; do echo {node} | nc -l -p {port}; done) >/dev/null 2>&1 &"
    inside(f"k3d-{name}-{node}", "sh", "-c", command)


def is_closed(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 2).close()
    except ConnectionRefusedError:
        return True
    return False


def forwarded(cli: Cli, name: str) -> dict[str, list[str]]:
    """Return what the load balancer says that it forwards, the names of nodes shortened."""
    shown = cli("debug", "lb", "get-config", name)
    assert 0 == shown.code, shown.err
    ports = yaml.safe_load(shown.out)["ports"]
    return {
        key: [node.removeprefix(f"k3d-{name}-") for node in nodes] for key, nodes in ports.items()
    }


def until_task(process: "subprocess.Popen[str]", cli: Cli, name: str, kind: str) -> None:
    """Return when an edit has begun a task of that kind, or has ended."""

    def has_begun() -> bool:
        log = cli.events(name)
        is_edit = isinstance(log[0], events.RunStarted) and log[0].operation == "edit"
        return process.poll() is not None or any(
            is_edit and isinstance(one, events.TaskStarted) and one.task.startswith(f"{kind}:")
            for one in log
        )

    wait_until(has_begun, 60, f"start of {kind}")


def test_ports_are_added_and_deleted(cli: Cli, own_name: str) -> None:
    """Connections reach the nodes that are meant, all else is as it was; after a restart too."""
    old, new, more = free_ports(3)
    created = cli.create(own_name, "--agents", "2", "-p", f"{old}:80@agent:0")
    assert 0 == created.code, created.err
    serve(own_name, "agent-0", 80)
    serve(own_name, "agent-1", 81)
    before, everywhere, everything = (
        balancer(own_name),
        addresses(own_name),
        everything_of(own_name),
    )

    edited = cli("cluster", "edit", own_name, "--port-add", f"127.0.0.1:{new}:81@agent:1")
    assert (0, "") == (edited.code, edited.out), edited.err
    assert f"cluster {own_name} edited" in edited.err
    assert ("agent-0\n", "agent-1\n") == (answer(old), answer(new))
    assert 100 == connect_often(cli, own_name)
    assert everywhere == addresses(own_name)
    assert everything == everything_of(own_name)
    wanted = {"6443.tcp": ["server-0"], "80.tcp": ["agent-0"], "81.tcp": ["agent-1"]}
    assert wanted == forwarded(cli, own_name)
    assert before.state.id != balancer(own_name).state.id

    again = cli("edit", own_name, "--port-add", f"127.0.0.1:{new}:81@agent:1")
    assert 0 == again.code
    assert "is published already" in again.err
    assert f"cluster {own_name}: nothing to change" in again.err
    both = cli(
        *("node", "edit", f"{own_name}-serverlb"),
        *("--port-delete", f"{new}:81", "--port-add", f"{more}:80"),
    )
    assert 0 == both.code, both.err
    assert is_closed(new)
    assert ("agent-0\n", "agent-0\n") == (answer(old), answer(more))
    assert {"6443.tcp": ["server-0"], "80.tcp": ["agent-0"]} == forwarded(cli, own_name)

    assert 0 == cli("restart", own_name).code
    serve(own_name, "agent-0", 80)
    assert ("agent-0\n", "agent-0\n") == (answer(old), answer(more))
    assert everywhere == addresses(own_name)
    assert 0 == cli("delete", own_name).code
    assert [] == everything_of(own_name)


def test_variables_labels_and_a_stopped_cluster(cli: Cli, own_name: str) -> None:
    """They are set, the cluster stays stopped, and starts with its new port."""
    [port] = free_ports(1)
    assert 0 == cli.create(own_name).code
    serve(own_name, "server-0", 80)
    assert 0 == cli("stop", own_name).code
    edited = cli(
        *("edit", own_name, "--port-add", f"{port}:80", "--env-add", "A=1"),
        *("--runtime-label-add", "team=x"),
    )
    assert 0 == edited.code, edited.err
    found = balancer(own_name)
    assert Status.CREATED is found.state.status
    assert ("x", True) == (found.state.labels["team"], "A=1" in found.env)
    assert 0 == cli("start", own_name).code
    serve(own_name, "server-0", 80)
    assert "server-0\n" == answer(port)
    refused = cli("edit", own_name, "--env-add", "A=1@server:0")
    assert 1 == refused.code
    assert "fixed when it is made [NOT_EDITABLE]" in refused.error
    assert 0 == cli("delete", own_name).code


def test_an_image_without_its_name(cli: Cli, api: DockerApi, own_name: str) -> None:
    """Somebody has removed the tag: the new load balancer is made of the image all the same."""
    tag = f"{own_name}-lb"
    api.post(f"images/{cli.env['K3D_IMAGE_LOADBALANCER']}/tag", repo=tag, tag="x")
    try:
        assert 0 == cli.create(own_name, K3D_IMAGE_LOADBALANCER=f"{tag}:x").code
    finally:
        api.delete(f"images/{tag}:x", force="true", v="true")
    edited = cli("edit", own_name, "--port-add", f"{free_ports(1)[0]}:80")
    assert 0 == edited.code, edited.err
    assert balancer(own_name).image_id == balancer(own_name).state.image
    assert 0 == cli("delete", own_name).code


def test_a_port_in_use(cli: Cli, api: DockerApi, own_name: str) -> None:
    """Refused before anything is made; taken in the last moment, the old one is back."""
    assert 0 == cli.create(own_name).code
    before = balancer(own_name)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        refused = cli("edit", own_name, "--port-add", f"{port}:80")
        assert 1 == refused.code
        assert "it is in use; free it, or name another one [PORT_IN_USE]" in refused.error
    assert before == balancer(own_name)

    with cli.start("edit", own_name, "--port-add", f"{port}:80") as process:
        until_task(process, cli, own_name, "container")
        process.send_signal(signal.SIGSTOP)
        squatter = squat(api, cli, own_name, port)
        process.send_signal(signal.SIGCONT)
        _, err = process.communicate(timeout=60)
    assert 1 == process.returncode, err
    assert "the old load balancer is back: nothing has changed" in err
    assert "[PORT_IN_USE]" in err
    assert unchanged(before, balancer(own_name))
    assert 100 == connect_often(cli, own_name)
    api.delete(f"containers/{squatter}", force="true", v="true")
    assert 0 == cli("delete", own_name).code


def squat(api: DockerApi, cli: Cli, own_name: str, port: int) -> str:
    """Take a host port with another container, and return its name."""
    name = f"squatter-{own_name}"
    body = {
        "Image": cli.image,
        "Entrypoint": ["sleep", "1000"],
        "ExposedPorts": {"80/tcp": {}},
        "HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": str(port)}]}},
    }
    api.post("containers/create", body, name=name)
    api.post(f"containers/{name}/start")
    return name


def unchanged(before: ContainerDetail, after: ContainerDetail) -> bool:
    """Say whether it is the same container, running, at the same address and ports."""
    return (before.state, before.started_at, before.fixed_addresses) == (
        after.state,
        after.started_at,
        after.fixed_addresses,
    )


@pytest.mark.parametrize("task", ["container", "start", "swap", "remove-container"])
def test_after_a_kill_a_rollback_brings_it_back(cli: Cli, own_name: str, task: str) -> None:
    """Kill -9 in the middle, then `rollback`: one load balancer that serves, old or new."""
    [port] = free_ports(1)
    assert 0 == cli.create(own_name).code
    before, everything = balancer(own_name), everything_of(own_name)
    with cli.start("edit", own_name, "--port-add", f"{port}:80") as process:
        until_task(process, cli, own_name, task)
        process.kill()
        process.communicate()
    rolled = cli("rollback", own_name)
    assert 0 == rolled.code, rolled.err
    assert everything == everything_of(own_name)
    if task != "remove-container":
        assert unchanged(before, balancer(own_name))
    assert 100 == connect_often(cli, own_name)
    edited = cli("edit", own_name, "--port-add", f"{port}:80")
    assert 0 == edited.code, edited.err
    assert 0 == cli("delete", own_name).code


def test_an_interrupted_edit_takes_itself_back(cli: Cli, own_name: str) -> None:
    """Ctrl-C while the new one starts: exit code 130, and nothing has changed."""
    assert 0 == cli.create(own_name).code
    before = balancer(own_name)
    with cli.start("edit", own_name, "--port-add", f"{free_ports(1)[0]}:80") as process:
        until_task(process, cli, own_name, "start")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert 130 == process.returncode, err
    assert "the old load balancer is back: nothing has changed" in err
    assert unchanged(before, balancer(own_name))
    assert 100 == connect_often(cli, own_name)
    assert 0 == cli("delete", own_name).code


def answers(port: int) -> bool:
    """Say whether the supervisor answers there."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    api = http.client.HTTPSConnection("127.0.0.1", port, timeout=2, context=context)
    try:
        api.request("GET", "/cacerts")
        return api.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        api.close()


@contextmanager
def refusals(port: int) -> Iterator[list[tuple[float, float]]]:
    """Ask in a loop meanwhile, and collect when that failed: beginnings and ends."""
    found: list[tuple[float, float]] = []
    is_over = threading.Event()

    def connect() -> None:
        while not is_over.is_set():
            began = time.monotonic()
            if not answers(port):
                found.append((began, time.monotonic()))
            time.sleep(0.005)

    thread = threading.Thread(target=connect)
    thread.start()
    try:
        yield found
    finally:
        is_over.set()
        thread.join()


def test_who_connects_meanwhile_is_refused_for_a_moment(cli: Cli, own_name: str) -> None:
    """For less than the new one needs to start: that was done before."""
    assert 0 == cli.create(own_name).code
    [shown] = json.loads(cli("list", own_name, "-o", "json").out)
    port = int(shown["kubeAPI"]["Binding"]["HostPort"])
    with refusals(port) as found:
        edited = cli("edit", own_name, "--port-add", f"{free_ports(1)[0]}:80")
    assert 0 == edited.code, edited.err
    assert found
    assert found[-1][1] - found[0][0] < 5, "an engine's call takes a fraction of that"
    assert 100 == connect_often(cli, own_name)
    assert 0 == cli("delete", own_name).code


def test_a_network_without_fixed_addresses(cli: Cli, api: DockerApi, own_name: str) -> None:
    """Ports that came later go by names: of one node, of all servers, of some."""
    network = f"{own_name}-shared"
    api.post("networks/create", {"Name": network, "Driver": "bridge"})
    one, several = free_ports(2)
    created = cli.create(own_name, "--agents", "2", "--network", network)
    assert 0 == created.code, created.err
    for node in ("agent-0", "agent-1"):
        serve(own_name, node, 80)
        serve(own_name, node, 81)
    edited = cli(
        *("edit", own_name, "--port-add", f"{one}:80@agent:1"),
        *("--port-add", f"{several}:81@agent:*"),
    )
    assert 0 == edited.code, edited.err
    assert "agent-1\n" == answer(one)
    assert {"agent-0\n", "agent-1\n"} == {answer(several) for _ in range(30)}
    assert 100 == connect_often(cli, own_name)
    assert 0 == cli("delete", own_name).code
    api.delete(f"networks/{network}")


def test_a_cluster_that_k3d_made(
    cli: Cli, api: DockerApi, variant: Variant, own_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its load balancer goes on with its own image, by k3d's description, by names at last."""
    monkeypatch.setenv("K3D_IMAGE_LOADBALANCER", confd_image(api, cli, own_name))
    [port] = free_ports(1)
    try:
        cluster = made_by_k3d(cli, api, own_name, servers=1, agents=1)
        assert 0 == cli("kubeconfig", "merge", own_name, "-d").code
        serve(own_name, "agent-0", 80)
        edited = cli("edit", own_name, "--port-add", f"{port}:80@agent:0")
        assert 0 == edited.code, edited.err
        assert "agent-0\n" == answer(port)
        assert 100 == connect_often(cli, own_name)
        wanted = {"6443.tcp": ["server-0"], "80.tcp": ["agent-0"]}
        assert wanted == forwarded(cli, own_name)
        config = inside(f"k3d-{own_name}-serverlb", "cat", "/etc/nginx/nginx.conf")
        assert f"server k3d-{own_name}-agent-0:80;" in config
        found = balancer(own_name)
        assert cluster.balancer_image == found.state.image
        assert "k3dasync.run" not in found.state.labels
        [shown] = json.loads(cli("list", own_name, "-o", "json").out)
        assert {"6443.tcp", "80.tcp"} == set(shown["serverLoadBalancer"]["config"]["ports"])
        assert 0 == cli("restart", own_name).code
        assert 100 == connect_often(cli, own_name)
        assert 0 == cli("delete", own_name).code
    finally:
        api.delete(f"images/{own_name}-confd:x", force="true", v="true")


def confd_image(api: DockerApi, cli: Cli, own_name: str) -> str:
    """Make an image that goes by k3d's description, and return its name."""
    maker = f"maker-{own_name}"
    api.post("containers/create", {"Image": cli.env["K3D_IMAGE_LOADBALANCER"]}, name=maker)
    api.write(maker, "/confd.sh", CONFD.encode(), 0o755)
    changes = 'ENTRYPOINT ["/confd.sh"]\nCMD []'
    api.post("commit", {}, container=maker, repo=f"{own_name}-confd", tag="x", changes=changes)
    api.delete(f"containers/{maker}", force="true", v="true")
    return f"{own_name}-confd:x"


def test_what_cannot_be_edited(cli: Cli, api: DockerApi, own_name: str) -> None:
    """Unknown clusters and nodes, other nodes, a cluster without a load balancer."""
    assert 1 == cli("edit", "nosuch", "--port-add", "8080:80").code
    assert 1 == cli("node", "edit", "nosuch", "--port-add", "8080:80").code
    assert 0 == cli.create(own_name, "--no-lb").code
    for command in (("edit", own_name), ("debug", "loadbalancer", "get-config", own_name)):
        refused = cli(*command)
        assert 1 == refused.code
        assert f"cluster {own_name} has no load balancer" in refused.error
    refused = cli("node", "update", f"k3d-{own_name}-server-0", "--port-add", "8080:80")
    assert 1 == refused.code
    assert "its role is server, and only load balancers can be changed" in refused.error
    assert 0 == cli("delete", own_name).code
    with pytest.raises(Refused):
        api.get(f"containers/k3d-{own_name}-server-0/json")
