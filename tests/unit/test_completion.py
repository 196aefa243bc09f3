"""What is offered where: commands, flags, values, files and names."""

import socket
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from cyclopts import App

from k3dasync.cli import build, main
from k3dasync.commands import complete
from k3dasync.completion.offer import offer
from k3dasync.completion.values import Source
from k3dasync.fake import FakeRuntime
from k3dasync.operations.names import names
from k3dasync.runtime import ContainerSpec, NetworkSpec
from tests.unit import stub_engine
from tests.unit.test_startup import modules_after


@pytest.fixture(scope="module")
def engine() -> Iterator[str]:
    """Serve the stub engine, at a path that is short enough for a socket."""
    with (
        tempfile.TemporaryDirectory(prefix="k3da-") as directory,
        stub_engine.serve(Path(directory) / "s") as url,
    ):
        yield url


@pytest.fixture(autouse=True)
def stubbed(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let names be asked of the stub engine."""
    monkeypatch.setenv("DOCKER_HOST", engine)
    monkeypatch.delenv("DOCKER_CONTEXT", raising=False)


def candidates(*words: str) -> list[str]:
    return [line.partition("\t")[0] for line in complete.lines(build(), words)]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["de"], ["delete"]),
        (["--verbose", "de"], ["delete"]),
        (
            [
                "cluster",
                "",
            ],
            ["create", "delete", "list"],
        ),
        (["plan", ""], ["create"]),
        (["nonsense", ""], []),
        (["cluster", "nonsense", ""], []),
        (["cluster", "del", "de"], ["demo", "dev", "dead"]),
        (["delete", ""], ["dead", "demo", "dev"]),
        (["delete", "dev", ""], ["dead", "demo"]),
        (["delete", "--all=false", "--trace", "dev", "d"], ["dead", "demo"]),
        (["rollback", ""], ["dead", "demo", "dev"]),
        (["list", ""], ["demo", "dev"]),
        (["cluster", "get", "demo", ""], ["dev"]),
        (["list", "--", ""], ["demo", "dev"]),
        (["kubeconfig", "show", ""], ["demo", "dev"]),
        (["kubeconfig", "write", "-d", "demo", ""], ["dev"]),
        (["node", "list", "k3d-de"], ["k3d-demo-server-0", "k3d-dev-agent-0", "k3d-dev-server-0"]),
        (["node", "ls", "dev-agent-0", "k3d-dev"], ["k3d-dev-server-0"]),
        (["image", "import", "x", "-c", ""], ["demo", "dev"]),
        (["image", "import", "x", "-c", "dev", "--cluster", ""], ["demo"]),
        (["import-images", "--cluster=dev", "--cluster="], ["--cluster=demo"]),
        (["image", "import", ""], [":files"]),
        (["image", "import", "--mode", "t"], ["tools-node", "tools"]),
        (["create", "--registry-use", ""], ["k3d-mirror"]),
        (["create", "--registry-use=k3d-mirror", "--registry-use", ""], []),
        (["create", "-c", ""], [":yaml"]),
        (["delete", "--config="], [":yaml"]),
        (["create", "x"], []),
        (["create", "--wait=n"], ["--wait=none", "--wait=nodes"]),
        (["create", "--runtime", ""], ["docker", "fake"]),
        (["create", "-o", ""], ["yaml", "json"]),
        (["create", "--no-lb="], ["--no-lb=true", "--no-lb=false"]),
        (["create", "--servers"], ["--servers", "--servers-memory"]),
        (["create", "-s3", "--servers"], ["--servers-memory"]),
        (["create", "--no-lb", "--no-l"], []),
        (["create", "--env", "a=b", "--env"], ["--env"]),
        (["create", "--k3s-arg", "--"], []),
        (["create", "--servers", ""], []),
        (["list", "--runtime", "fake", ""], []),
        (["list", "-o", ""], ["table", "json", "yaml"]),
        (["version", "--output="], ["--output=text", "--output=json"]),
        (["config", "schema", "--version", "v1alpha5"], ["v1alpha5"]),
        (["config", "init", "-o", ""], [":files"]),
        (["config", "migrate", ""], [":files"]),
        (["config", "migrate", "a", "b", "c"], []),
        (["completion", ""], ["bash", "zsh", "fish"]),
        (["completion", "-"], ["--help", "--verbose", "--trace", "--timestamps"]),
        (["-"], ["--help", "--verbose", "--trace", "--timestamps"]),
    ],
    ids=" ".join,
)
def test_what_is_offered(words: list[str], expected: list[str]) -> None:
    """In any spelling of the command: what can stand there, begins like that, and is not given."""
    assert sorted(expected) == sorted(candidates(*words))


def test_a_name_to_invent_is_not_offered_but_flags_are() -> None:
    """A create's name is nobody's yet."""
    found = candidates("create", "")

    assert "--servers" in found
    assert [] == [one for one in found if not one.startswith("-")]


def commands(app: App, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the words of every command, hidden spellings included."""
    for name in (one for one in app if not one.startswith("-")):
        yield (*path, name)
        yield from commands(app[name], (*path, name))


@pytest.mark.parametrize("path", list(commands(build())), ids=" ".join)
def test_every_command_completes(path: Sequence[str]) -> None:
    """Its words or flags are what its help shows; each flag's value is offered without an error."""
    app = build()
    assert offer(app, [*path, ""]) != offer(app, ["nonsense", ""])
    for flag, _ in offer(app, [*path, "-"]).words:
        offer(app, [*path, flag, ""])
        offer(app, [*path, f"{flag}="])


async def test_names_are_those_of_an_engine() -> None:
    """Nodes in the narrower sense make a cluster; a network that is left can still be deleted."""

    def labels(cluster: str, role: str) -> dict[str, str]:
        return {"app": "k3d", "k3d.cluster": cluster, "k3d.role": role}

    async with FakeRuntime() as runtime:
        runtime.add_image("x")
        network = NetworkSpec(
            name="k3d-b",
            subnet="10.213.0.0/24",
            gateway="10.213.0.1",
            ip_range="10.213.0.128/25",
            labels=labels("b", ""),
        )
        await runtime.create_network(network)
        for name, each in (
            ("k3d-a-server-0", labels("a", "server")),
            ("k3d-r", labels("c", "registry")),
            ("other", {}),
        ):
            spec = ContainerSpec(name=name, image="x", network="bridge", labels=each)
            await runtime.create_container(spec)
        found = await names(runtime)

    assert ("a",) == found.clusters
    assert ("a", "b", "c") == found.remains
    assert ("k3d-a-server-0", "k3d-r") == found.nodes
    assert ("k3d-r",) == found.registries


@pytest.mark.parametrize("host", ["unix:///no/such/socket", "nonsense://x", "tcp://127.0.0.1:1"])
def test_without_an_engine_there_is_nothing(
    host: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """No error in the middle of what somebody types, and exit code 0."""
    monkeypatch.setenv("DOCKER_HOST", host)

    assert 0 == main(["__complete", "delete", ""])
    assert ("", "") == capfd.readouterr()


def test_an_engine_that_hangs_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """It takes the connection and says nothing."""
    monkeypatch.setattr(complete, "PATIENCE", 0.05)
    with (
        tempfile.TemporaryDirectory(prefix="k3da-") as directory,
        socket.socket(socket.AF_UNIX) as silent,
    ):
        silent.bind(f"{directory}/s")
        silent.listen()
        monkeypatch.setenv("DOCKER_HOST", f"unix://{directory}/s")

        assert 0 == main(["__complete", "delete", ""])
    assert ("", "") == capfd.readouterr()


def test_what_is_typed_is_never_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    """Not even what a command would refuse."""
    assert 0 == main(["__complete", "create", "--wait", "api", "--nonsense", "--verbose=x", "-"])
    assert 0 == main(["__complete"])
    assert "" == capfd.readouterr().err


def test_the_hidden_command_is_hidden(capfd: pytest.CaptureFixture[str]) -> None:
    """It is for shells: neither in the help nor offered."""
    assert 0 == main(["--help"])
    assert "__complete" not in capfd.readouterr().out
    assert [] == candidates("__")


def test_names_come_without_an_engine_client() -> None:
    """Somebody waits at the key."""
    loaded = modules_after("from k3dasync.cli import main; main(['__complete', 'delete', ''])")
    assert set() == loaded & {"aiohttp", "aiodocker", "yaml", "rich.console"}
    loaded = modules_after("from k3dasync.cli import main; main(['__complete', 'de'])")
    assert set() == loaded & {"asyncio", "k3dasync.operations"}


@pytest.mark.parametrize("shell", ["powershell", "psh", "tcsh", ""])
def test_other_shells_are_refused(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In one line, with those that there are."""
    assert 2 == main(["completion", shell])
    out, err = capsys.readouterr()

    assert "" == out
    assert f"error: no completion for {shell!r}: expected bash, zsh or fish\n" == err


def test_sources_are_all_used() -> None:
    """Each is what some place wants."""
    places = (
        ["list", ""],
        ["delete", ""],
        ["node", "list", ""],
        ["create", "--registry-use", ""],
        ["config", "migrate", ""],
        ["create", "-c", ""],
    )

    assert set(Source) == {offer(build(), place).source for place in places}
