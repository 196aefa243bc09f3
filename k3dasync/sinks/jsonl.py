"""One JSON line an event, to a file, a descriptor or standard output."""

import os
from pathlib import Path

from k3dasync.errors import SpecError
from k3dasync.events import AnyEvent, encode


class JsonLines:
    """Writes each event in one call. A reader that has gone away does not stop the run."""

    def __init__(self, descriptor: int, *, owned: bool) -> None:
        self._descriptor, self._owned = descriptor, owned
        self._is_broken = False

    def write(self, event: AnyEvent) -> None:
        if self._is_broken:
            return
        rest = encode(event)
        try:
            while rest:  # a pipe may take part of a long line
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:
            self._is_broken = True

    def close(self) -> None:
        """Close the file, if it is ours."""
        if self._owned:
            os.close(self._descriptor)
            self._owned = False


def open_sink(target: str) -> JsonLines:
    """Open `PATH`, `-` for standard output or `fd:N`; raises SpecError if that cannot be."""
    if target == "-":
        return JsonLines(1, owned=False)
    if target.startswith("fd:"):
        number = target.removeprefix("fd:")
        if not number.isdigit():
            raise SpecError(f"--events {target}: expected fd:NUMBER")
        try:
            os.fstat(int(number))
        except OSError as error:
            raise SpecError(f"--events {target}: {error.strerror}") from error
        return JsonLines(int(number), owned=False)
    try:
        # Events name hosts and paths of the user: theirs to read, nobody else's.
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        return JsonLines(os.open(Path(target), flags, 0o600), owned=True)
    except OSError as error:
        raise SpecError(f"--events {target}: {error.strerror}") from error
