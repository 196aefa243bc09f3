"""What the tests of dev/ share: running its scripts, and asking an engine by curl as they do."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

DEV = Path(__file__).parents[2] / "dev"


class Engine:
    """The few calls the tests need; the answers are what the engine says, decoded."""

    def __init__(self, host: str) -> None:
        self.host = host
        if host.startswith("unix://"):
            self._curl = ["--unix-socket", host.removeprefix("unix://")]
            self._origin = "http://engine"
        else:
            self._curl = []
            self._origin = host.replace("tcp://", "http://")

    def raw(self, method: str, path: str, *curl: str, stdin: bytes = b"") -> bytes:
        argv = ["curl", "-sS", "--fail-with-body", "--noproxy", "*", *self._curl, *curl]
        done = subprocess.run(
            [*argv, "--request", method, f"{self._origin}{path}"],
            input=stdin,
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, (
            f"{method} {path}: {done.stdout.decode()} {done.stderr.decode()}"
        )
        return done.stdout

    def call(self, method: str, path: str, body: object = None) -> Any:
        if body is None:
            answer = self.raw(method, path)
        else:
            answer = self.raw(
                method,
                path,
                "--header",
                "Content-Type: application/json",
                "--data-binary",
                "@-",
                stdin=json.dumps(body).encode(),
            )
        return json.loads(answer) if answer.strip() else None

    def create(self, name: str, image: str, **config: object) -> str:
        return str(
            self.call("POST", f"/containers/create?name={name}", {"Image": image, **config})["Id"]
        )

    def start(self, name: str) -> None:
        self.call("POST", f"/containers/{name}/start")

    def execute(self, name: str, *argv: str, privileged: bool = False) -> tuple[int, str]:
        """The exit code and what the command printed, as one text."""
        config = {
            "Cmd": argv,
            "AttachStdout": True,
            "AttachStderr": True,
            "Tty": True,
            "Privileged": privileged,
        }
        exec_id = self.call("POST", f"/containers/{name}/exec", config)["Id"]
        output = self.raw(
            "POST",
            f"/exec/{exec_id}/start",
            "--header",
            "Content-Type: application/json",
            "--data-binary",
            "@-",
            stdin=b'{"Tty": true}',
        )
        return int(self.call("GET", f"/exec/{exec_id}/json")["ExitCode"]), output.decode().replace(
            "\r\n", "\n"
        )

    def logs(self, name: str) -> str:
        return self.raw("GET", f"/containers/{name}/logs?stdout=1&stderr=1").decode(
            errors="replace"
        )

    def remove(self, name: str) -> None:
        self.call("DELETE", f"/containers/{name}?force=1&v=1")


def _run_script(script: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs dev/<script>, with these changes to our environment."""
    return subprocess.run(
        [str(DEV / script), *arguments],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="session")
def run_script() -> Any:
    """Runs a script of dev/ by its name, as a fixture since tests import nothing from here."""
    return _run_script


@pytest.fixture(scope="session")
def connect() -> type[Engine]:
    """Engine, for engines that a test starts itself."""
    return Engine


@pytest.fixture(scope="session")
def engine() -> Engine:
    """The engine of the whole test run."""
    host = os.environ.get("DOCKER_HOST", "")
    assert host, 'no DOCKER_HOST; start an engine with: export "$(dev/engine up)"'
    return Engine(host)


@pytest.fixture(scope="session")
def images(engine: Engine) -> dict[str, str]:
    """The stand-in images, built if they are not there: what dev/images prints, as a mapping."""
    done = _run_script("images", "--standin", DOCKER_HOST=engine.host)
    assert done.returncode == 0, done.stderr
    return dict(line.split("=", 1) for line in done.stdout.splitlines())
