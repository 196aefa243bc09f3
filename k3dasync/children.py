"""A program that the user works with through us: its streams, its terminal, its exit code."""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType

from k3dasync.access_errors import ProgramUnusable

_FORWARDED = (signal.SIGTERM, signal.SIGHUP)
"""Sent to us alone. What a terminal sends (SIGINT, SIGQUIT, SIGTSTP) it sends to the child too."""
_LEFT_ALONE = (signal.SIGINT, signal.SIGQUIT)


def run(command: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run a program to its end and return its exit code, 128 and the number for a signal.

    What a signal means is the program's to say: nothing happens here before it has ended. Raises
    ProgramUnusable if it cannot be started.
    """
    try:
        process = subprocess.Popen(list(command), env=dict(environ))
    except OSError as error:
        raise ProgramUnusable(command[0], error.strerror or str(error)) from error
    with process, _signals_for(process):
        code = process.wait()
    return code if code >= 0 else 128 - code


@contextmanager
def _signals_for(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    def forward(number: int, _frame: FrameType | None) -> None:
        process.send_signal(number)

    def leave(_number: int, _frame: FrameType | None) -> None:
        """Do nothing. Ignored by the system they would be ignored by our children's children."""

    before = {one: signal.signal(one, forward) for one in _FORWARDED if not _is_ignored(one)}
    before |= {one: signal.signal(one, leave) for one in _LEFT_ALONE}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _is_ignored(number: signal.Signals) -> bool:
    """Say whether nobody is to notice it, as under nohup."""
    return signal.getsignal(number) is signal.SIG_IGN


def shell() -> str:
    """Return the user's shell."""
    return os.environ.get("SHELL") or "/bin/sh"
