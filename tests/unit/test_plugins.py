"""Commands of others on PATH."""

from pathlib import Path

import pytest

from k3dasync.cli import main
from k3dasync.plugins import find


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a directory on PATH, alone there."""
    folder = tmp_path / "plugins"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


def install(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("arguments", "name", "rest"),
    [
        (["foo"], "k3dasync-foo", ()),
        (["foo", "bar-baz"], "k3dasync-foo-bar_baz", ()),
        (["foo", "bar", "x"], "k3dasync-foo", ("bar", "x")),
        (["foo", "--flag", "bar-baz"], "k3dasync-foo", ("--flag", "bar-baz")),
    ],
)
def test_the_longest_name_wins(
    plugins: Path, arguments: list[str], name: str, rest: tuple[str, ...]
) -> None:
    """Words before the first flag name it, what is left are its arguments."""
    for one in ("k3dasync-foo", "k3dasync-foo-bar_baz"):
        install(plugins, one, "true")
    found = find(arguments)

    assert found is not None
    assert (str(plugins / name), rest) == (found.path, found.arguments)


def test_a_plugin_has_its_arguments_streams_and_exit_code(
    plugins: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """As if it had been called by its own name."""
    install(plugins, "k3dasync-greet", 'echo "hello $1"; exit 7')

    assert 7 == main(["greet", "world", "--loud"])
    assert "hello world\n" == capfd.readouterr().out


def test_a_plugin_that_a_signal_ends(plugins: Path) -> None:
    """128 and its number, as shells say it."""
    install(plugins, "k3dasync-die", "kill -TERM $$")

    assert 128 + 15 == main(["die"])


def test_our_own_commands_come_first(plugins: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A plugin cannot take their place; an unknown word without one is an error."""
    install(plugins, "k3dasync-version", "echo stolen")

    assert 0 == main(["version"])
    assert "stolen" not in capfd.readouterr().out
    assert 2 == main(["nonsense"])
