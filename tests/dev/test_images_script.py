"""dev/images and dev/image-variant, on the engine of the test run."""

from __future__ import annotations

import io
import os
import tarfile
import time
from collections.abc import Iterator
from typing import Any

import pytest

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]  # the first one may build the images
PREFIX = os.environ.get("K3DASYNC_DEV_IMAGES", "k3dasync-dev")
NODE = f"{PREFIX}/node:standin"
LOADBALANCER = f"{PREFIX}/loadbalancer:standin"
REGISTRY = f"{PREFIX}/registry:standin"
PRINTED = {
    "K3D_IMAGE": NODE,
    "K3D_IMAGE_LOADBALANCER": LOADBALANCER,
    "K3DASYNC_IMAGE_REGISTRY": REGISTRY,
}
NETWORK = f"k3dasync-test-images-{os.getpid()}"
NGINX = """
error_log stderr notice;
include /etc/nginx/modules-enabled/*.conf;
events { worker_connections 64; }
stream {
    upstream nodes { server %s:7000 max_fails=0; }
    server { listen 6443; proxy_pass nodes; }
}
"""


@pytest.fixture(scope="module")
def network(engine: Any) -> Iterator[str]:
    engine.call("POST", "/networks/create", {"Name": NETWORK})
    yield NETWORK
    engine.call("DELETE", f"/networks/{NETWORK}")


@pytest.fixture(scope="module")
def node(engine: Any, images: dict[str, str], network: str) -> Iterator[str]:
    """A container as nodes have it, that answers "hello" on port 7000 instead of being a node."""
    name = f"{network}-node"
    engine.create(
        name,
        images["K3D_IMAGE"],
        Entrypoint=["nc", "-ll", "-p", "7000", "-e", "echo", "hello"],
        Cmd=[],
        HostConfig={
            "Privileged": True,
            "Init": True,
            "Tmpfs": {"/run": "", "/var/run": ""},
            "NetworkMode": network,
        },
    )
    engine.start(name)
    yield name
    engine.remove(name)


@pytest.fixture
def loadbalancer(engine: Any, images: dict[str, str], network: str, node: str) -> Iterator[str]:
    """A load balancer in front of the node, its configuration put into it before its start."""
    name = f"{network}-loadbalancer"
    engine.create(name, images["K3D_IMAGE_LOADBALANCER"], HostConfig={"NetworkMode": network})
    archive, config = io.BytesIO(), (NGINX % node).encode()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        member = tarfile.TarInfo("etc/nginx/nginx.conf")
        member.size = len(config)
        tar.addfile(member, io.BytesIO(config))
    engine.raw(
        "PUT", f"/containers/{name}/archive?path=/", "--upload-file", "-", stdin=archive.getvalue()
    )
    engine.start(name)
    yield name
    engine.remove(name)


def until_logged(engine: Any, name: str, text: str) -> str:
    deadline = time.monotonic() + 10
    while text not in (log := str(engine.logs(name))) and time.monotonic() < deadline:
        time.sleep(0.02)
    return log


def test_the_second_call_builds_nothing(
    run_script: Any, engine: Any, images: dict[str, str]
) -> None:
    """What is there with the right content is used as it is."""
    done = run_script("images", "--standin", DOCKER_HOST=engine.host)
    assert [f"{name}={image}" for name, image in PRINTED.items()] == done.stdout.splitlines()
    assert (
        "".join(f"dev/images: {image} is up to date\n" for image in PRINTED.values()) == done.stderr
    )


def test_the_names_can_be_exported(run_script: Any, engine: Any, images: dict[str, str]) -> None:
    """With --export-env a shell's eval takes the output."""
    done = run_script("images", "--standin", "--export-env", DOCKER_HOST=engine.host)
    expected = [f"export {name}={image}" for name, image in PRINTED.items()]
    assert expected == done.stdout.splitlines()


def test_without_an_engine_it_says_how_to_start_one(run_script: Any) -> None:
    """Exit code 69, one line, nothing on stdout."""
    done = run_script("images", "--standin", DOCKER_HOST="unix:///nonexistent.sock")
    assert (69, "") == (done.returncode, done.stdout)
    assert done.stderr.startswith(
        "dev/images: no engine answers at unix:///nonexistent.sock; start"
    )
    assert 1 == done.stderr.count("\n")


def test_the_node_image_is_configured_as_the_real_one(engine: Any, images: dict[str, str]) -> None:
    """Entrypoint, command, volumes and search path are those of rancher/k3s; it has one layer."""
    image = engine.call("GET", f"/images/{NODE}/json")
    config = image["Config"]
    assert (["/bin/k3s"], ["agent"], "/") == (
        config["Entrypoint"],
        config["Cmd"],
        config["WorkingDir"],
    )
    assert {"/var/lib/kubelet", "/var/lib/rancher/k3s", "/var/lib/cni", "/var/log"} == set(
        config["Volumes"]
    )
    path = next(setting for setting in config["Env"] if setting.startswith("PATH="))
    assert path.endswith(":/bin/aux")
    assert 1 == len(image["RootFS"]["Layers"])
    assert image["Size"] < 50_000_000


def test_the_loadbalancer_image_is_configured_as_the_official_one(
    engine: Any, images: dict[str, str]
) -> None:
    """It is started, and stopped, like nginx's own image."""
    config = engine.call("GET", f"/images/{LOADBALANCER}/json")["Config"]
    assert ["/docker-entrypoint.sh"] == config["Entrypoint"]
    assert ["nginx", "-g", "daemon off;"] == config["Cmd"]
    assert "SIGQUIT" == config["StopSignal"]


def test_the_registry_image_is_configured_as_the_official_one(
    engine: Any, images: dict[str, str]
) -> None:
    """It serves the configuration file that it is started with, and keeps images in a volume."""
    config = engine.call("GET", f"/images/{REGISTRY}/json")["Config"]
    assert ["/entrypoint.sh"] == config["Entrypoint"]
    assert ["/etc/docker/registry/config.yml"] == config["Cmd"]
    assert {"/var/lib/registry": {}} == config["Volumes"]
    assert {"5000/tcp": {}} == config["ExposedPorts"]


def test_a_node_has_what_entrypoint_scripts_use(engine: Any, node: str) -> None:
    """A busybox shell with mount, sed and grep, the multicall names, etcd, places to write."""
    assert (0, "/bin/busybox\n") == engine.execute(node, "readlink", "-f", "/bin/sh")
    for name in ("kubectl", "ctr", "crictl"):
        assert (0, "/bin/k3s\n") == engine.execute(node, "readlink", "-f", f"/bin/{name}")
    code, version = engine.execute(node, "etcd", "--version")
    assert (0, True) == (code, version.startswith("etcd Version: 3."))
    script = (
        "mount --make-rshared / && sed -n '/ \\/ \\/ /p' /proc/self/mountinfo | grep -q shared: && "
        "touch /bin/x /tmp/x /etc/rancher/x /output/x"
    )
    assert (0, "") == engine.execute(node, "sh", "-c", script, privileged=True)


def test_a_nodes_iptables_reads_and_writes_the_engines_rules(engine: Any, node: str) -> None:
    """The engine's rules for its embedded DNS survive a round trip through save and restore."""
    script = (
        "iptables-save | grep -v '^#' >/tmp/before && iptables-save | iptables-restore && "
        "iptables-save | grep -v '^#' | diff /tmp/before -"
    )
    assert (0, "") == engine.execute(node, "sh", "-c", script, privileged=True)
    code, _ = engine.execute(node, "grep", "-q", "DNAT --to-destination 127.0.0.11", "/tmp/before")
    assert 0 == code


def test_a_nodes_iptables_finds_rules_of_the_older_kind(
    engine: Any, images: dict[str, str], network: str
) -> None:
    """On engines whose host has no nftables the same names must show the same rules."""
    name = f"{network}-legacy"
    engine.create(
        name, NODE, Entrypoint=["sleep"], Cmd=["60"], HostConfig={"Privileged": True, "Init": True}
    )
    engine.start(name)
    try:
        rule = "-A OUTPUT -d 192.0.2.1/32 -j RETURN"
        script = f"xtables-legacy-multi iptables -t nat {rule} && iptables-save | grep ^-A"
        assert (0, f"{rule}\n") == engine.execute(name, "sh", "-c", script, privileged=True)
    finally:
        engine.remove(name)


def test_the_loadbalancer_passes_tcp_on(engine: Any, node: str, loadbalancer: str) -> None:
    """A stream configuration works as on the official image, and the log shows the start."""
    assert "start worker processes" in until_logged(engine, loadbalancer, "start worker processes")
    assert (0, "hello\n") == engine.execute(node, "nc", "-w", "5", loadbalancer, "6443")


def test_the_loadbalancer_reloads_and_stops_by_signal(engine: Any, loadbalancer: str) -> None:
    """SIGHUP reads the configuration again; the stop signal ends it in order, with exit code 0."""
    until_logged(engine, loadbalancer, "start worker processes")
    engine.call("POST", f"/containers/{loadbalancer}/kill?signal=HUP")
    assert "reconfiguring" in until_logged(engine, loadbalancer, "reconfiguring")
    engine.call("POST", f"/containers/{loadbalancer}/stop?t=10")
    assert 0 == engine.call("GET", f"/containers/{loadbalancer}/json")["State"]["ExitCode"]


def test_a_variant_is_the_standin_with_other_settings(
    run_script: Any, engine: Any, images: dict[str, str]
) -> None:
    """It has the settings, shares the layer, and a second call makes nothing new."""
    name = f"variant-{os.getpid()}"
    try:
        first = run_script("image-variant", name, 'A=b "c" \\d', "B=1", DOCKER_HOST=engine.host)
        assert (0, f"{PREFIX}/node:{name}\n", "") == (
            first.returncode,
            first.stdout,
            first.stderr,
        )
        variant, standin = (
            engine.call("GET", f"/images/{image}/json") for image in (f"{PREFIX}/node:{name}", NODE)
        )
        assert {*standin["Config"]["Env"], 'A=b "c" \\d', "B=1"} == set(variant["Config"]["Env"])
        assert standin["RootFS"] == variant["RootFS"]
        assert standin["Config"]["Entrypoint"] == variant["Config"]["Entrypoint"]
        run_script("image-variant", name, 'A=b "c" \\d', "B=1", DOCKER_HOST=engine.host)
        assert variant["Id"] == engine.call("GET", f"/images/{PREFIX}/node:{name}/json")["Id"]
    finally:
        engine.call("DELETE", f"/images/{PREFIX}/node:{name}")
