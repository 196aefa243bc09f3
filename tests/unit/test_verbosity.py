"""How much people are told: flags, variables, and what each level shows."""

import io

import pytest

from k3dasync.cli import main
from k3dasync.errors import SpecError
from k3dasync.sinks.plain import Plain
from k3dasync.verbosity import Level, Verbosity, take
from tests.unit.test_sinks import story


@pytest.mark.parametrize(
    ("arguments", "environ", "level"),
    [
        ([], {}, Level.INFO),
        ([], {"LOG_LEVEL": "WARNING"}, Level.WARN),
        ([], {"LOG_LEVEL": "fatal"}, Level.ERROR),
        ([], {"LOG_LEVEL": "nonsense"}, Level.INFO),
        (["--verbose"], {"LOG_LEVEL": "error"}, Level.DEBUG),
        (["--verbose", "--trace"], {}, Level.TRACE),
        (["--verbose=false"], {}, Level.INFO),
        (["--", "--trace"], {}, Level.INFO),
        (["--k3s-arg", "--trace"], {}, Level.INFO),
    ],
    ids=str,
)
def test_flags_win_over_the_variable(
    arguments: list[str], environ: dict[str, str], level: Level
) -> None:
    """A level that is none counts as not set, as with k3d; what is k3s's or behind -- is let be."""
    assert level is take(arguments, environ)[0].level


def test_global_flags_stand_anywhere() -> None:
    """The command sees nothing of them."""
    found, rest = take(["--timestamps", "create", "--verbose=true", "dev"], {"LOG_COLORS": "false"})

    assert (Verbosity(Level.DEBUG, True, False), ["create", "dev"]) == (found, rest)
    with pytest.raises(SpecError, match="true or false"):
        take(["--trace=maybe"], {})


@pytest.mark.parametrize(
    ("level", "shown", "hidden"),
    [
        (Level.ERROR, [], ["mind the gap", "failed", "pulling"]),
        (Level.WARN, ["mind the gap", "failed: no brush", "trying again"], ["pulling", "undone"]),
        (Level.INFO, ["mind the gap", "pulling", "undone"], ["started"]),
        (Level.DEBUG, ["started", "undone", "skipped"], ['"event"']),
        (Level.TRACE, ['"event":"task_started"', '"event":"run_failed"'], []),
    ],
)
def test_what_each_level_shows(level: Level, shown: list[str], hidden: list[str]) -> None:
    """Each more than the one before."""
    stream = io.StringIO()
    story(Plain(stream, level=level))
    text = stream.getvalue()

    assert [] == [word for word in shown if word not in text]
    assert [] == [word for word in hidden if word in text]


def test_the_time_of_day() -> None:
    """RFC 3339, instead of the seconds of the run."""
    stream = io.StringIO()
    story(Plain(stream, timestamps=True))

    assert "[20" in stream.getvalue()
    assert "Z] create c" in stream.getvalue()


def test_quiet_scripts_hear_nothing_of_what_went_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """But an error is told at every level."""
    monkeypatch.setenv("K3DASYNC_FAKE_SCALE", "0")
    monkeypatch.setenv("LOG_LEVEL", "error")
    assert 0 == main(["create", "dev", "--runtime", "fake"])
    assert ("", "") == capsys.readouterr()
    assert 1 == main(["list", "nope", "--runtime", "fake"])
    assert "nope" in capsys.readouterr().err
