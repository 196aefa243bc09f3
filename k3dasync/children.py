"""A program that the user works with through us: its streams, its terminal, its exit code."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Any, Self

from k3dasync.access_errors import ProgramUnusable

_FORWARDED = (signal.SIGTERM, signal.SIGHUP)
"""Sent to us alone. What a terminal sends (SIGINT, SIGQUIT, SIGTSTP) it sends to the child too."""
_LEFT_ALONE = (signal.SIGINT, signal.SIGQUIT)


def run(command: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run a program to its end and return its exit code, 128 and the number for a signal.

    What a signal means is the program's to say: nothing happens here before it has ended. Raises
    ProgramUnusable if it cannot be started.
    """
    with _Forwarding() as forwarding:
        try:
            process = subprocess.Popen(list(command), env=dict(environ))
        except OSError as error:
            raise ProgramUnusable(command[0], error.strerror or str(error)) from error
        with process:
            forwarding.to(process)
            code = process.wait()
    return code if code >= 0 else 128 - code


class _Forwarding:
    """Hands signals on to a program, also those that came before it was there."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for one in _FORWARDED:
            if not _is_ignored(one):
                self._before[one] = signal.signal(one, self._forward)
        for one in _LEFT_ALONE:
            self._before[one] = signal.signal(one, self._leave)
        return self

    def __exit__(self, *_: object) -> None:
        for one, handler in self._before.items():
            signal.signal(one, handler)

    def to(self, process: "subprocess.Popen[bytes]") -> None:
        """Say who is meant."""
        self._process = process
        while self._early:
            process.send_signal(self._early.pop(0))

    def _forward(self, number: int, _frame: FrameType | None) -> None:
        if self._process is None:
            self._early.append(number)
        else:
            self._process.send_signal(number)

    def _leave(self, _number: int, _frame: FrameType | None) -> None:
        """Do nothing. Ignored by the system they would be ignored by our children's children."""


def _is_ignored(number: signal.Signals) -> bool:
    """Say whether nobody is to notice it, as under nohup."""
    return signal.getsignal(number) is signal.SIG_IGN


def shell() -> str:
    """Return the user's shell."""
    return os.environ.get("SHELL") or "/bin/sh"
