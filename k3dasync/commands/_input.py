"""Standard input for whoever reads while other things go on: it is waited for, and can be left."""

import errno
import os
import sys
from collections.abc import AsyncIterator

import anyio

PIECE = 64 * 2**10
"""Bytes at a time: as much as a pipe holds."""


async def pieces() -> AsyncIterator[bytes]:
    """Yield what comes until its end.

    Not in a thread: one that waits for a writer who never comes would keep the process from
    ending.
    """
    number, can_wait = sys.stdin.fileno(), True
    while True:
        try:
            if can_wait:
                await anyio.wait_readable(number)
        except OSError as error:
            if error.errno != errno.EPERM:
                raise
            can_wait = False  # a file: all of it is there
        try:
            piece = os.read(number, PIECE)
        except BlockingIOError:
            continue
        if not piece:
            return
        yield piece
