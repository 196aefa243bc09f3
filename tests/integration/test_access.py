"""Clusters that are looked into and used, on a real engine: logs, exports, kubectl, a shell."""

import base64
import json
import os
import shutil
import signal
import subprocess
import tarfile
import urllib.request
from pathlib import Path

import pytest

from k3dasync import kubeconfig
from tests.integration.conftest import Cli
from tests.integration.proxy import Proxy, proxy
from tests.integration.test_create_flags import free_ports, inside
from tests.integration.test_registries import push, until_it_answers

pytestmark = [pytest.mark.engine, pytest.mark.timeout(240)]
PATIENCE = 60.0
TOKEN = "SecretOfThisCluster"


def of_node(lines: list[str], node: str) -> list[str]:
    """Return what one node has written."""
    return [line for line in lines if line.startswith(f"{node} ")]


def test_logs_are_followed_over_a_restart_to_the_end(cli: Cli, own_name: str) -> None:
    """No line is lost, none comes twice, none holds the token; when no node is left it ends."""
    assert 0 == cli.create(own_name, "--agents", "1", "--token", TOKEN).code
    with cli.start("logs", own_name, "--follow", "--times") as process:
        stopped = cli("restart", own_name)
        assert 0 == stopped.code, stopped.err
        whole = cli("logs", own_name, "--times").out.splitlines()
        assert 0 == cli("delete", own_name).code
        out, err = process.communicate(timeout=PATIENCE)
    assert 0 == process.returncode, err
    for node in ("server-0", "agent-0", "serverlb"):
        expected = of_node(whole, node)
        assert len(expected) > 2
        assert expected == of_node(out.splitlines(), node)[: len(expected)]
    assert TOKEN not in out
    assert f"k3d-{own_name}-agent-0 does not run" in err


def test_logs_are_followed_over_a_break_of_the_line(cli: Cli, own_name: str) -> None:
    """An engine that is back in a moment has told all of it, once; one that stays away is told."""
    assert 0 == cli.create(own_name, "--agents", "1").code
    direct = cli.engine
    with proxy(direct, Proxy) as between:
        cli.engine = between.url
        process = cli.start("logs", own_name, "-f", "--times")
        assert process.stdout is not None
        first = process.stdout.readline()
        cli.engine = direct
        for _ in range(2):
            between.cut()
            between.open()
            assert 0 == cli("restart", own_name).code
        whole = cli("logs", own_name, "--times").out.splitlines()
        last = {node: of_node(whole, node)[-1] for node in ("server-0", "agent-0")}
        lines = [first.rstrip("\n")]
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            if set(last.values()) <= set(lines):
                break
        between.cut()
        _, err = process.communicate(timeout=PATIENCE)
    assert set(last.values()) <= set(lines), err
    for node, end in last.items():
        found = of_node(lines, node)
        assert of_node(whole, node) == found[: found.index(end) + 1]
    assert 69 == process.returncode
    assert "[ENGINE_UNAVAILABLE]" in err.splitlines()[-1]
    assert 0 == cli("delete", own_name).code


def test_logs_end_with_an_interrupt(cli: Cli, own_name: str) -> None:
    """As docker's and kubectl's do: 130, and not a word."""
    assert 0 == cli.create(own_name).code
    with cli.start("logs", own_name, "server-0", "-f") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
    assert (130, "") == (process.returncode, err)
    assert 0 == cli("delete", own_name).code


def test_what_there_is_of_a_stopped_cluster(cli: Cli, own_name: str, tmp_path: Path) -> None:
    """Its logs, its kubeconfig under any name, an export; a client is told what to do first."""
    assert 0 == cli.create(own_name, "--token", TOKEN).code
    assert 0 == cli("stop", own_name).code

    assert "Starting k3s" in cli("logs", own_name, "server-0").out
    merged = cli("kubeconfig", "merge", own_name, "-o", str(tmp_path / "x"), "--context", "mine")
    assert (0, f"{tmp_path / 'x'}\n") == (merged.code, merged.out)
    assert "mine" == kubeconfig.load(tmp_path / "x")["current-context"]
    for command in ("kubectl", "shell"):
        told = cli(command, own_name)
        assert 1 == told.code
        assert f"is stopped; run: k3dasync start {own_name}" in told.error
    exported = cli("export-logs", own_name, "-o", str(tmp_path / "stopped.tar.gz"))
    assert 0 == exported.code, exported.err
    files = unpacked(tmp_path / "stopped.tar.gz")
    assert any("k3d-entrypoints_" in name for name in files)
    assert "it is exited" in files["stopped/problems.txt"]
    assert 0 == cli("kubeconfig", "remove", own_name).code
    assert [] == cli.kubeconfig()["contexts"]
    assert 0 == cli("delete", own_name).code


def unpacked(archive: Path) -> dict[str, str]:
    with tarfile.open(archive) as tar:
        found = {one.name: tar.extractfile(one) for one in tar.getmembers() if one.isfile()}
        return {name: file.read().decode() for name, file in found.items() if file is not None}


SECRET_FILES = (
    "/var/lib/rancher/k3s/server/token",
    "/var/lib/rancher/k3s/server/cred/passwd",
    "/etc/rancher/node/password",
)


def secrets_of(cli: Cli, name: str) -> list[str]:
    """Return what of a cluster must not be shown, as far as its nodes have it."""
    server = f"k3d-{name}-server-0"
    users = cli.kubeconfig()["users"]
    key = str(users[0]["user"]["client-key-data"])
    found = [TOKEN, key, *base64.b64decode(key).decode().splitlines()[1:-1]]
    for path in SECRET_FILES:
        said = inside(server, "sh", "-c", f"cat {path} 2>/dev/null || true").strip()
        found += [part for part in said.replace("::", ",").split(",") if len(part) > 8]
    return found


def test_an_export_holds_no_secret(cli: Cli, own_name: str, tmp_path: Path) -> None:
    """Of three nodes everything: logs, programs' words, the runs; and nothing that must not be."""
    assert 0 == cli.create(own_name, "--servers", "2", "--agents", "1", "--token", TOKEN).code
    secrets = secrets_of(cli, own_name)
    assert len(secrets) > 4
    done = cli("cluster", "export-logs", own_name, "-p", str(tmp_path / "here"))
    assert 0 == done.code, done.err
    files = unpacked(Path(done.out.strip()))
    everything = "".join(files.values())

    assert [] == [secret for secret in secrets if secret in everything]
    nodes = files.keys()
    for node, parts in (
        ("server-1", ("container.log", "inspect.json", "commands/kubectl-get-nodes-o-wide.txt")),
        ("agent-0", ("container.log", "inspect.json", "commands/ps.txt")),
        ("serverlb", ("container.log", "commands/nginx-T.txt")),
    ):
        for part in parts:
            assert any(name.endswith(f"k3d-{own_name}-{node}/{part}") for name in nodes), part
    table = next(text for name, text in files.items() if "get-nodes" in name)
    assert f"k3d-{own_name}-agent-0" in table
    assert any("/runs/" in name for name in nodes)
    command = [*cli.command, "export-logs", own_name, "-n", "agent-0", "-o", "-"]
    streamed = subprocess.run(command, env=cli.env, capture_output=True, check=True)
    assert b"\x1f\x8b" == streamed.stdout[:2]
    assert 0 == cli("delete", own_name).code


def test_kubectl_and_a_shell(cli: Cli, own_name: str, tmp_path: Path) -> None:
    """With the program on PATH, with the node's own where there is none; nothing stays behind."""
    assert 0 == cli.create(own_name, "--kubeconfig-update-default=false").code
    node = f"k3d-{own_name}-server-0"
    assert shutil.which("kubectl"), (
        "there is no kubectl; install it: apt-get install kubernetes-client"
    )
    asked = ("kubectl", own_name, "--", "get", "nodes", "--no-headers")
    for path in (os.environ["PATH"], "/nowhere"):
        found = cli(*asked, PATH=path)
        assert 0 == found.code, found.err
        assert [node, "Ready"] == found.out.split()[:2]
    # Whoever holds our input open and writes nothing does not keep us.
    idle = [*cli.command, "kubectl", own_name, "--", "get", "nodes"]
    with subprocess.Popen(
        idle, env=cli.env | {"PATH": "/nowhere"}, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert node.encode() in process.stdout.read()
        assert 0 == process.wait(timeout=PATIENCE)
    refused = cli("kubectl", own_name, "--", "get", "node", "nobody", PATH="/nowhere")
    assert 0 != refused.code
    assert "nobody" in refused.err

    script = "kubectl get nodes --no-headers; echo $K3DASYNC_CLUSTER; exit 9"
    shell = cli("shell", own_name, "--", "sh", "-c", script)
    assert (9, own_name) == (shell.code, shell.out.split()[-1])
    assert node in shell.out
    assert [] == list((cli.home / ".local/state/k3dasync/kubeconfigs").iterdir())
    assert 0 == cli("delete", own_name).code


def test_a_create_with_several_kubeconfigs(cli: Cli, own_name: str, tmp_path: Path) -> None:
    """As kubectl would write it; the delete leaves them as they were."""
    absent, mine, other = (tmp_path / name for name in ("absent", "mine", "other"))
    before = b"apiVersion: v1\nkind: Config\nusers: [{name: u, user: {token: t}}]\n"
    for path in (mine, other):
        path.write_bytes(before)
    several = os.pathsep.join(map(str, (absent, mine, other)))
    assert 0 == cli.create(own_name, KUBECONFIG=several).code
    assert not absent.exists()
    assert f"k3d-{own_name}" == kubeconfig.load(mine)["current-context"]
    assert before == other.read_bytes()
    asked = ["kubectl", "get", "nodes", "--no-headers"]
    env = cli.env | {"KUBECONFIG": several}
    said = subprocess.run(asked, env=env, capture_output=True, text=True, check=True)
    assert [f"k3d-{own_name}-server-0", "Ready"] == said.stdout.split()[:2]

    assert 0 == cli("delete", own_name, KUBECONFIG=several).code
    left = kubeconfig.load(mine)
    assert ([], [], "") == (left["clusters"], left["contexts"], left["current-context"])
    assert ["u"] == [user["name"] for user in left["users"]]


def test_tags_of_a_registry_of_ours(cli: Cli, own_name: str) -> None:
    """Pushed here, listed by version; what it has not is an error in its words."""
    (port,) = free_ports(1)
    assert 0 == cli.create(own_name, "--registry-create", f"{own_name}-r:{port}").code
    until_it_answers(port)
    config = push(port, b"{}").rpartition("/")[2]
    for tag in ("v1.2.0-k3s1", "v1.10.0-k3s1", "v1.10.0-rc1-k3s1"):
        put_manifest(port, tag, config)
    repository = f"localhost:{port}/app"

    assert "v1.10.0-k3s1\nv1.2.0-k3s1\n" == cli("version", "list", repository).out
    first = cli("version", "ls", repository, "-e", "^$", "-l", "1", "-s", "asc", "-o", "repo")
    assert f"{repository}:v1.2.0-k3s1\n" == first.out
    absent = cli("version", "list", f"localhost:{port}/none")
    assert 1 == absent.code
    assert "repository name not known to registry" in absent.error
    assert 0 == cli("delete", own_name).code


def put_manifest(port: int, tag: str, config: str) -> None:
    """Give a registry an image without any layer."""
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    of_config = {"mediaType": "application/vnd.docker.container.image.v1+json", "size": 2}
    said = {"schemaVersion": 2, "mediaType": kind, "layers": []}
    body = json.dumps({**said, "config": {**of_config, "digest": config}}).encode()
    url = f"http://127.0.0.1:{port}/v2/app/manifests/{tag}"
    put = urllib.request.Request(url, data=body, method="PUT", headers={"Content-Type": kind})
    with urllib.request.urlopen(put) as answer:
        assert 201 == answer.status


def test_the_engine_about_itself(cli: Cli) -> None:
    """k3d's keys, sorted."""
    done = cli("runtime-info")
    keys = [line.partition(":")[0] for line in done.out.splitlines()]

    assert 0 == done.code
    assert sorted(keys) == keys
    assert {"cgroupdriver", "filesystem", "infoname", "ostype"} <= set(keys)
    assert "UNKNOWN" not in done.out
