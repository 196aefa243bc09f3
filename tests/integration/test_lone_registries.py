"""Registries by themselves on a real engine: what is pushed there is fetched in nodes, by name."""

import json
import os
import subprocess
from urllib.request import urlopen

import pytest
import yaml

from k3dasync import containerd
from tests.integration.conftest import Cli
from tests.integration.test_clusters import everything_of
from tests.integration.test_create_flags import free_ports, inside
from tests.integration.test_registries import fetch, networks_of, push

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]


def docker(*arguments: str) -> str:
    done = subprocess.run(
        ["docker", *arguments], check=True, capture_output=True, text=True, env=os.environ
    )
    return done.stdout.strip()


def mirrors(node: str) -> dict[str, object]:
    text = inside(node, "cat", "/etc/rancher/k3s/registries.yaml")
    return dict((yaml.safe_load(text) or {}).get("mirrors") or {})


def hosting(server: str) -> str:
    return inside(server, "kubectl", "get", "configmaps", "-n", "kube-public", "-o", "json")


def test_a_registry_is_made_used_stopped_started_and_deleted(cli: Cli, own_name: str) -> None:
    """It answers when the command ends; what it was given outlives a stop, and on request more."""
    name, (port,) = f"k3d-{own_name}", free_ports(1)
    made = cli("registry", "create", own_name, "-p", str(port), "--delete-enabled")
    assert 0 == made.code, made.err
    assert f"docker push localhost:{port}/" in made.out
    path = push(port, b"a layer")
    listed = cli("registry", "list", own_name).out.splitlines()
    assert ["NAME", "ROLE", "CLUSTER", "STATUS"] == listed[0].split()
    assert [name, "registry", "*", "running"] == listed[1].split()
    again = cli("registry", "create", own_name)
    assert (1, True) == (again.code, "there already" in again.error)

    created = cli.create(own_name, "--registry-use", name)
    assert 0 == created.code, created.err
    assert "a layer" == fetch(f"k3d-{own_name}-server-0", name, 5000, path)
    assert 0 == cli("delete", own_name).code

    assert "stopped" in cli("registry", "stop", own_name).err
    assert "exited" in cli("registry", "list", own_name, "--no-headers").out
    started = cli("registry", "start", own_name)
    assert 0 == started.code, started.err
    (found,) = json.loads(cli("registry", "list", own_name, "-o", "json").out)
    assert "REGISTRY_STORAGE_DELETE_ENABLED=true" in found["env"]

    deleted = cli("registry", "delete", own_name)
    assert 0 == deleted.code, deleted.err
    assert f"registry {name} deleted" in deleted.err
    assert "nothing to delete" in cli("registry", "delete", own_name).err
    assert [] == everything_of(own_name)


def test_what_a_registry_was_given_can_be_kept(cli: Cli, own_name: str) -> None:
    """In the volume that its image wants, by the name that the delete tells."""
    (port,) = free_ports(1)
    made = cli("registry", "create", own_name, "-p", str(port), "--no-help")
    assert (0, "") == (made.code, made.out), made.err
    path = push(port, b"kept")
    volumes = json.loads(docker("inspect", f"k3d-{own_name}", "--format", "{{json .Mounts}}"))
    deleted = cli("registry", "delete", own_name, "--keep-volume")
    assert 0 == deleted.code, deleted.err
    kept = [one["Name"] for one in volumes if one["Type"] == "volume"]
    assert f"{kept[0]}:/var/lib/registry" in deleted.err
    mount = f"{kept[0]}:/var/lib/registry"
    again = cli("registry", "create", own_name, "-p", str(port), "-v", mount)
    assert 0 == again.code, again.err
    with urlopen(f"http://127.0.0.1:{port}{path}") as answer:
        assert b"kept" == answer.read()
    assert 0 == cli("registry", "delete", own_name).code
    docker("volume", "rm", kept[0])


def test_a_running_cluster_uses_a_registry_and_no_more(cli: Cli, own_name: str) -> None:
    """Nodes, pods and tools are told, also after a restart; a node that can takes it at once."""
    name, (port,) = f"k3d-{own_name}", free_ports(1)
    server, agent = f"k3d-{own_name}-server-0", f"k3d-{own_name}-agent-0"
    assert 0 == cli("registry", "create", own_name, "-p", str(port)).code
    path = push(port, b"late")
    created = cli.create(own_name, "--agents", "1")
    assert 0 == created.code, created.err
    connected = cli("registry", "connect", own_name, "-c", own_name)
    assert 0 == connected.code, connected.err
    assert f"k3dasync restart {own_name}" in connected.err

    for node in (server, agent):
        assert "late" == fetch(node, name, 5000, path)
        assert {f"{name}:{port}", f"{name}:5000"} == set(mirrors(node))
    address = inside(server, "cat", "/etc/k3d/hosts").split()[0]
    assert "late" == fetch(agent, address, 5000, path)
    assert f" {name}\n" in inside(
        server, "cat", "/var/lib/rancher/k3s/server/manifests/k3dasync-coredns-custom.yaml"
    )
    assert 0 == cli("restart", own_name).code
    assert f"localhost:{port}" in hosting(server)
    assert {f"{name}:{port}", f"{name}:5000"} == set(mirrors(agent))

    # What newer k3s writes at its start: the stand-in is an older one.
    config = f'[plugins."x".registry]\n  config_path = "{containerd.HOSTS_FOLDER}"\n'
    for node in (server, agent):
        script = f"mkdir -p {containerd.FOLDER}; printf '%s' '{config}' >{containerd.CONFIG_PATH}"
        inside(node, "sh", "-c", script)
    gone = cli("registry", "disconnect", own_name, "-c", own_name)
    assert 0 == gone.code, gone.err
    assert "restart" not in gone.err
    assert {} == mirrors(server) == mirrors(agent)
    assert {"bridge"} == networks_of(name)
    assert "local-registry-hosting" not in hosting(server)
    back = cli("registry", "connect", name, "-c", own_name)
    assert (0, False) == (back.code, "restart" in back.err), back.err
    said = inside(agent, "cat", f"{containerd.folder_of(f'{name}:{port}')}/hosts.toml")
    assert f'[host."http://{name}:5000/v2"]' in said

    deleted = cli("registry", "delete", own_name)
    assert f"cluster {own_name} are not told" in deleted.err
    assert 0 == cli("delete", own_name).code
    assert [] == everything_of(own_name)


def test_a_registry_that_does_not_stay_up_leaves_nothing(cli: Cli, own_name: str) -> None:
    """A cache whose source is no address: its words are told, and the exit code is 1."""
    made = cli("registry", "create", own_name, "--image", cli.image, "--no-help")

    assert 1 == made.code, made.err
    assert f"k3d-{own_name} exited" in made.err
    assert "nothing of this run is left" in made.err
    assert [] == everything_of(own_name)
