"""Locks on files, which go with the process that holds them, however it ends."""

import fcntl
import os
from pathlib import Path


def opened(path: Path, *, wait: bool, is_shared: bool) -> tuple[int, bool]:
    """Return an open file, made if it is not there, and whether its lock was had.

    A file that was removed before we had its lock is nobody's any more: then the next one counts.
    Raises OSError if it cannot be made or locked.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            had = try_lock(descriptor, wait=wait, is_shared=is_shared)
            if not had or is_at(path, descriptor):
                return descriptor, had
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def is_at(path: Path, descriptor: int) -> bool:
    """Say whether an open file is the one at *path*."""
    try:
        there, mine = path.stat(), os.fstat(descriptor)
    except FileNotFoundError:
        return False
    return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)


def try_lock(descriptor: int, *, wait: bool, is_shared: bool) -> bool:
    """Lock an open file and return True; False, unless we *wait*, if somebody else has."""
    kind = fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX
    try:
        fcntl.flock(descriptor, kind | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True
