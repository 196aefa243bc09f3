"""Standard streams that are closed, full, or not read: outcomes and exit codes stay true."""

import os
import signal
import subprocess
import sys

import pytest

REHEARSAL = "create --runtime fake --servers 1"
RESULTS = (
    "--help",
    "create --help",
    "version",
    "list --runtime fake",
    "plan create --runtime fake",
)


def run(words: str, redirections: str) -> subprocess.CompletedProcess[str]:
    """Run a command line by a shell, as a user does."""
    return subprocess.run(
        ["/bin/sh", "-c", f"{sys.executable} -W error -m k3dasync {words} {redirections}"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "K3DASYNC_FAKE_SCALE": "0", "LANG": "C"},
    )


@pytest.mark.parametrize("redirections", ["2>&-", "2>/dev/full", ">&- 2>&- <&-", "2>&1 | true"])
def test_nobody_who_reads_the_progress_changes_no_outcome(redirections: str) -> None:
    """A create that has succeeded has succeeded."""
    done = run(REHEARSAL, redirections)

    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("words", RESULTS)
def test_a_result_that_cannot_be_written_is_one_line_and_1(words: str) -> None:
    """What the command was for did not happen."""
    done = run(words, ">/dev/full")

    assert 1 == done.returncode
    assert (
        "error: cannot write to standard output: No space left on device [OUTPUT_ERROR]\n"
        == done.stderr
    )


@pytest.mark.parametrize("words", RESULTS)
def test_a_result_for_a_closed_output_is_an_error_too(words: str) -> None:
    """A script must not take nothing for a result."""
    done = run(words, ">&-")

    assert (1, "error: cannot write to standard output: Bad file descriptor [OUTPUT_ERROR]\n") == (
        done.returncode,
        done.stderr,
    )


@pytest.mark.parametrize("words", RESULTS)
def test_a_reader_who_has_seen_enough_is_no_news(words: str) -> None:
    """As every filter does it: `k3dasync … | head -1`."""
    assert "" == run(words, "| true").stderr


def test_events_to_a_closed_standard_output_go_nowhere() -> None:
    """Not into whatever file has got its number since."""
    assert 0 == run(f"{REHEARSAL} --events -", ">&-").returncode


@pytest.mark.parametrize("ignored", [False, True])
def test_a_lost_terminal_is_a_wish_to_stop_unless_nohup_was_used(ignored: bool) -> None:
    """SIGHUP takes everything back like SIGINT; where it is ignored it stays so."""
    words = [sys.executable, "-m", "k3dasync", *REHEARSAL.split(), "--events", "-"]
    process = subprocess.Popen(
        [*(["nohup"] if ignored else []), *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "K3DASYNC_FAKE_SCALE": "0.2"},
    )
    assert process.stdout is not None
    process.stdout.readline()  # it is under way
    process.send_signal(signal.SIGHUP)
    _, err = process.communicate(timeout=60)

    assert (0 if ignored else 130) == process.returncode, err
    assert ignored is not ("SIGHUP: stopping" in err)
