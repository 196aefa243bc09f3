"""The log on disk: locks, torn lines, what is kept."""

import os
import stat
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from k3dasync import events, journal
from k3dasync.errors import ClusterBusy, JournalError
from k3dasync.events import Emitter, PlannedTask
from k3dasync.graph import TaskId
from k3dasync.journal import (
    Journal,
    PastRun,
    cluster_lock,
    lock_file,
    past_runs,
    read,
    state_dir,
    tidy,
)
from k3dasync.undo import RemoveNetwork

TASK = PlannedTask(id=TaskId("network:k3d-c"), undo=RemoveNetwork("k3d-c"))


def write_run(run: str, *, ends: str = "") -> Path:
    """Write the log of a run that began one task and ended so."""
    log = Journal.for_run("c", run)
    emitter = Emitter(run=run, cluster="c", clock=lambda: 0.0, journal=log)
    emitter.emit(
        events.RunStarted,
        schema=events.SCHEMA,
        started_at="",
        operation="create",
        version="1",
        k3s="",
        engine=events.Engine(id="e", endpoint="x"),
        plan=(TASK,),
    )
    emitter.emit(events.TaskStarted, task=TASK.id, waited=0.0)
    if ends == "done":
        emitter.emit(events.RunDone, seconds=0.0)
    elif ends:
        if ends == "undone":
            emitter.emit(events.UndoDone, task=TASK.id, seconds=0.0)
        left = () if ends == "undone" else ("network k3d-c",)
        emitter.emit(
            events.RunFailed,
            seconds=0.0,
            code="X",
            cause="x",
            rolled_back=ends != "kept",
            left=left,
        )
    log.close()
    return log.path


@pytest.mark.parametrize(
    ("ends", "unfinished", "kept"),
    [
        ("", True, False),
        ("done", False, False),
        ("undone", False, False),
        ("left", True, False),
        ("kept", True, True),
    ],
)
def test_a_run_is_unfinished_if_it_may_have_left_something(
    ends: str, unfinished: bool, kept: bool
) -> None:
    """Killed, rollback incomplete, kept on purpose: these need a rollback."""
    past = PastRun(path := write_run("r1", ends=ends), read(path))

    assert (unfinished, kept) == (past.is_unfinished, past.is_kept)


def test_a_torn_last_line_is_dropped() -> None:
    """The process was killed while it wrote: what stands before it counts."""
    path = write_run("r1")
    whole = len(read(path))
    path.write_bytes(path.read_bytes()[:-7])

    assert whole - 1 == len(read(path))


def test_damage_in_the_middle_is_an_error_and_blocks_nothing() -> None:
    """A damaged log is reported when read by name, and left out of a cluster's runs."""
    path = write_run("r1")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"garbage\n" + b"".join(lines))

    with pytest.raises(JournalError, match="line 1"):
        read(path)
    assert () == past_runs("c")


def test_logs_are_the_users_alone() -> None:
    """Logs name hosts and paths: nobody else reads them."""
    assert 0o600 == stat.S_IMODE(write_run("r1").stat().st_mode)


def test_a_full_disk_stops_the_run_with_advice() -> None:
    """Without a log nothing may be made."""
    log = Journal(Path("/dev/full"))
    with pytest.raises(JournalError, match="XDG_STATE_HOME"):
        log.write(events.Warned(seq=0, t=0, run="r", cluster=None, text="x"))
    log.close()


def test_one_cluster_one_lock_per_engine() -> None:
    """A second one is refused with the holder's process id; another engine is not concerned."""
    with cluster_lock("c", "engine-1"):
        with (
            pytest.raises(ClusterBusy, match=f"process {os.getpid()}"),
            cluster_lock("c", "engine-1"),
        ):
            pass
        with cluster_lock("c", "engine-2"), cluster_lock("d", "engine-1"):
            pass
    with cluster_lock("c", "engine-1"):
        pass


def test_a_lock_goes_with_the_last_who_holds_it() -> None:
    """Also one that is shared, and after an error: names of what never was leave no file."""
    folder = state_dir() / "locks"
    with suppress(JournalError), cluster_lock("c", "engine"):
        assert 1 == len(list(folder.iterdir()))
        raise JournalError("no")
    assert [] == list(folder.iterdir())
    with cluster_lock("c", "engine", is_shared=True):
        with cluster_lock("c", "engine", is_shared=True):
            pass
        assert 1 == len(list(folder.iterdir()))
        with pytest.raises(ClusterBusy), cluster_lock("c", "engine"):
            pass
    assert [] == list(folder.iterdir())


def test_locks_that_come_and_go_let_one_in_at_a_time(tmp_path: Path) -> None:
    """Many at once, each of which removes the file: there is never a second holder."""
    path, inside, most = tmp_path / "lock", [0], [0]

    def work() -> None:
        for _ in range(200):
            with lock_file(path, wait=True, goes=True):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                os.sched_yield()
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (1, 0) == (most[0], inside[0])
    assert not path.exists()


def test_runs_come_oldest_first() -> None:
    """Run ids sort by time."""
    for run in ("20260102-1", "20260101-1"):
        write_run(run)

    assert ["20260101-1", "20260102-1"] == [past.events[0].run for past in past_runs("c")]


def test_tidy_removes_what_is_old_and_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Old logs go; one that still needs a rollback stays, however old."""
    monkeypatch.setattr(journal, "KEEP_RUNS", 2)
    over = [write_run(f"r{number}", ends="done") for number in range(4)]
    for number, path in enumerate(over):
        os.utime(path, (number, number))
    open_run = write_run("r9")
    os.utime(open_run, (0, 0))

    assert 4 == tidy(now=journal.KEEP_SECONDS * 2)
    assert [open_run] == list((state_dir() / "runs").glob("*/*"))


def test_tidy_keeps_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the month the newest ones stay."""
    monkeypatch.setattr(journal, "KEEP_RUNS", 2)
    paths = [write_run(f"r{number}", ends="done") for number in range(3)]
    for number, path in enumerate(paths):
        os.utime(path, (number, number))

    assert 1 == tidy(now=10.0)
    assert paths[1:] == sorted((state_dir() / "runs").glob("*/*"))


@pytest.mark.parametrize("wait", [True, False])
def test_a_lock_that_cannot_be_made_is_one_error_with_advice(tmp_path: Path, wait: bool) -> None:
    """A file where the directory should be, say."""
    (tmp_path / "file").touch()
    with (
        pytest.raises(JournalError, match=r"cannot lock .*File exists.*XDG_STATE_HOME"),
        lock_file(tmp_path / "file" / "x", wait=wait),
    ):
        pass


def test_a_relative_state_directory_counts_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logs must be found again from every working directory."""
    monkeypatch.setenv("XDG_STATE_HOME", "here")

    assert state_dir().is_absolute()


def test_half_a_line_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the next line that finds room would stand behind it, and damage the log."""
    log = Journal.for_run("c", "torn")
    log.write(events.Warned(seq=0, t=0, run="r", cluster=None, text="whole"))
    whole, write = log.path.read_bytes(), os.write
    monkeypatch.setattr(os, "write", lambda number, line: write(number, line[:9]))
    with pytest.raises(JournalError, match="no room"):
        log.write(events.Warned(seq=1, t=0, run="r", cluster=None, text="torn"))

    assert whole == log.path.read_bytes()
    log.close()
