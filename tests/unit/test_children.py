"""Programs that are run for the user."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from k3dasync import children
from k3dasync.access_errors import ProgramUnusable


@pytest.mark.parametrize(("script", "code"), [("exit 7", 7), ("true", 0), ("kill -TERM $$", 143)])
def test_the_exit_code_is_the_programs(script: str, code: int) -> None:
    """128 and the number for a signal."""
    assert code == children.run(["/bin/sh", "-c", script], os.environ)


def test_a_program_that_is_not_there() -> None:
    """One line says so."""
    with pytest.raises(ProgramUnusable, match="cannot run /no/such: No such file"):
        children.run(["/no/such"], {})


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 5), (signal.SIGHUP, 6), (signal.SIGINT, 0)]
)
def test_signals_are_the_programs(tmp_path: Path, number: signal.Signals, code: int) -> None:
    """Those sent to us alone are handed on; Ctrl-C it gets from the terminal itself."""
    ready, go = tmp_path / "ready", tmp_path / "go"
    os.mkfifo(ready)
    os.mkfifo(go)
    held = os.open(go, os.O_RDWR)  # so that nobody waits for the other end
    script = f'trap "exit 5" TERM; trap "exit 6" HUP; echo > {ready}; read x < {go}; exit 0'
    program = (
        "import os, sys; from k3dasync import children;"
        f"sys.exit(children.run(['/bin/sh', '-c', {script!r}], os.environ))"
    )
    with subprocess.Popen([sys.executable, "-c", program]) as process:
        ready.read_text()
        process.send_signal(number)
        if number is signal.SIGINT:
            os.write(held, b"x\n")  # only the program's own end ends it
        assert code == process.wait(timeout=20)
    os.close(held)


def test_handlers_are_as_before() -> None:
    """Ctrl-C is ours again afterwards."""
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    began = time.monotonic()
    children.run(["/bin/true"], os.environ)

    assert before == [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    assert time.monotonic() - began < 10
