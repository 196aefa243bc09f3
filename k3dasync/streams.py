"""The standard streams, which may be closed, full, or have lost whoever read them."""

import os
import sys
from typing import TextIO

from k3dasync.errors import OutputError


def open_missing() -> None:
    """Open what the caller has closed.

    Else the next file or socket would get its number, and our lines would go there. Nothing can be
    written to the new ones: a result that was to go there is an error, as it is to a full disk.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            os.dup2(os.open(os.devnull, os.O_RDONLY), number)  # the lowest that is free: itself
            mode = "w" if number else "r"
            null = open(number, mode, encoding="utf-8", closefd=False)  # noqa: SIM115 - stays open
            setattr(sys, name, null)


def say(text: str) -> None:
    """Tell people something, on standard error; whether anybody reads it changes nothing."""
    try:
        print(text, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        silence(sys.stderr)


def pass_on(data: bytes) -> None:
    """Write what another program says to standard error, as it is; whoever reads it or not."""
    try:
        sys.stderr.flush()
        sys.stderr.buffer.write(data)
        sys.stderr.buffer.flush()
    except (OSError, ValueError):
        silence(sys.stderr)


def show(text: str) -> None:
    """Print a result, which is what the command was for.

    Raises OutputError if standard output does not take it.
    """
    try:
        print(text, flush=True)
    except OSError as error:
        silence(sys.stdout)
        raise OutputError(error) from error


def pour(data: bytes) -> None:
    """Write a part of a result as it is and at once, so that whoever reads it sees it.

    Raises OutputError if standard output does not take it.
    """
    rest = memoryview(data)
    try:
        sys.stdout.flush()
        number = sys.stdout.fileno()
        while rest:
            rest = rest[os.write(number, rest) :]
    except OSError as error:
        silence(sys.stdout)
        raise OutputError(error) from error


def silence(stream: TextIO) -> None:
    """Let a stream go nowhere from now on, so that what it still holds does no harm at the end."""
    try:
        null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        os.dup2(null, stream.fileno())
        os.close(null)
    except (OSError, ValueError):
        return  # no descriptor behind it


def settle() -> None:
    """Write out what the streams still hold; raises OutputError if a result is among it."""
    try:
        sys.stderr.flush()
    except (OSError, ValueError):
        silence(sys.stderr)
    try:
        sys.stdout.flush()
    except OSError as error:
        silence(sys.stdout)
        raise OutputError(error) from error
