"""Images built and imported on a real engine, by docker's command and without it."""

import re
import secrets
import shutil
import signal
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest

from k3dasync.docker.runtime import DockerRuntime
from tests.engine import NODE_IMAGE
from tests.integration.conftest import Cli
from tests.integration.test_import import id_of, layers_in, layers_of, listed, log_of, until
from tests.laws import assert_laws

pytestmark = [pytest.mark.engine, pytest.mark.timeout(240)]
WITHOUT = {"PATH": "/nonexistent"}
"""The environment of somebody who has no docker command."""


@pytest.fixture(params=["command", "engine"])
def builder(request: pytest.FixtureRequest) -> dict[str, str]:
    """Return the environment in which that builder is chosen."""
    if request.param == "engine":
        return WITHOUT
    if shutil.which("docker") is None:
        pytest.fail("there is no docker command; get it with: apt-get install docker.io")
    return {}


@pytest.fixture
def tag(docker_host: str) -> Iterator[Callable[[], str]]:
    """Return what thinks of a name for an image; it is removed in the end."""
    made: list[str] = []

    async def remove() -> None:
        async with DockerRuntime() as runtime:
            known = {name for image in await runtime.images() for name in image.tags}
            for name in made:
                if name in known:
                    await runtime._engine.docker.images.delete(name, force=True)

    def think() -> str:
        made.append(f"k3dasync-test/build-{secrets.token_hex(4)}:dev")
        return made[-1]

    yield think
    anyio.run(remove)


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """Return a folder to build from, with something that is to be left out."""
    root = tmp_path / "app"
    root.mkdir()
    (root / "Dockerfile").write_text(
        "FROM scratch AS small\nARG WORD\nLABEL word=$WORD\nCOPY . /app\n"
        "FROM scratch\nCOPY absent /\n"
    )
    (root / ".dockerignore").write_text("secret\n")
    (root / "hello").write_text("hello")
    (root / "secret").write_text("secret")
    return root


def test_what_is_built_is_in_all_nodes(
    cli: Cli, own_name: str, tag: Callable[[], str], app: Path, builder: dict[str, str]
) -> None:
    """Both of its tags, with the digests and layers of the engine; without what is ignored."""
    assert 0 == cli.create(own_name, "--agents", "1").code
    first, second = tag(), tag()
    words = ["-t", first, "-t", second, "--target", "small", "--build-arg", "WORD=yes", str(app)]

    done = cli("image", "build", "-c", own_name, *words, **builder)

    assert (0, "") == (done.code, done.out), done.err
    assert f"{first}, {second} built and imported into 2 nodes of {own_name}" in done.err
    for node in ("server-0", "agent-0"):
        name = f"k3d-{own_name}-{node}"
        assert {f"docker.io/{first}", f"docker.io/{second}"} <= set(listed(name))
        assert layers_of(first) == layers_in(name, first)
    assert (["app/", "app/.dockerignore", "app/Dockerfile", "app/hello"], "yes") == (
        anyio.run(content_of, first)
    )
    assert_laws(log_of(cli, own_name))
    assert 0 == cli("delete", own_name).code


async def content_of(tag: str) -> tuple[list[str], str]:
    """Return the files of an image's only layer, and its label."""
    async with DockerRuntime() as runtime:
        docker = runtime._engine.docker
        label = (await docker.images.inspect(tag))["Config"]["Labels"]["word"]
        container = await docker.containers.create({"Image": tag, "Cmd": ["x"]})
        try:
            tar: tarfile.TarFile = await container.get_archive("/app")
            names = sorted(f"{one.name}/" if one.isdir() else one.name for one in tar)
        finally:
            await container.delete(force=True)
    return names, str(label)


def test_a_build_that_fails_imports_nothing(
    cli: Cli, own_name: str, tag: Callable[[], str], app: Path, builder: dict[str, str]
) -> None:
    """It is an error with the builder's words, and one for a target that is not there, too."""
    assert 0 == cli.create(own_name).code
    name = tag()

    done = cli("image", "build", "-c", own_name, "-t", name, str(app), **builder)

    assert 1 == done.code
    assert re.search(rf"cannot build {name}: .*absent.*\[IMAGE_BUILD_FAILED\]", done.error)
    assert "Step 4/6 : COPY . /app" in done.err
    assert f"docker.io/{name}" not in listed(f"k3d-{own_name}-server-0")
    done = cli("image", "build", "-c", own_name, "-t", name, "--target", "x", str(app), **builder)
    assert (1, True) == (done.code, "failed to reach build target x" in done.error)
    assert 0 == cli("delete", own_name).code


def test_a_context_from_standard_input(
    cli: Cli, own_name: str, tag: Callable[[], str], app: Path, builder: dict[str, str]
) -> None:
    """A tar, and a Dockerfile alone; here it is given beside a folder."""
    assert 0 == cli.create(own_name).code
    packed, text = tag(), tag()
    command = ["image", "build", "-c", own_name, "--target", "small", "-t"]
    env = cli.env | builder
    tar = subprocess.run(["tar", "-C", str(app), "-c", "."], capture_output=True, check=True)

    for name, given, context in (
        (packed, tar.stdout, ["-"]),
        (text, b"FROM scratch AS small\nCOPY hello /\n", ["-f", "-", str(app)]),
    ):
        done = subprocess.run(
            [*cli.command, *command, name, *context],
            env=env,
            input=given,
            capture_output=True,
            check=False,
        )
        assert 0 == done.returncode, done.stderr.decode()
        assert f"docker.io/{name}" in listed(f"k3d-{own_name}-server-0")
    assert 0 == cli("delete", own_name).code


def test_flags_for_the_command_are_its_own(
    cli: Cli, own_name: str, tag: Callable[[], str], app: Path
) -> None:
    """They are handed on, and without a command that is said."""
    assert 0 == cli.create(own_name).code
    name = tag()
    words = ["image", "build", "-c", own_name, "-t", name, "--target", "small", str(app)]
    further = ["--", "--label", "mine=yes"]

    assert 0 == cli(*words, *further).code
    assert "yes" == anyio.run(label_of, name, "mine")
    done = cli(*words, *further, **WITHOUT)
    assert (2, True) == (done.code, "there is none on PATH" in done.error)
    assert 0 == cli("delete", own_name).code


async def label_of(tag: str, key: str) -> str:
    async with DockerRuntime() as runtime:
        found = await runtime._engine.docker.images.inspect(tag)
        return str(found["Config"]["Labels"][key])


def test_ctrl_c_ends_the_build(
    cli: Cli, own_name: str, tag: Callable[[], str], app: Path, builder: dict[str, str]
) -> None:
    """In the middle of a step: it exits with 130, and the step runs no more."""
    assert 0 == cli.create(own_name).code
    name, mark = tag(), f"{secrets.randbelow(10**6) + 10**6}"
    (app / "Dockerfile").write_text(f"FROM {NODE_IMAGE}\nRUN echo begun && sleep {mark}\n")
    process = cli.start("image", "build", "-c", own_name, "-t", name, str(app), **builder)
    until(lambda: bool(running_with(mark)))
    process.send_signal(signal.SIGINT)
    reader = threading.Timer(60, process.kill)
    reader.start()
    _, err = process.communicate()
    reader.cancel()

    assert 130 == process.returncode, err
    until(lambda: not running_with(mark))
    assert_laws(log_of(cli, own_name))
    assert 0 == cli("delete", own_name).code


def running_with(mark: str) -> list[str]:
    """Return the containers of the engine whose command has that word in it."""

    async def ask() -> list[str]:
        async with DockerRuntime() as runtime:
            found = await runtime._engine.docker.containers.list()
            return [one.id for one in found if mark in str(one["Command"])]

    return anyio.run(ask)


def test_images_are_listed_by_node(
    cli: Cli, own_name: str, tag: Callable[[], str], app: Path
) -> None:
    """An image that a node lacks is listed with its name; a node that does not run is warned of."""
    assert 0 == cli.create(own_name, "--agents", "2").code
    name = tag()
    words = ["image", "build", "-c", own_name, "-t", name, "--target", "small", str(app)]
    agent = f"k3d-{own_name}-agent-1"

    async def stop() -> None:
        async with DockerRuntime() as runtime:
            await runtime.stop_container(agent)

    async def start() -> None:
        async with DockerRuntime() as runtime:
            await runtime.start_container(agent)

    anyio.run(stop)
    assert 1 == cli(*words, **WITHOUT).code
    done = cli("image", "list", own_name)
    assert 0 == done.code
    assert f"{agent} does not run, it is exited" in done.err
    assert re.search(rf"{own_name} +docker.io/{name} +[0-9a-f]{{12}} +0.0 MB +2/2$", done.out)

    anyio.run(start)
    until(lambda: "2/3, not agent-1" in cli("images", "ls", own_name).out)
    found = cli("image", "list", own_name, "-o", "yaml")
    assert f"id: {id_of(name)}" in found.out
    assert f"- {agent}" in found.out
    assert 0 == cli("delete", own_name).code
