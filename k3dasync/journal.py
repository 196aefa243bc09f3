"""The event log on disk, one file a run: where it lives, who may write it, reading it back.

Every line is handed to the kernel before the act it announces, so that a process killed at any
moment has told what it may have made. Nothing is ever buffered here.
"""

import hashlib
import os
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

import msgspec

from k3dasync import locks
from k3dasync.errors import ClusterBusy, JournalError
from k3dasync.events import (
    INTENTIONS,
    AnyEvent,
    RunDone,
    RunFailed,
    RunStarted,
    decode,
    encode,
    is_closed,
    to_undo,
)

KEEP_RUNS = 50
"""Logs kept after their runs have ended well: enough to compare a week of work."""
KEEP_SECONDS = 30 * 24 * 3600.0
"""… and for how long: a month of CI history on a developer's disk is a few MB."""

SEVERAL = "_several"
"""Where the logs of runs over several clusters are: no cluster can be called so."""
_APART = re.compile(r"_(registry|network)_(.+)")
"""What logs and locks are called that are about something by itself: no cluster can be."""


def place_of(kind: str, name: str) -> str:
    """Return what stands for a registry or network where else a cluster's name does."""
    return f"_{kind}_{name}"


def thing_of(place: str) -> tuple[str, str]:
    """Return what a name of logs and locks stands for: its kind, and its name."""
    found = _APART.fullmatch(place)
    return (found[1], found[2]) if found else ("cluster", place)


_OTHER_PLACE = "let XDG_STATE_HOME name a directory with room, where we may write"


def state_dir() -> Path:
    """Return where logs and locks live: `$XDG_STATE_HOME/k3dasync`, `~/.local/state` without."""
    return xdg_directory("XDG_STATE_HOME", ".local/state") / "k3dasync"


def file_name(cluster: str) -> str:
    """Return a cluster's name as that of a file: one elsewhere is called by its URL."""
    return quote(cluster, safe="")


def xdg_directory(variable: str, default: str) -> Path:
    """Return a base directory of the user's, *default* below the home where none is named.

    A path that is not absolute counts as none: so says the XDG Base Directory Specification.
    """
    named = Path(os.environ.get(variable, ""))
    return named if named.is_absolute() else Path.home() / default


@contextmanager
def lock_file(
    path: Path, *, wait: bool, note: str = "", is_shared: bool = False, goes: bool = False
) -> Iterator[bool]:
    """Hold a lock on *path* and yield whether it was had; a dead holder's is free.

    It is exclusive, unless *is_shared*: then it is had beside others that are shared too.

    The file stays, or *goes* with the last who holds its lock: nobody else may remove it.
    Raises JournalError if the file cannot be made or locked.
    """
    with ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor, had = locks.opened(path, wait=wait, is_shared=is_shared)
            stack.callback(os.close, descriptor)
            if had:
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, note.encode(), 0)
        except OSError as error:
            raise JournalError(f"cannot lock {path}: {error.strerror}; {_OTHER_PLACE}") from error
        try:
            yield had
        finally:
            if had and goes:
                _remove_unless_held(path, descriptor)


def _remove_unless_held(path: Path, descriptor: int) -> None:
    """Remove a file whose lock is held, unless others share that."""
    with suppress(OSError):  # then it is a leftover, which a prune removes
        # What is shared becomes exclusive in two steps, between which the file may change hands.
        is_alone = locks.try_lock(descriptor, wait=False, is_shared=False)
        if is_alone and locks.is_at(path, descriptor):
            path.unlink()


@contextmanager
def cluster_lock(cluster: str, engine: str, *, is_shared: bool = False) -> Iterator[None]:
    """Hold the lock of one cluster on one engine; *is_shared* for what others may do beside.

    Its file goes with the last who holds it: names of clusters that never were leave nothing.
    Raises ClusterBusy if another process of this user holds it.
    """
    path = _lock_path(cluster, engine)
    note = f"k3dasync process {os.getpid()}"
    with lock_file(path, wait=False, note=note, is_shared=is_shared, goes=True) as had:
        if not had:
            raise ClusterBusy(" ".join(thing_of(cluster)), _note(path))
        yield


def _note(path: Path) -> str:
    """Return who holds a lock, as far as is known: its file may be gone by now."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _lock_path(cluster: str, engine: str) -> Path:
    return state_dir() / "locks" / f"{_key(engine)}-{file_name(cluster)}"


def _key(engine: str) -> str:
    return hashlib.sha256(engine.encode()).hexdigest()[:12]


def lock_files(engine: str) -> list[tuple[Path, str]]:
    """Return the lock files of an engine, each with what stands for a cluster's name."""
    prefix = f"{_key(engine)}-"
    found = sorted((state_dir() / "locks").glob(f"{prefix}*"))
    return [(path, unquote(path.name.removeprefix(prefix))) for path in found]


def remove_lock(path: Path) -> bool:
    """Remove a lock file unless somebody holds it; say whether it is gone."""
    with lock_file(path, wait=False, goes=True) as had:
        return had


def places() -> list[str]:
    """Return what there are logs of: clusters' names, and what stands for other things."""
    folder = state_dir() / "runs"
    return sorted(one.name for one in folder.iterdir()) if folder.is_dir() else []


class Journal:
    """A run's log, for appending; the file is made by the first line.

    Raises JournalError if a line cannot be written: then the act it announces must not happen.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1

    @classmethod
    def for_run(cls, cluster: str | None, run: str) -> "Journal":
        """Return the log of that run in the state directory; None: it is about several clusters."""
        return cls(state_dir() / "runs" / file_name(cluster or SEVERAL) / f"{run}.jsonl")

    def write(self, event: AnyEvent) -> None:
        """Append one line, in one write, before returning."""
        try:
            if self._descriptor < 0:
                self._open()
            line = encode(event)
            written = os.write(self._descriptor, line)
            if written != len(line):
                # Half a line is the end of a log only as long as no other line follows.
                end = os.lseek(self._descriptor, 0, os.SEEK_END)
                os.ftruncate(self._descriptor, end - written)
                raise OSError("no room for a line")  # noqa: TRY301 - one message for both
            if isinstance(event, INTENTIONS):  # they must survive a power cut too
                os.fsync(self._descriptor)
        except OSError as error:
            raise JournalError(
                f"cannot write the log of this run, {self.path}: {error.strerror or error}; "
                f"{_OTHER_PLACE}"
            ) from error

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(self.path, flags, 0o600)

    def close(self) -> None:
        """Close the file; harmless when repeated."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def read(path: Path) -> tuple[AnyEvent, ...]:
    """Return the events of a log; a torn last line and unknown kinds are dropped.

    Raises JournalError if a line other than the last is damaged.
    """
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise JournalError(f"cannot read {path}: {error.strerror}") from error
    events: list[AnyEvent] = []
    for number, line in enumerate(lines, 1):
        try:
            event = decode(line)
        except msgspec.DecodeError as error:
            if number == len(lines):
                break
            raise JournalError(f"cannot read {path}: line {number}: {error}") from error
        if event is not None:
            events.append(event)
    return tuple(events)


@dataclass(frozen=True, slots=True)
class PastRun:
    """A log on disk."""

    path: Path
    events: tuple[AnyEvent, ...]

    @property
    def started(self) -> RunStarted | None:
        """The first line, if it got that far."""
        first = self.events[0] if self.events else None
        return first if isinstance(first, RunStarted) else None

    @property
    def is_unfinished(self) -> bool:
        """Whether it may have left something: cut, or ended with a rollback not complete."""
        if self.started is None or is_closed(self.events):
            return False
        return bool(to_undo(self.events))

    @property
    def is_kept(self) -> bool:
        """Whether the user wanted its wreck kept."""
        last = self.events[-1] if self.events else None
        return isinstance(last, RunFailed) and not last.rolled_back


def past_runs(cluster: str) -> tuple[PastRun, ...]:
    """Return the readable logs of a cluster, oldest first."""
    found = []
    for path in sorted((state_dir() / "runs" / file_name(cluster)).glob("*.jsonl")):
        try:
            found.append(PastRun(path, read(path)))
        except JournalError:
            continue  # a damaged log must not block the cluster; labels find what it made
    return tuple(found)


def tidy(now: float | None = None) -> int:
    """Remove logs of runs that need nothing any more, beyond age and number; return how many."""
    moment = time.time() if now is None else now
    root = state_dir() / "runs"
    newest_first = sorted(root.glob("*/*.jsonl"), key=_age_key, reverse=True)
    removed = 0
    for index, path in enumerate(newest_first):
        if index < KEEP_RUNS and moment - _age_key(path) < KEEP_SECONDS:
            continue
        if _is_over(path):
            with suppress(OSError):  # somebody else's, or gone: nothing depends on it
                path.unlink()
                removed += 1
    return removed


def _age_key(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _is_over(path: Path) -> bool:
    try:
        events = read(path)
    except JournalError:
        return True
    match events[-1] if events else None:
        case RunDone() | RunFailed():
            return not PastRun(path, events).is_unfinished
        case _:
            return not to_undo(events)
