"""A kubeconfig's file: replaced in one step, under a lock, mode 0600, symlinks kept.

So parallel runs lose nothing and nobody reads half a file.
"""

import hashlib
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from k3dasync.journal import lock_file, state_dir
from k3dasync.kubeconfig.document import Config, KubeconfigError, dump, parse


def load(path: Path) -> Config:
    """Read a kubeconfig file; an absent one is empty. Raises KubeconfigError if it is none."""
    _refuse_special(path)
    try:
        return parse(path.read_bytes(), str(path))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise KubeconfigError(f"cannot read {path}: {error.strerror}") from error


def _refuse_special(path: Path) -> None:
    """Raise KubeconfigError if a device, pipe or directory is there.

    Reading a pipe can hang, and replacing a device would take it from the whole system.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise KubeconfigError(f"cannot use {path}: {error.strerror}") from error
    if not stat.S_ISREG(mode):
        kind = "a directory" if stat.S_ISDIR(mode) else "not a regular file"
        raise KubeconfigError(f"cannot use {path} as a kubeconfig: it is {kind}")


def refuse_if_not_writable(path: Path) -> None:
    """Raise KubeconfigError if the file could not be replaced; leaves no trace.

    For before a cluster is made: to find out at its end would cost minutes.
    """
    folder = path.resolve().parent
    while not folder.exists():
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise KubeconfigError(
            f"cannot write {path}: {error.strerror}; set KUBECONFIG to another file, "
            "or pass --kubeconfig-update-default=false"
        ) from error


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a file's lock, against others of us; raises KubeconfigError if it can be no file."""
    _refuse_special(path)
    key = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
    with lock_file(state_dir() / "locks" / f"kubeconfig-{key}", wait=True):
        yield


def change(path: Path, by: Callable[[Config], Config]) -> None:
    """Replace what a file holds by what *by* makes of it, if that is something else."""
    with locked(path):
        before = load(path)
        after = by(before)
        if after != before:
            write(path, dump(after))


def write(path: Path, content: bytes) -> None:
    """Replace a file in one step, mode 0600; a symlink keeps pointing to the changed file."""
    _refuse_special(path)
    real = path.resolve()
    try:
        real.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=real.parent, prefix=f".{real.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:  # mkstemp made it 0600
                file.write(content)
            Path(temporary).replace(real)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise KubeconfigError(f"cannot write {path}: {error.strerror}") from error


def replace(path: Path, content: bytes) -> None:
    """Replace a file, whatever was in it; whoever merges into it comes before or after."""
    with locked(path):
        write(path, content)
