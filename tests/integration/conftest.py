"""The command line as a user runs it, on a real engine, with nodes that are as fast as they can."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

from k3dasync import kubeconfig
from k3dasync.events import AnyEvent
from k3dasync.journal import read
from tests.integration.docker_api import DockerApi

ROOT = Path(__file__).parents[2]
FAST = ("STANDIN_SCALE=0.05",)
"""Nodes come up twenty times as fast as real ones; etcd's own waits stay as they are."""


@dataclass(frozen=True)
class Done:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """Return the line that begins with `error:`."""
        return next(line for line in self.err.splitlines() if line.startswith("error: "))


class Cli:
    """Runs k3dasync in a process of its own, with a home of its own."""

    def __init__(self, home: Path, image: str, engine: str) -> None:
        self.home, self.image, self.engine = home, image, engine
        home.mkdir(exist_ok=True)

    @property
    def env(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if k in {"PATH", "LANG", "VIRTUAL_ENV"}}
        return kept | {
            "HOME": str(self.home),
            "DOCKER_HOST": self.engine,
            "PYTHONPATH": str(ROOT),
            "K3D_IMAGE_LOADBALANCER": os.environ.get(
                "K3D_IMAGE_LOADBALANCER", "k3dasync-dev/loadbalancer:standin"
            ),
            "K3DASYNC_IMAGE_REGISTRY": os.environ.get(
                "K3DASYNC_IMAGE_REGISTRY", "k3dasync-dev/registry:standin"
            ),
        }

    @property
    def command(self) -> list[str]:
        """Return how k3dasync is called."""
        return [sys.executable, "-m", "k3dasync"]

    def start(self, *arguments: str, **env: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [*self.command, *arguments],
            env=self.env | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def piped(self, stdin: IO[bytes] | None, *arguments: str) -> Done:
        """Run a command with that input."""
        done = subprocess.run(
            [*self.command, *arguments],
            check=False,
            env=self.env,
            stdin=stdin,
            capture_output=True,
            text=True,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def __call__(self, *arguments: str, **env: str) -> Done:
        with self.start(*arguments, **env) as process:
            out, err = process.communicate(timeout=180)
        return Done(process.returncode, out, err)

    def create(self, name: str, *arguments: str, **env: str) -> Done:
        return self("create", name, "--image", self.image, *arguments, **env)

    def starting(self, name: str, *arguments: str) -> "subprocess.Popen[str]":
        return self.start("create", name, "--image", self.image, *arguments)

    def events(self, name: str) -> list[AnyEvent]:
        """Return the log of a cluster's last run."""
        logs = sorted((self.home / ".local/state/k3dasync/runs" / name).glob("*.jsonl"))
        return list(read(logs[-1])) if logs else []

    def kubeconfig(self) -> dict[str, Any]:
        return kubeconfig.load(self.home / ".kube" / "config")

    def clusters(self) -> list[dict[str, Any]]:
        done = self("list", "-o", "json")
        assert 0 == done.code, done.err
        return list(json.loads(done.out))


Variant = Callable[..., str]


@pytest.fixture
def variant(docker_host: str) -> Variant:
    """Return what makes a node image with other settings: `variant("crash", "STANDIN_CRASH=…")`."""

    def make(name: str, *settings: str) -> str:
        scale = () if any(one.startswith("STANDIN_SCALE=") for one in settings) else FAST
        command = [str(ROOT / "dev" / "image-variant"), f"test-{name}", *scale, *settings]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    return make


@pytest.fixture
def cli(docker_host: str, variant: Variant, tmp_path: Path) -> Cli:
    """Return the command line with fast nodes."""
    return Cli(tmp_path / "user", variant("fast"), docker_host)


@pytest.fixture
def api(docker_host: str) -> DockerApi:
    """Return the engine as another tool sees it."""
    return DockerApi(docker_host)
