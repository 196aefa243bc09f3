"""What a container of the fake engine has written, and when."""

from collections import deque
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

import anyio

from k3dasync.fake.changed import Changed
from k3dasync.loglines import NANO, LogLine

LOG_LINES = 1000
"""Kept of each container: more than anybody asks for."""
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
"""When the clock of the engine and its nodes is at zero."""


class Log:
    """Lines, the latest last; no two have the same time, as the engine's nanoseconds see to."""

    def __init__(self) -> None:
        self._lines: deque[LogLine] = deque(maxlen=LOG_LINES)
        self.written = 0
        self.changed = Changed()

    def __iter__(self) -> Iterator[str]:
        return (line.text for line in self._lines)

    def append(self, text: str) -> None:
        """Write a line now."""
        now = int(EPOCH.timestamp()) * NANO + int(anyio.current_time() * NANO)
        last = self._lines[-1].at if self._lines else 0
        self._lines.append(LogLine(max(now, last + 1), text))
        self.written += 1
        self.changed.tell()

    def extend(self, texts: Iterable[str]) -> None:
        """Write lines now."""
        for text in texts:
            self.append(text)

    def behind(self, number: int) -> list[LogLine]:
        """Return the lines that are kept of those written after the first *number*."""
        count = min(max(self.written - number, 0), len(self._lines))
        return list(self._lines)[len(self._lines) - count :]
