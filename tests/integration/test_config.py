"""Config files as a user uses them, on a real engine."""

import json
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from k3dasync.docker.runtime import DockerRuntime
from tests.integration.conftest import Cli
from tests.integration.test_clusters import everything_of
from tests.integration.test_create_flags import inside

pytestmark = [pytest.mark.engine, pytest.mark.timeout(240)]

FILE = """\
apiVersion: k3d.io/v1alpha5
kind: Simple
metadata:
  name: {name}
image: {image}
servers: 2
agents: 1
kubeAPI:
  host: localhost
  hostIP: 127.0.0.1
env:
  - envVar: FROM=$WORD costs 5$$
    nodeFilters: [server:*]
files:
  - source: |
      inline
      text
    destination: /etc/example/inline
  - source: beside
    destination: k3s-manifests-custom/beside.yaml
    nodeFilters: [server:*]
  - source: {absolute}
    destination: /from/far
    nodeFilters: [agent:0]
options:
  k3s:
    extraArgs:
      - arg: --disable=traefik
        nodeFilters: [server:0]
  runtime:
    labels:
      - label: team=x
        nodeFilters: [loadbalancer]
"""


def labels_of(node: str) -> dict[str, str]:
    """Return the labels of a container, as the engine has them."""

    async def ask() -> dict[str, str]:
        async with DockerRuntime() as runtime:
            found = await runtime._engine.docker.containers.get(node)
            labels: dict[str, str] = found["Config"]["Labels"]
            return labels

    return anyio.run(ask)


@pytest.fixture
def config(tmp_path: Path, cli: Cli, own_name: str) -> Path:
    """Return a file that asks for a cluster of this test's own name, and what stands beside it."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "beside").write_text("# beside\n")
    (tmp_path / "far").write_bytes(b"\x00\xff far")
    path = tmp_path / "folder" / "config.yaml"
    path.write_text(FILE.format(name=own_name, image=cli.image, absolute=tmp_path / "far"))
    return path


def test_a_file_makes_what_it_says(cli: Cli, own_name: str, config: Path) -> None:
    """Files are in every node they are for, the init server and the load balancer too."""
    created = cli("create", "--config", str(config), WORD="word")
    assert 0 == created.code, created.err
    prefix = f"k3d-{own_name}"
    nodes = {
        node["name"].removeprefix(f"{prefix}-"): node
        for node in json.loads(cli("list", own_name, "-o", "json").out)[0]["nodes"]
    }
    custom = "/var/lib/rancher/k3s/server/manifests/custom/beside.yaml"

    assert {"server-0", "server-1", "agent-0", "serverlb"} == set(nodes)
    assert "FROM=word costs 5$" in nodes["server-1"]["env"]
    assert "--disable=traefik" in nodes["server-0"]["Cmd"]
    assert "x" == labels_of(f"{prefix}-serverlb")["team"]
    for node in nodes:
        assert "inline\ntext\n" == inside(f"{prefix}-{node}", "cat", "/etc/example/inline")
    assert "644 root" == inside(f"{prefix}-server-0", "stat", "-c", "%a %U", custom).strip()
    assert "# beside\n" == inside(f"{prefix}-server-1", "cat", custom)
    assert "6" == inside(f"{prefix}-agent-0", "sh", "-c", "wc -c </from/far").strip()
    (cluster,) = cli.kubeconfig()["clusters"]
    assert cluster["cluster"]["server"].startswith("https://localhost:")

    deleted = cli("delete", "--config", str(config))
    assert (0, True) == (deleted.code, f"cluster {own_name} deleted" in deleted.err), deleted.err
    assert [] == everything_of(own_name)


def test_flags_win_over_variables_over_the_file(cli: Cli, own_name: str, config: Path) -> None:
    """And the file may come from a pipe, or be found by its usual name."""
    home = cli.home / "here"
    home.mkdir()
    (home / "beside").write_text("# beside\n")
    done = subprocess.run(
        [sys.executable, "-m", "k3dasync", "create", "-c", "-", "--servers", "1"],
        env=cli.env | {"K3D_AGENTS": "2", "K3D_SERVERS": "3", "WORD": "word"},
        input=config.read_text(),
        cwd=home,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    (cluster,) = json.loads(cli("list", own_name, "-o", "json").out)

    assert (1, 2) == (cluster["serversCount"], cluster["agentsCount"])
    config.rename(home / "k3d-default.yaml")
    deleted = subprocess.run(
        [sys.executable, "-m", "k3dasync", "delete"],
        env=cli.env | {"K3D_CONFIG": "auto", "WORD": ""},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert 0 == deleted.returncode, deleted.stderr
    assert [] == everything_of(own_name)


def test_a_wrong_file_makes_nothing(cli: Cli, own_name: str, config: Path) -> None:
    """All that is wrong is told; nothing is on the engine, and there is no log."""
    config.write_text(config.read_text().replace("agents: 1", "agents: one\nagnets: 1"))
    refused = cli("create", "-c", str(config))
    missing = cli("create", "-c", "no-such-file")
    (config.parent / "beside").unlink()
    config.write_text(config.read_text().replace("agents: one\nagnets: 1", "agents: 1"))
    unread = cli("create", "-c", str(config))

    assert (2, 3) == (refused.code, len(refused.err.splitlines())), refused.err
    assert (2, 2) == (missing.code, unread.code)
    assert "config.yaml:19: files[1].source: cannot read" in unread.error
    assert [] == cli.events(own_name)
    assert [] == everything_of(own_name)
