"""One JSON line an event, to a file, a descriptor or standard output."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from k3dasync.events import AnyEvent, encode
from k3dasync.invalid import InvalidOutput
from k3dasync.streams import say


class JsonLines:
    """Writes each event in one call. What cannot be written does not stop the run.

    At its end people are told of it, unless it was a reader who had seen enough.
    """

    def __init__(self, descriptor: int, *, owned: bool) -> None:
        self._descriptor, self._owned = descriptor, owned
        self._broken: OSError | None = None

    def write(self, event: AnyEvent) -> None:
        if self._broken is not None:
            return
        rest = encode(event)
        try:
            while rest:  # a pipe may take part of a long line
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError as error:
            self._broken = error

    def close(self) -> None:
        """Close the file, if it is ours."""
        if self._broken is not None and not isinstance(self._broken, BrokenPipeError):
            say(f"warning: --events: not all of them are written: {self._broken.strerror}")
            self._broken = BrokenPipeError()  # once
        if self._owned:
            self._owned = False
            with suppress(OSError):  # closed all the same
                os.close(self._descriptor)


def open_sink(target: str) -> JsonLines:
    """Open `PATH`, `-` for standard output or `fd:N`; raises SpecError if that cannot be."""
    if not target:
        raise InvalidOutput("--events is empty: expected a path, - or fd:NUMBER")
    if target == "-":
        return JsonLines(1, owned=False)
    if target.startswith("fd:"):
        number = target.removeprefix("fd:")
        if not number.isdigit():
            raise InvalidOutput(f"--events {target}: expected fd:NUMBER")
        try:
            flags = fcntl.fcntl(int(number), fcntl.F_GETFL)
        except OSError as error:
            raise InvalidOutput(f"--events {target}: {error.strerror}") from error
        if flags & os.O_ACCMODE == os.O_RDONLY:
            raise InvalidOutput(f"--events {target}: that is open for reading only")
        return JsonLines(int(number), owned=False)
    try:
        # Events name hosts and paths of the user: theirs to read, nobody else's.
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        return JsonLines(os.open(Path(target), flags, 0o600), owned=True)
    except OSError as error:
        raise InvalidOutput(f"--events {target}: {error.strerror}") from error
