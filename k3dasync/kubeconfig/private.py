"""Kubeconfigs for one command: in files of their own, locked as long as the command runs.

A file and not an open descriptor: `kubectl config use-context` in a shell replaces what it reads,
and programs between us and kubectl close what they do not know. So who is killed leaves one; its
lock is gone then, which tells it from those in use in whatever process namespace.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from k3dasync import locks
from k3dasync.journal import state_dir


def _folder() -> Path:
    """Return where they live: in memory, where the system gives such a place."""
    given = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    if given.is_absolute() and os.access(given, os.W_OK):
        return given / "k3dasync"
    return state_dir() / "kubeconfigs"


@contextmanager
def private_file(cluster: str, content: bytes) -> Iterator[Path]:
    """Yield a file that only this user can read, and remove it at the end.

    Raises OSError if it cannot be written.
    """
    folder = _folder()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"k3d-{cluster}-{secrets.token_hex(8)}.yaml"
    descriptor, _ = locks.opened(path, wait=True, is_shared=False)
    try:
        os.write(descriptor, content)
        yield path
    finally:
        with suppress(OSError):
            path.unlink()
        os.close(descriptor)


def abandoned() -> list[Path]:
    """Return the files of commands that were killed."""
    return [path for path in sorted(_folder().glob("k3d-*.yaml")) if _free(path, removes=False)]


def forget(path: Path) -> bool:
    """Remove a file that nobody uses, and say whether it is gone."""
    return _free(path, removes=True)


def cluster_of(path: Path) -> str:
    """Return the cluster that a file is about."""
    return path.name.removeprefix("k3d-").rpartition("-")[0]


def _free(path: Path, *, removes: bool) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        is_free = locks.try_lock(descriptor, wait=False, is_shared=False)
        if is_free and removes:
            path.unlink(missing_ok=True)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return is_free
