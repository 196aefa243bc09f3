"""What in the user's files belongs to no cluster: only what surely was of this engine."""

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path

from k3dasync import journal, k3d_files, kubeconfig
from k3dasync.events import RunDone
from k3dasync.journal import PastRun, past_runs, thing_of
from k3dasync.kubeconfig import KubeconfigError, context_name, private
from k3dasync.operations._stray import Stray
from k3dasync.runtime import EngineFacts


def entries(gone: Collection[str], facts: EngineFacts, older_than: float) -> Iterator[Stray]:
    """Yield kubeconfigs with entries of clusters that are not there any more.

    That this engine had them is known from our logs alone: a cluster of that name on another one
    has the same entries. So the newest create of the name must have been here, and the entry must
    lead to where that cluster was.
    """
    for name in sorted(gone):
        last = _last_create(past_runs(name), facts)
        url = _api(last) if last else ""
        if not last or not url or not _is_old(last.path, older_than, time.time()):
            continue
        for path in kubeconfig.search(name).found:
            if _leads_to(path, name, url):
                why = f"entries lead to {url}, where it was"
                yield Stray(kind="kubeconfig", name=path, cluster=name, why=why)


def _last_create(runs: Collection[PastRun], facts: EngineFacts) -> PastRun | None:
    """Return the create of a cluster that was the last one, if that was on this engine."""
    creates = [one for one in runs if one.started and one.started.operation == "create"]
    done = [one for one in creates if isinstance(one.events[-1], RunDone)]
    last = done[-1] if done else None
    return last if last and last.started and last.started.engine.id == facts.id else None


def _api(created: PastRun) -> str:
    """Return where the API of a cluster was."""
    last = created.events[-1]
    return last.outputs.api if isinstance(last, RunDone) and last.outputs else ""


def _leads_to(path: str, name: str, url: str) -> bool:
    try:
        config = kubeconfig.load(Path(path))
    except KubeconfigError:
        return False
    found = [one for one in config.get("clusters") or [] if one["name"] == context_name(name)]
    return any((one.get("cluster") or {}).get("server") == url for one in found)


def folders(
    nodes: Collection[str], facts: EngineFacts, older_than: float, now: float
) -> Iterator[Stray]:
    """Yield k3d's folders of nodes that are not there, where nodes can mount what is here."""
    if not facts.is_local:
        return
    for path in k3d_files.folders():
        node = k3d_files.node_of(path)
        if node not in nodes and _is_old(path, older_than, now):
            cluster = k3d_files.cluster_of(node)
            why = f"there is no node {node}"
            yield Stray(kind="folder", name=str(path), cluster=cluster, why=why)


def logs(
    is_there: Callable[[str, str], bool], facts: EngineFacts, older_than: float | None
) -> Iterator[Stray]:
    """Yield logs of runs that are over, of things that are gone; None: as old as usually kept."""
    keep = journal.KEEP_SECONDS if older_than is None else older_than
    for place in journal.places():
        kind, name = thing_of(place)
        if place == journal.SEVERAL or is_there(kind, name):
            continue
        for past in past_runs(place):
            is_here = past.started is not None and past.started.engine.id == facts.id
            if is_here and not past.is_unfinished and _is_old(past.path, keep, time.time()):
                size = past.path.stat().st_size
                why = f"log of a {kind} that is gone"
                yield Stray(kind="log", name=str(past.path), cluster=name, why=why, size=size)


def locks(
    is_there: Callable[[str, str], bool], facts: EngineFacts, older_than: float
) -> Iterator[Stray]:
    """Yield lock files of things that are gone from this engine."""
    for path, place in journal.lock_files(facts.id):
        kind, name = thing_of(place)
        if not is_there(kind, name) and _is_old(path, older_than, time.time()):
            why = f"lock of a {kind} that is gone"
            yield Stray(kind="lock", name=str(path), cluster=name, why=why)


def sessions(older_than: float) -> Iterator[Stray]:
    """Yield the kubeconfigs that a killed `shell` or `kubectl` has left, keys in them."""
    for path in private.abandoned():
        if _is_old(path, older_than, time.time()):
            why = "the command that it was for was killed"
            yield Stray(kind="session", name=str(path), cluster=private.cluster_of(path), why=why)


def remove_log(path: Path) -> None:
    """Remove a log, and its folder with the last one."""
    with suppress(FileNotFoundError):
        path.unlink()
    with suppress(OSError):
        path.parent.rmdir()


def _is_old(path: Path, older_than: float, now: float) -> bool:
    with suppress(OSError):
        return not older_than or now - path.stat().st_mtime >= older_than
    return False
