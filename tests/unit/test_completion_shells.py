"""The completion scripts in the shells themselves."""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.unit import stub_engine

COMPLETED: list[tuple[str, list[str]]] = [
    ("k3dasync del", ["delete"]),
    ("k3dasync cluster ", ["create", "delete", "list"]),
    ("k3dasync create --registry-u", ["--registry-use"]),
    ("k3dasync delete dev ", ["dead", "demo"]),
    ("k3dasync node list k3d-dev-", ["k3d-dev-agent-0", "k3d-dev-server-0"]),
    ("k3dasync image import x --cluster ", ["demo", "dev"]),
    ("k3dasync create --config ", ["a.yaml", "c.yml", "sub/"]),
    ("k3dasync config migrate b", ["b.txt"]),
]
BEHIND_EQUALS: list[tuple[str, list[str]]] = [
    ("k3dasync create --wait=q", ["--wait=quorum"]),
    ("k3dasync list --output=j", ["--output=json"]),
    ("k3dasync create --config=a", ["--config=a.yaml"]),
]


@pytest.fixture(scope="module")
def engine() -> Iterator[str]:
    with (
        tempfile.TemporaryDirectory(prefix="k3da-") as directory,
        stub_engine.serve(Path(directory) / "s") as url,
    ):
        yield url


@pytest.fixture
def run(engine: str, tmp_path: Path) -> Callable[..., str]:
    """Return what runs a program in a directory of four files, with our command on PATH."""
    here = tmp_path / "here"
    (here / "sub").mkdir(parents=True)
    for name in ("a.yaml", "b.txt", "c.yml"):
        (here / name).touch()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environ = {**os.environ, "PATH": path, "DOCKER_HOST": engine, "TERM": "dumb"}
    environ.pop("DOCKER_CONTEXT", None)

    def run(*command: str, **more: str) -> str:
        if shutil.which(command[0]) is None:
            pytest.fail(f"there is no {command[0]}; run: apt-get install {command[0]}")
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            cwd=here,
            env={**environ, **more},
            stdin=subprocess.DEVNULL,
            timeout=30,
        )
        assert (0, "") == (done.returncode, done.stderr)
        return done.stdout

    return run


def in_bash(words: Sequence[str]) -> str:
    return f"""
        eval "$(k3dasync completion bash)"
        COMP_WORDS=({shlex.join(words)}) COMP_CWORD={len(words) - 1}
        _k3dasync k3dasync
        printf '%s\\n' "${{COMPREPLY[@]}}" """


@pytest.mark.parametrize(("line", "expected"), COMPLETED, ids=str)
def test_bash(line: str, expected: list[str], run: Callable[..., str]) -> None:
    """The function that bash calls; directories get their slash from readline."""
    found = run("bash", "--norc", "-c", in_bash(line.split(" ")))

    assert [one.rstrip("/") for one in expected] == sorted(found.split())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["create", "--wait", "=", "q"], ["quorum"]),
        (["list", "--output", "="], ["json", "table", "yaml"]),
        (["create", "--config", "=", "a"], ["a.yaml"]),
        (["create", "--wait=q"], ["--wait=quorum"]),
        (["image", "import", "x", ":", "1", "--cluster", "=", "de"], ["demo", "dev"]),
        (["image", "import", "x", ":", "1", "-c", "dev", "-c", ""], ["demo"]),
    ],
    ids=str,
)
def test_bash_splits_at_equals_signs_and_colons(
    words: list[str], expected: list[str], run: Callable[..., str]
) -> None:
    """It replaces what is behind them, unless COMP_WORDBREAKS is without them."""
    found = run("bash", "--norc", "-c", in_bash(["k3dasync", *words]))

    assert expected == sorted(found.split())


ZSHRC = """
autoload -Uz compinit && compinit -u -D
eval "$(k3dasync completion zsh)"
zle -C all complete-word _generic
zstyle ':completion:all:*' insert yes
zstyle ':completion:all::::' completer _all_matches _complete
report() { print -r -- "$BUFFER" >$FOUND; print; print -r -- "DO""NE" }
zle-line-init() { print -r -- "REA""DY" }
zle -N report; zle -N zle-line-init
bindkey '^I' all
bindkey '^O' report
"""
ZSH_DRIVER = """
zmodload zsh/zpty
zpty shell zsh -d -i
zpty -r shell seen '*READY*'
zpty -w -n shell "$LINE"$'\\t\\x0f'
zpty -r shell seen '*DONE*'
zpty -d shell
"""


@pytest.mark.parametrize(("line", "expected"), COMPLETED + BEHIND_EQUALS, ids=str)
def test_zsh(line: str, expected: list[str], run: Callable[..., str], tmp_path: Path) -> None:
    """A shell at a terminal, where the key inserts all that matches."""
    (tmp_path / ".zshrc").write_text(ZSHRC)
    found = tmp_path / "found"
    run("zsh", "-f", "-c", ZSH_DRIVER, ZDOTDIR=str(tmp_path), FOUND=str(found), LINE=line)
    typed = found.read_text()
    kept = line.rpartition(" ")[0]

    assert kept == typed[: len(kept)]
    assert [one.rstrip("/") for one in expected] == sorted(
        one.rstrip("/") for one in typed[len(kept) :].split()
    )


@pytest.mark.parametrize(("line", "expected"), COMPLETED + BEHIND_EQUALS, ids=str)
def test_fish(line: str, expected: list[str], run: Callable[..., str]) -> None:
    """Its own question for candidates; what each is for stands behind a tab."""
    script = f"k3dasync completion fish | source; complete -C {shlex.quote(line)}"
    found = run("fish", "--no-config", "-c", script).splitlines()

    assert expected == sorted(one.partition("\t")[0] for one in found)
