"""dev/engine: the engine of the test run is only asked; what is stopped and killed is our own.

That one has its own state directory and its own network namespace.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.engine, pytest.mark.timeout(120)]  # the first one may build the wrapper
DEV = Path(__file__).parents[2] / "dev"
SLEEP = f"sleep {10_000_000 + os.getpid()}"  # what our containers do, unlike anybody else's
AS_ROOT = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]


class PrivateEngine:
    """A second engine, as a user of dev/engine would have it."""

    def __init__(self, run_script: Any, connect: Any, directory: Path) -> None:
        self._run_script = run_script
        self._connect = connect
        self.directory = directory
        self.netns = f"k3dasync-test-{os.getpid()}"

    def script(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        done = self._run_script("engine", *arguments, K3DASYNC_DEV_STATE=str(self.directory), **env)
        assert isinstance(done, subprocess.CompletedProcess)
        return done

    def up(self, **env: str) -> subprocess.CompletedProcess[str]:
        return self.script("up", "--private", "--netns", self.netns, **env)

    def connected(self) -> Any:
        """The engine's API, once it is up."""
        done = self.up()
        assert done.returncode == 0, done.stderr
        return self._connect(done.stdout.strip().removeprefix("DOCKER_HOST="))

    def processes(self) -> dict[int, str]:
        """Those of this engine and of its containers, by their command lines."""
        found = {}
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                text = file.read_bytes().replace(b"\0", b" ").decode()
            except OSError:  # it has just ended
                continue
            if str(self.directory) in text or SLEEP in text:
                found[int(file.parent.name)] = text
        return found

    def mounts(self) -> list[str]:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        return [line for line in lines if str(self.directory) in line]


@pytest.fixture
def private(run_script: Any, connect: Any) -> Iterator[PrivateEngine]:
    # Not tmp_path: its name is too long for a unix socket's.
    directory = Path(tempfile.mkdtemp(prefix="k3da-"))
    engine = PrivateEngine(run_script, connect, directory)
    yield engine
    engine.script("down", "--purge")
    shutil.rmtree(directory)


@pytest.fixture
def small_image(engine: Any, images: dict[str, str]) -> bytes:
    """An image to bring to another engine."""
    archive = engine.raw("GET", f"/images/{images['K3D_IMAGE_LOADBALANCER']}/get")
    assert isinstance(archive, bytes)
    return archive


def run_container(private: Any, image: str, name: str, **host: object) -> None:
    config = {"Entrypoint": SLEEP.split(), "Cmd": [], "HostConfig": {"Init": True, **host}}
    private.create(name, image, **config)
    private.start(name)


def test_up_takes_the_engine_that_answers(engine: Any, run_script: Any) -> None:
    """It prints DOCKER_HOST's engine, the same again and again, and starts nothing."""
    for _ in range(2):
        done = run_script("engine", "up", DOCKER_HOST=engine.host)
        assert (0, f"DOCKER_HOST={engine.host}\n", "") == (
            done.returncode,
            done.stdout,
            done.stderr,
        )


def test_status_says_whether_an_engine_answers(engine: Any, private: PrivateEngine) -> None:
    """Exit code 0 with a reachable engine, 3 without one."""
    assert 0 == private.script("status", DOCKER_HOST=engine.host).returncode
    done = private.script("status", "--private", DOCKER_HOST=engine.host)
    assert (3, "private engine: none\n") == (done.returncode, done.stdout)


def test_a_private_engine_starts_once(private: PrivateEngine) -> None:
    """The second call finds it and prints the same line; so do two calls at the same time."""
    first = private.up()
    second = private.up()
    assert (0, 0) == (first.returncode, second.returncode)
    assert first.stdout == second.stdout
    assert "" == second.stderr
    assert 0 == private.script("status", "--private").returncode
    assert 1 == len([line for line in private.processes().values() if "dockerd " in line])


def test_two_calls_at_once_start_one_engine(private: PrivateEngine) -> None:
    """Whoever comes second waits for the first one's engine."""
    argv = [str(DEV / "engine"), "up", "--private", "--netns", private.netns]
    env = {**os.environ, "K3DASYNC_DEV_STATE": str(private.directory)}
    calls = [
        subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    lines = {call.communicate(timeout=100)[0] for call in calls}
    assert {f"DOCKER_HOST=unix://{private.directory}/engine/run/docker.sock\n"} == lines
    assert 1 == len([line for line in private.processes().values() if "dockerd " in line])


def test_privileged_containers_start_and_run_commands(engine: Any, images: dict[str, str]) -> None:
    """What nodes need is granted as far as root here has it, at the start and at each exec."""
    name = f"k3dasync-test-privileged-{os.getpid()}"
    run_container(
        engine,
        images["K3D_IMAGE"],
        name,
        Privileged=True,
        Tmpfs={"/run": "", "/var/run": ""},
        OomScoreAdj=-500,
        Ulimits=[{"Name": "nofile", "Soft": 1 << 20, "Hard": 1 << 20}],
    )
    try:
        mount = ("mount", "-t", "tmpfs", "none", "/tmp")
        assert (0, "") == engine.execute(name, *mount, privileged=True)
        assert (0, "") == engine.execute(name, "mount", "--make-rshared", "/", privileged=True)
        assert (0, "docker-init\n") == engine.execute(name, "cat", "/proc/1/comm")
    finally:
        engine.remove(name)


def test_the_wrapper_changes_only_what_cannot_be_granted() -> None:
    """Its own tests, in its own language."""
    done = subprocess.run(
        ["go", "test", "."],
        cwd=DEV / "runtime-wrapper",
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stdout + done.stderr


def test_down_leaves_nothing_but_the_data(private: PrivateEngine, small_image: bytes) -> None:
    """No process, mount or network stays; the images do; --purge removes them, too."""
    second = private.connected()
    second.raw("POST", "/images/load?quiet=1", "--upload-file", "-", stdin=small_image)
    second.call("POST", "/networks/create", {"Name": "one"})
    image = second.call("GET", "/images/json")[0]["RepoTags"][0]
    run_container(second, image, "a1", Privileged=True, NetworkMode="one")
    run_container(second, image, "b1", PortBindings={"80/tcp": [{"HostPort": "8080"}]})

    done = private.script("down")
    assert (0, "") == (done.returncode, done.stdout)
    assert ({}, []) == (private.processes(), private.mounts())
    assert not Path(f"/run/netns/{private.netns}").exists()
    assert 3 == private.script("status", "--private").returncode

    assert image == private.connected().call("GET", "/images/json")[0]["RepoTags"][0]
    private.script("down", "--purge")
    assert [] == list(private.directory.iterdir())


def test_a_killed_engine_is_cleaned_up(private: PrivateEngine, small_image: bytes) -> None:
    """The next start ends the orphaned containers, removes their mounts, and works."""
    second = private.connected()
    second.raw("POST", "/images/load?quiet=1", "--upload-file", "-", stdin=small_image)
    image = second.call("GET", "/images/json")[0]["RepoTags"][0]
    run_container(second, image, "a1")
    daemons = [str(pid) for pid, line in private.processes().items() if "/engine/run/" in line]
    subprocess.run([*AS_ROOT, "sh", "-c", f"kill -KILL {' '.join(daemons)}"], check=True)
    while len(private.processes()) > 2:  # they are dying
        time.sleep(0.01)
    assert [f"/sbin/docker-init -- {SLEEP} ", f"{SLEEP} "] == sorted(private.processes().values())

    containers = private.connected().call("GET", "/containers/json?all=1")
    assert [("/a1", "exited")] == [(one["Names"][0], one["State"]) for one in containers]
    private.script("down")
    assert ({}, []) == (private.processes(), private.mounts())


def test_down_keeps_its_hands_off_a_process_that_is_not_ours(private: PrivateEngine) -> None:
    """A pid file may name a process that got the number later."""
    state = private.directory / "engine"
    state.mkdir()
    with subprocess.Popen(["sleep", "60"]) as stranger:
        (state / "dockerd.pid").write_text(str(stranger.pid))
        assert 0 == private.script("down").returncode
        assert None is stranger.poll()
        stranger.kill()


def test_an_engine_that_dies_at_its_start_is_reported(private: PrivateEngine) -> None:
    """Exit code 69 with the end of its log, and nothing is left running."""
    shims = private.directory / "bin"
    shims.mkdir()
    (shims / "dockerd").write_text("#!/bin/sh\necho it went wrong >&2\nexit 1\n")
    (shims / "dockerd").chmod(0o755)
    done = private.up(PATH=f"{shims}:{os.environ['PATH']}")
    assert (69, "") == (done.returncode, done.stdout)
    assert "dev/engine: the engine died at its start" in done.stderr
    assert "it went wrong\n" in done.stderr
    assert {} == private.processes()


def test_a_second_engine_in_one_network_is_refused(private: PrivateEngine, run_script: Any) -> None:
    """It would flush the iptables chains of the first one."""
    private.connected()
    with tempfile.TemporaryDirectory(prefix="k3da-") as directory:
        third = PrivateEngine(run_script, None, Path(directory))
        third.netns = private.netns
        done = third.up()
        third.script("down", "--purge")
    assert (69, "") == (done.returncode, done.stdout)
    assert "uses this network" in done.stderr


def test_without_an_engine_and_a_way_to_install_one(private: PrivateEngine, tmp_path: Path) -> None:
    """Exit code 69, and one line that says what was tried."""
    # A machine on which little is installed: no curl to ask with, no apt-get to install it.
    for name in ("bash", "env", "sed", "grep", "mkdir", "cksum", "cut", "sudo", "true"):
        if path := shutil.which(name):
            (tmp_path / name).symlink_to(path)
    done = private.script("up", PATH=str(tmp_path), DOCKER_HOST="unix:///nonexistent.sock")
    assert (69, "") == (done.returncode, done.stdout)
    assert 1 == done.stderr.count("\n")
    assert "no engine answers at unix:///nonexistent.sock or unix:///var/run/" in done.stderr
    assert "installing curl" in done.stderr


def test_down_of_an_empty_engine_ends_nobody_elses_containers(
    engine: Any, private: PrivateEngine, images: dict[str, str]
) -> None:
    """An engine without containers has no ids to look for, and other engines' are not its own."""
    name = f"k3dasync-test-bystander-{os.getpid()}"
    run = {"Entrypoint": ["/bin/sleep", "600"], "Cmd": [], "HostConfig": {"NetworkMode": "none"}}
    container = engine.create(name, images["K3D_IMAGE"], **run)
    try:
        engine.start(container)
        assert 0 == private.up().returncode
        assert 0 == private.script("down").returncode

        assert engine.call("GET", f"/containers/{container}/json")["State"]["Running"]
    finally:
        engine.call("DELETE", f"/containers/{container}?force=1&v=1")
