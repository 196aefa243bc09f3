"""A cluster outlives its engine: nothing of ours has to bring it back."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.dev.test_engine_script import PrivateEngine, private

__all__ = ["private"]  # a fixture

pytestmark = [pytest.mark.engine, pytest.mark.timeout(240)]
ROOT = Path(__file__).parents[2]
FAST = ("STANDIN_SCALE=0.05",)
CLUSTER = "outlives"


class Inside:
    """k3dasync where the private engine publishes its ports."""

    def __init__(self, private: PrivateEngine, host: str, home: Path, image: str) -> None:
        self._netns = f"/run/netns/{private.netns}"
        self._env = os.environ | {
            "DOCKER_HOST": host,
            "HOME": str(home),
            "PYTHONPATH": str(ROOT),
            "K3D_IMAGE": image,
        }
        home.mkdir(exist_ok=True)

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["nsenter", f"--net={self._netns}", sys.executable, "-m", "k3dasync"]
        if os.geteuid() != 0:
            command = ["sudo", "--non-interactive", "--preserve-env", *command]
        return subprocess.run(
            [*command, *arguments],
            env=self._env,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )


def bring_images(engine: Any, private: Any, images: dict[str, str], host: str) -> str:
    """Give another engine the images of this one; return a node image that is fast."""
    for name in (images["K3D_IMAGE"], images["K3D_IMAGE_LOADBALANCER"]):
        archive = engine.raw("GET", f"/images/{name}/get")
        private.raw(
            "POST",
            "/images/load",
            "--header",
            "Content-Type: application/x-tar",
            "--data-binary",
            "@-",
            stdin=archive,
        )
    made = subprocess.run(
        [str(ROOT / "dev" / "image-variant"), "outlives", *FAST],
        env=os.environ | {"DOCKER_HOST": host},
        capture_output=True,
        text=True,
        check=True,
    )
    return made.stdout.strip()


def running(private: Any) -> dict[str, str]:
    """Return the addresses of the containers that run, by name."""
    found = private.call("GET", "/containers/json")
    return {
        one["Names"][0]: next(iter(one["NetworkSettings"]["Networks"].values()))["IPAddress"]
        for one in found
    }


def test_a_cluster_comes_back_with_its_engine(
    engine: Any, private: PrivateEngine, images: dict[str, str], tmp_path: Path
) -> None:
    """Three servers and two agents run again after the engine's end, at their old addresses.

    A start finds nothing to be started, and every node Ready, and so it says itself.
    """
    there = private.connected()
    k3dasync = Inside(
        private, there.host, tmp_path / "home", bring_images(engine, there, images, there.host)
    )
    created = k3dasync("create", CLUSTER, "--servers", "3", "--agents", "2")
    assert 0 == created.returncode, created.stderr
    before = running(there)

    down = private.script("down")
    assert 0 == down.returncode, down.stderr
    there = private.connected()
    end = time.monotonic() + 60
    while len(running(there)) < len(before):
        assert time.monotonic() < end, f"only {sorted(running(there))} run again"
        time.sleep(0.5)  # an engine that has just started has told its events already
    assert before == running(there)

    started = k3dasync("start", CLUSTER)
    assert 0 == started.returncode, started.stderr
    assert 0 == k3dasync("delete", CLUSTER).returncode
