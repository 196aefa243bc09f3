"""Standard output for whoever writes while other things go on: it can wait, and be cut."""

import errno
import os
import select
import sys
from typing import TextIO

import anyio
from anyio.lowlevel import checkpoint

from k3dasync.errors import OutputError
from k3dasync.streams import silence


class Output:
    """Waits until what is behind standard output takes something, and then writes no more.

    Not in a thread: one that waits for a reader who never comes would keep the process from
    ending.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._stream.flush()
        self._number = self._stream.fileno()
        self._can_wait = True

    async def write(self, data: bytes) -> None:
        """Write all of it; raises OutputError if it is not taken."""
        rest = memoryview(data)
        try:
            while rest:
                await self._wait()
                rest = rest[self._some(rest) :]
        except OSError as error:
            silence(self._stream)
            raise OutputError(error) from error

    async def _wait(self) -> None:
        if not self._can_wait:
            await checkpoint()
            return
        try:
            await anyio.wait_writable(self._number)
        except OSError as error:
            if error.errno != errno.EPERM:
                raise
            self._can_wait = False  # a file: it takes whatever comes, and nobody can wait for it

    def _some(self, rest: memoryview) -> int:
        try:
            # A pipe that takes anything takes that much.
            return os.write(self._number, rest[: select.PIPE_BUF] if self._can_wait else rest)
        except BlockingIOError:
            return 0
