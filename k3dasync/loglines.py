"""Lines of containers' logs, out of the frames in which an engine delivers them. Pure."""

import re
from calendar import timegm
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

NANO = 10**9
LONGEST = 2**20
"""Bytes kept of a line whose end does not come. The engine cuts lines into pieces of 16 KiB; a
program that never ends one must not fill our memory."""
_STREAMS = frozenset({0, 1, 2})
_ERROR = 3
"""The stream in which an engine tells, in the midst of a log, that it cannot go on (stdcopy)."""
_HEADER = 8
_PIECES = re.compile(rb"[^\n]*\n|[^\n]+")
_STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line that a container wrote, without its end; `at` in nanoseconds since 1970."""

    at: int
    text: str


class LogBroken(Exception):
    """An engine says in the midst of a log that it cannot go on."""


def nanoseconds(stamp: str) -> int | None:
    """Return the time of RFC 3339 text in nanoseconds since 1970, None if it is none."""
    found = _STAMP.fullmatch(stamp)
    if found is None:
        return None
    whole, part, zone = found.groups()
    try:
        moment = datetime.fromisoformat(whole + zone)
    except ValueError:
        return None
    return timegm(moment.utctimetuple()) * NANO + int((part or "").ljust(9, "0"))


def stamp(at: int) -> str:
    """Return a time as RFC 3339 has it, to the nanosecond, in UTC."""
    whole = datetime.fromtimestamp(at // NANO, UTC)
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{at % NANO:09d}Z"


class Frames:
    """Takes in the pieces of a log with times, and gives back its lines.

    A frame holds one piece of a line, with the time it was written in front; a line longer than
    16 KiB comes in several. A container with a terminal has no frames, only text.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._begun: dict[int, LogLine] = {}
        self._last = 0

    def feed(self, piece: bytes) -> Iterator[LogLine]:
        """Yield the lines that are complete now; raises LogBroken with the engine's words."""
        self._rest += piece
        if self._rest[:1] and self._rest[0] not in _STREAMS | {_ERROR}:
            yield from self._plain()
            return
        pieces, at = self._rest, 0
        while len(pieces) >= at + _HEADER:
            begin = at + _HEADER
            end = begin + int.from_bytes(pieces[at + 4 : begin], "big")
            if len(pieces) < end:
                break
            if pieces[at] == _ERROR:
                raise LogBroken(" ".join(pieces[begin:end].decode(errors="replace").split()))
            yield from self._frame(pieces[at], pieces[begin:end])
            at = end
        self._rest = pieces[at:]

    def end(self) -> Iterator[LogLine]:
        """Yield what was written without an end of line."""
        if self._rest[:1] and self._rest[0] not in _STREAMS:
            yield from self._frame(1, self._rest)
        self._rest = b""
        yield from self._begun.values()
        self._begun.clear()

    def _plain(self) -> Iterator[LogLine]:
        *lines, self._rest = self._rest.split(b"\n")
        for line in lines:
            yield from self._frame(1, line + b"\n")

    def _frame(self, stream: int, payload: bytes) -> Iterator[LogLine]:
        for piece in _PIECES.findall(payload):
            at, text = self._split(piece.decode(errors="replace"))
            begun = self._begun.pop(stream, None)
            line = LogLine(begun.at, begun.text + text) if begun else LogLine(at, text)
            if piece.endswith(b"\n") or len(line.text) >= LONGEST:
                yield LogLine(line.at, line.text.rstrip("\r\n"))
            else:
                self._begun[stream] = line

    def _split(self, piece: str) -> tuple[int, str]:
        """Return when a piece was written, and the piece; without a time, that of the last one."""
        first, _, text = piece.partition(" ")
        at = nanoseconds(first)
        if at is None:
            return self._last, piece
        self._last = at
        return at, text
