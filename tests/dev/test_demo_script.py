"""dev/setup, dev/demo and dev/timeline.py: what a newcomer runs first."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.engine, pytest.mark.timeout(120)]  # 13 nodes take 20 s on two cores
ROOT = Path(__file__).parents[2]
DEV = ROOT / "dev"


class Demo:
    """dev/demo with a name and a state directory of its own."""

    def __init__(self, directory: Path, images: dict[str, str]) -> None:
        self.name = f"demo-{secrets.token_hex(3)}"
        self.state = directory / "dev-state"
        # Ten times as fast as k3s: what is tested is the script.
        self.env = {
            "K3DASYNC_DEV_STATE": str(self.state),
            **images,
            "STANDIN_SCALE": "0.1",
        }

    def __call__(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(DEV / "demo"), *arguments],
            env={**os.environ, **self.env, **env},
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )

    @property
    def kubeconfig(self) -> Path:
        return self.state / "demo" / f"{self.name}.kubeconfig"


@pytest.fixture
def demo(tmp_path: Path, images: dict[str, str]) -> Iterator[Demo]:
    demo = Demo(tmp_path, images)
    yield demo
    if demo.state.exists():
        demo("--delete", demo.name)


def names_with(engine: Any, part: str) -> list[str]:
    """Return every container, network and volume with that in its name."""
    containers = [one["Names"][0] for one in engine.call("GET", "/containers/json?all=1")]
    networks = [one["Name"] for one in engine.call("GET", "/networks")]
    volumes = [one["Name"] for one in engine.call("GET", "/volumes")["Volumes"] or []]
    return [name for name in (*containers, *networks, *volumes) if part in name]


def ready_nodes(text: str) -> list[str]:
    return re.findall(r"^(k3d-\S+) +Ready\b", text, flags=re.MULTILINE)


def path_without(directory: Path, program: str) -> str:
    """Return a PATH with everything that is on ours, but for one program."""
    directory.mkdir()
    for folder in os.environ["PATH"].split(os.pathsep):
        for found in Path(folder).glob("*") if Path(folder).is_dir() else ():
            if found.name != program and not os.path.lexists(directory / found.name):
                (directory / found.name).symlink_to(found)
    return str(directory)


def test_the_demo_from_its_creation_to_its_end(demo: Demo, engine: Any, tmp_path: Path) -> None:
    """13 nodes Ready and the time line; the same again when it is there; then nothing is left."""
    made = demo(demo.name)
    again = demo(demo.name, PATH=path_without(tmp_path / "bin", "kubectl"))
    there = len(names_with(engine, demo.name))
    gone = demo("--delete", demo.name)

    assert 0 == made.returncode, made.stderr
    assert 13 == len(ready_nodes(made.stdout)), made.stdout
    assert f"create {demo.name}: done in" in made.stdout
    assert "critical path:" in made.stdout
    assert "stand-ins" in made.stderr
    assert 0 == again.returncode, again.stderr
    assert "is there already" in again.stderr
    assert sorted(ready_nodes(made.stdout)) == sorted(ready_nodes(again.stdout))
    assert 16 == there  # 14 containers, network, volume
    assert 0 == gone.returncode, gone.stderr
    assert [] == names_with(engine, demo.name)
    assert [] == [path.name for path in (demo.state / "demo").iterdir()]


def test_the_demo_leaves_the_users_kubeconfig_alone(demo: Demo, own_directories: Path) -> None:
    """Nobody's current context changes; what the script prints leads to the cluster."""
    made = demo(demo.name, "--servers", "1", "--agents=0", "--no-lb")

    assert 0 == made.returncode, made.stderr
    assert 1 == len(ready_nodes(made.stdout))
    assert not (own_directories / ".kube" / "config").exists()
    assert f"KUBECONFIG={demo.kubeconfig}" in made.stdout
    assert 0o600 == demo.kubeconfig.stat().st_mode & 0o777


def test_a_cluster_of_somebody_else_is_not_shown_as_the_demo(demo: Demo, tmp_path: Path) -> None:
    """Without the kubeconfig that the script has written it is not its cluster."""
    assert 0 == demo(demo.name, "-s", "1", "-a", "0", "--no-lb").returncode
    other = Demo(tmp_path / "other", {})
    refused = other(demo.name)

    assert 1 == refused.returncode
    assert "was not made by this" in refused.stderr


def test_without_an_engine_it_is_a_rehearsal(demo: Demo, tmp_path: Path) -> None:
    """When dev/engine gives up with 69, the same cluster is made in memory, and that is said."""
    copy = tmp_path / "checkout"
    (copy / "dev").mkdir(parents=True)
    for path in [*DEV.iterdir(), *ROOT.iterdir()]:
        target = copy / path.relative_to(ROOT)
        if not target.exists():
            target.symlink_to(path)
    (copy / "dev" / "engine").unlink()
    (copy / "dev" / "engine").write_text('#!/bin/sh\necho "no engine" >&2\nexit 69\n')
    (copy / "dev" / "engine").chmod(0o755)
    done = subprocess.run(
        [str(copy / "dev" / "demo"), demo.name],
        env={**os.environ, **demo.env, "K3DASYNC_FAKE_SCALE": "0.02"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert 0 == done.returncode, done.stderr
    assert "this is a rehearsal" in done.stderr
    assert "3 servers, 10 agents" in done.stderr
    assert "agent-9" in done.stdout
    assert not demo.kubeconfig.exists()


def test_setup_does_nothing_the_second_time() -> None:
    """The first call may install; the next one is quiet and instant."""
    subprocess.run([str(DEV / "setup")], capture_output=True, check=True, timeout=110)
    began = time.monotonic()
    done = subprocess.run([str(DEV / "setup")], capture_output=True, text=True, check=True)

    assert ("", "") == (done.stdout, done.stderr)
    assert time.monotonic() - began < 1  # 0.01 s, on a machine that has time


def test_the_time_line_of_a_run_that_failed(tmp_path: Path) -> None:
    """What was cut and what was undone is marked, in no more than 100 columns."""
    events = tmp_path / "events.jsonl"
    command = [sys.executable, "-m", "k3dasync", "create", "x", "--runtime", "fake"]
    options = ["--servers", "3", "--timeout", "800ms", "--events", str(events)]
    environ = {**os.environ, "K3DASYNC_FAKE_SCALE": "0.1"}
    failed = subprocess.run(
        [*command, *options], env=environ, capture_output=True, check=False, cwd=ROOT
    )
    drawn = subprocess.run(
        [sys.executable, str(DEV / "timeline.py"), str(events)],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
    ).stdout

    assert 124 == failed.returncode, failed.stderr
    assert "create x: failed after" in drawn
    assert "(API_UNREACHABLE)" in drawn  # what was waited for when the time was up
    assert "/ cut" in drawn
    assert "~ undone" in drawn
    assert max(map(len, drawn.splitlines())) <= 100
