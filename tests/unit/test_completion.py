"""What may stand next on a command line, and that real shells offer it."""

import os
import pty
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from k3dasync import cli
from k3dasync.commands.completion import _joined
from k3dasync.completion.candidates import candidates
from k3dasync.completion.meanings import Kind, of_argument
from k3dasync.completion.shells import SCRIPTS

NAMES = {
    "cluster": ["dev", "demo"],
    "node": ["k3d-dev-server-0", "k3d-dev-agent-0", "k3d-reg"],
    "registry": ["k3d-reg"],
    "volume": ["data"],
    "network": ["shared"],
}
BIN = Path(sys.executable).parent
SECONDS = 30.0
"""For a shell to start and to ask us, on a machine that is busy with other tests."""


def names(kind: Kind) -> Sequence[str]:
    return NAMES[kind]


def offered(*words: str) -> list[str]:
    return [one.word for one in candidates(cli.build(), words, names)]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("cr",), ["create"]),
        (
            ("cluster", ""),
            [
                *("create", "delete", "list", "start", "stop", "restart", "pause", "resume"),
                *("scale", "edit", "export-logs"),
            ],
        ),
        (("delete", ""), ["dev", "demo"]),
        (("delete", "de"), ["dev", "demo"]),
        (("delete", "dev", ""), ["demo"]),
        (("delete", "--", "dev", ""), ["demo"]),
        (("cluster", "rm", "dem"), ["demo"]),
        (("list", "-o", ""), ["table", "json", "yaml"]),
        (("list", "--output=y"), ["--output=yaml"]),
        (("node", "ls", "-o", "j"), ["json"]),
        (("version", "-o", ""), ["json"]),
        (("create", "-o", ""), ["yaml", "json"]),
        (("kubeconfig", "merge", "-o", ""), []),
        (("rollback", ""), ["dev", "demo"]),
        (("edit", ""), ["dev", "demo"]),
        (("node", "edit", ""), ["k3d-dev-server-0", "k3d-dev-agent-0", "k3d-reg"]),
        (("edit", "dev", "--port-"), ["--port-add", "--port-delete"]),
        (("rollback", "dev", ""), []),
        (("kubeconfig", "merge", "dev", ""), ["demo"]),
        (("node", "list", ""), ["k3d-dev-server-0", "k3d-dev-agent-0", "k3d-reg"]),
        (("create", ""), []),
        (("create", "--registry-use", ""), ["k3d-reg"]),
        (("create", "--wait=q"), ["--wait=quorum"]),
        (("create", "--wait", ""), []),
        (("create", "--no-lb="), ["--no-lb=true", "--no-lb=false"]),
        (("create", "--config", ""), []),
        (("create", "--serv"), ["--servers", "--servers-memory"]),
        (("create", "--servers", "3", "--serv"), ["--servers-memory"]),
        (("create", "--env", "A=1", "--en"), ["--enforce-registry-port-match", "--env"]),
        (("plan", "create", "-o", "m"), ["mermaid"]),
        (("image", "import", "-c", ""), ["dev", "demo"]),
        (("image", "import", "-c", "dev", "-c", ""), ["demo"]),
        (("completion", ""), ["bash", "zsh", "fish"]),
        (("completion", "bash", ""), []),
        (("--trace", "dele"), ["delete"]),
        (("config", "view", ""), []),
        (("no-such-command", ""), []),
        (("scale", ""), ["dev", "demo"]),
        (("node", "create", "-c", ""), ["dev", "demo"]),
        (("node", "create", "--role", ""), ["agent", "server"]),
        (("registry", "connect", ""), ["k3d-reg"]),
        (("registry", "connect", "k3d-reg", "-c", ""), ["dev", "demo"]),
        (("volume", "delete", ""), ["data"]),
        (("create", "--network", ""), ["shared"]),
        (("image", "list", "d"), ["dev", "demo"]),
        (("debug", "lb", "get-config", "de"), ["dev", "demo"]),
        (("prune", "-o", "j"), ["json"]),
        (("start", "de"), ["dev", "demo"]),
        (("cluster", "restart", "dev", ""), ["demo"]),
        (("logs", ""), ["dev", "demo"]),
        (("logs", "dev", ""), ["server-0", "agent-0"]),
        (("logs", "dev", "-f", "agent-0", ""), ["server-0"]),
        (("logs", "dev", "--fo"), ["--follow"]),
        (("export-logs", "--all", "-n", "k3d-dev-a"), ["k3d-dev-agent-0"]),
        (("debug", "export-logs", "dev", ""), ["demo"]),
        (("kubectl", ""), ["dev", "demo"]),
        (("kubectl", "dev", "--", ""), []),
        (("shell", "dev", ""), []),
        (("kubeconfig", "remove", "dev", ""), ["demo"]),
        (("version", "list", ""), ["k3s", "k3d", "k3d-proxy", "k3d-tools"]),
        (("version", "list", "k3s", ""), []),
        (("version", "list", "k3s", "-o", ""), ["raw", "repo"]),
        (("version", "list", "--sort=d"), ["--sort=desc"]),
        (("version", ""), ["list"]),
    ],
)
def test_what_may_stand_next(words: Sequence[str], expected: list[str]) -> None:
    """Commands, flags not given yet, their choices, and names that are not given already."""
    assert expected == offered(*words)


@pytest.mark.parametrize(
    ("path", "place", "expected"),
    [
        (("node", "delete"), 3, "node"),
        (("node", "edit"), 0, "node"),
        (("node", "create"), 0, None),
        (("reg", "rm"), 0, "registry"),
        (("registry", "connect"), 1, "registry"),
        (("volume", "delete"), 0, "volume"),
        (("network", "rm"), 0, "network"),
        (("cluster", "edit"), 0, "cluster"),
        (("scale",), 0, "cluster"),
        (("debug", "lb", "get-config"), 0, "cluster"),
        (("image", "list"), 0, "cluster"),
        (("image", "import"), 0, None),
        (("plan", "create"), 0, None),
    ],
)
def test_what_arguments_name(path: Sequence[str], place: int, expected: str | None) -> None:
    """Whoever has the commands."""
    assert expected == of_argument(path, place)


def test_every_command_and_flag_is_offered() -> None:
    """Whatever the table has: completion works from it."""
    app = cli.build()
    assert {name for name in app if not name.startswith("-") and app[name].show} <= {*offered("")}
    flags = {
        name
        for one in app["create"].assemble_argument_collection()
        if one.show and one.index is None
        for name in one.names
    }
    assert flags <= {*offered("create", "-")}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["create", "--wait", "=", "q"], (["create", "--wait=q"], "--wait=")),
        (["create", "--wait", "="], (["create", "--wait="], "--wait=")),
        (["create", "--wait", "=", "api", "x"], (["create", "--wait=api", "x"], "")),
        (["delete", "de"], (["delete", "de"], "")),
    ],
)
def test_bash_cuts_words_at_equals_signs(words: list[str], expected: tuple[list[str], str]) -> None:
    """They are put together again, and what bash keeps is not said twice."""
    assert expected == _joined(words)


def test_without_an_engine_nothing_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No error either: this is printed into somebody's prompt."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///there/is/no/engine.sock")

    assert 0 == cli.main(["__complete", "bash", "delete", ""])
    assert ("", "") == capsys.readouterr()


@pytest.mark.parametrize("shell", SCRIPTS)
def test_the_script_is_printed(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It says itself how it is used."""
    assert 0 == cli.main(["completion", shell])
    assert f"completion {shell}" in capsys.readouterr().out


@pytest.mark.parametrize("shell", ["powershell", "psh", "sh"])
def test_other_shells_are_refused(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In one line that names those there are."""
    assert 2 == cli.main(["completion", shell])
    assert "fish" in capsys.readouterr().err


def program(name: str) -> str:
    found = shutil.which(name)
    assert found is not None, f"there is no {name}; install it: apt-get install {name}"
    return found


def typed(command: list[str], setup: str, keys: str, expected: str, home: Path) -> str:
    """Type into a shell at a terminal until what is expected stands there, and return all of it."""
    pid, terminal = pty.fork()
    if pid == 0:
        env = {"HOME": str(home), "TERM": "xterm", "PATH": f"{BIN}:/usr/bin:/bin", "PS1": "$ "}
        os.execve(command[0], command, env)
    seen = ""
    try:
        os.write(terminal, f"{setup}; echo re''ady\n".encode())
        seen = _until(terminal, "ready\r\n", seen)
        os.write(terminal, keys.encode())
        return _until(terminal, expected, seen)
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        os.close(terminal)


def _until(terminal: int, expected: str, seen: str) -> str:
    end = time.monotonic() + SECONDS
    while expected not in seen:
        assert select.select([terminal], [], [], end - time.monotonic())[0], repr(seen)
        seen += os.read(terminal, 4096).decode(errors="replace")
    return seen


def test_bash_completes(tmp_path: Path) -> None:
    """A unique word is written out, the value behind an equals sign too."""
    command = [program("bash"), "--norc", "--noprofile", "-i"]
    setup = "source <(k3dasync completion bash)"

    typed(command, setup, "k3dasync dele\t", "k3dasync delete ", tmp_path)
    typed(command, setup, "k3dasync create --wait=quo\t", "--wait=quorum ", tmp_path)


def test_zsh_completes(tmp_path: Path) -> None:
    """With what the words are."""
    command = [program("zsh"), "-f", "-i"]
    setup = "autoload -U compinit; compinit -u; source <(k3dasync completion zsh)"

    typed(command, setup, "k3dasync dele\t", "k3dasync delete", tmp_path)
    typed(command, setup, "k3dasync kubeconfig \t", "Print kubeconfigs.", tmp_path)


def test_fish_completes(tmp_path: Path) -> None:
    """As it says when asked what it would offer."""
    script = "k3dasync completion fish | source; complete -C 'k3dasync create --wait=q'"
    env = {"HOME": str(tmp_path), "PATH": f"{BIN}:/usr/bin:/bin"}
    done = subprocess.run(
        [program("fish"), "--no-config", "-c", script],
        env=env,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )

    assert ["--wait=quorum"] == done.stdout.split()


def test_an_engine_that_hangs_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """It takes the connection and says nothing; twice, as one process may ask again."""
    monkeypatch.setattr("k3dasync.commands.completion.SECONDS", 0.05)
    monkeypatch.delenv("DOCKER_CONTEXT", raising=False)
    with (
        tempfile.TemporaryDirectory(prefix="k3da-") as short,  # as paths of sockets must be
        socket.socket(socket.AF_UNIX) as silent,
    ):
        silent.bind(f"{short}/s")
        silent.listen()
        silent.settimeout(5.0)
        monkeypatch.setenv("DOCKER_HOST", f"unix://{short}/s")
        for _ in range(2):
            began = time.monotonic()
            assert 0 == cli.main(["__complete", "zsh", "delete", ""])
            assert time.monotonic() - began < 5.0
            silent.accept()[0].close()  # it was asked
    assert ("", "") == capfd.readouterr()
