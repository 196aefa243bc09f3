"""Removing what belongs to no cluster, and clusters whose time is over: found, then removed."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from k3dasync import journal
from k3dasync.backend import Backend
from k3dasync.cluster import APP, LABEL_CLUSTER, LABEL_EXTERNAL, LABEL_ROLE, Role
from k3dasync.errors import ClusterBusy, K3dAsyncError, RollbackIncomplete
from k3dasync.events import EventSink
from k3dasync.graph import Graph
from k3dasync.journal import cluster_lock
from k3dasync.kubeconfig import private
from k3dasync.operations import _stray_files
from k3dasync.operations._age import now_of
from k3dasync.operations._existing import everything
from k3dasync.operations._inspect import INSPECTIONS, inspect_present
from k3dasync.operations._one_way import OneWay
from k3dasync.operations._run import Run, Stop, new_run_id
from k3dasync.operations._several import each
from k3dasync.operations._stray import Stock, Stray, external, strays
from k3dasync.operations.delete import delete
from k3dasync.runtime import EngineFacts, Runtime
from k3dasync.scheduler import Report
from k3dasync.tasks import TaskReport, removal

USUAL_AGE = 900.0
"""Seconds that a thing must be old unless told otherwise. k3d makes networks and volumes minutes
before the first node if it has to pull an image, and holds no lock that we could see; our own
creates end after that time."""
_FILES = frozenset({"log", "lock", "session"})
_EXPIRED = "cluster"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be looked for: of these clusters only (none: all), at least so many seconds old.

    `is_external`: also what was made for several clusters, if none uses it.
    """

    clusters: Collection[str] = ()
    older_than: float | None = None
    is_external: bool = False

    @property
    def age(self) -> float:
        """How old a thing must be, in seconds."""
        return USUAL_AGE if self.older_than is None else self.older_than


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What was removed, and what was left alone because somebody works on its cluster."""

    removed: tuple[Stray, ...]
    busy: tuple[str, ...]


async def find(
    wanted: Wanted, runtime: Runtime, *, sees_files: bool = True, counts: bool = True
) -> tuple[Stray, ...]:
    """Return what would be removed now; touches nothing.

    Without *sees_files* the engine's only; without *counts* no volume is known to be in use.
    """
    facts = await runtime.facts()
    stock = await _stock(runtime, facts, counts=counts)
    found = [
        Stray(kind=_EXPIRED, name=name, cluster=name, why="its time is over")
        for name in stock.expired
    ]
    found += strays(stock, wanted.age)
    if wanted.is_external and not wanted.clusters:
        found += external(stock, wanted.age)
    if sees_files:
        found += _in_files(wanted, stock, facts)
    chosen = [one for one in found if not wanted.clusters or one.cluster in wanted.clusters]
    return tuple(dict.fromkeys(chosen))


async def remove(
    found: Sequence[Stray],
    wanted: Wanted,
    *,
    backend: Backend,
    sinks: Sequence[EventSink] = (),
    stop: Stop | None = None,
) -> Pruned:
    """Remove what was *found* and is still stray; what belongs to one cluster at once.

    Raises RollbackIncomplete, after everything else was removed, if something is left;
    Interrupted if *stop* was asked for.
    """
    facts = await backend.runtime.facts()
    left: list[str] = []
    removed: list[Stray] = []
    expired = [one for one in found if one.kind == _EXPIRED]
    stop = stop or Stop()
    by_cluster = _grouped(one for one in found if one.kind not in _FILES | {_EXPIRED})

    async def prune_one(cluster: str) -> bool:
        if cluster in {one.cluster for one in expired}:
            await delete([cluster], backend=backend, sinks=sinks)
            removed.extend(one for one in expired if one.cluster == cluster)
        if cluster not in by_cluster:
            return True
        with cluster_lock(cluster or "_none", facts.id):
            # The engine itself refuses to remove a volume that is in use by now.
            again = await find(
                wanted, backend.runtime, sees_files=not backend.is_rehearsal, counts=False
            )
            known = {(one.kind, one.name, one.cluster) for one in again}
            still = [
                one for one in by_cluster[cluster] if (one.kind, one.name, one.cluster) in known
            ]
            gone, failed = await _remove(cluster, still, backend=backend, facts=facts, sinks=sinks)
        removed.extend(gone)
        left.extend(failed)
        return bool(still)

    names = sorted({*by_cluster, *(one.cluster for one in expired)})
    ends = await each(names, prune_one, stop=stop, undone="not pruned")
    busy = [name for name, error in ends.failures.items() if isinstance(error, ClusterBusy)]
    failures = {name: error for name, error in ends.failures.items() if name not in busy}
    removed += _remove_files([one for one in found if one.kind in _FILES])
    if left or failures:
        raise _incomplete(left, failures)
    return Pruned(removed=tuple(one for one in found if one in removed), busy=tuple(busy))


async def _stock(runtime: Runtime, facts: EngineFacts, *, counts: bool) -> Stock:
    """Return everything on an engine, with what is in volumes if any of them may be removed."""
    containers, networks, volumes = await everything(runtime)
    stock = Stock(now=now_of(facts), containers=containers, networks=networks, volumes=volumes)
    ours = [one for one in volumes if APP.items() <= one.labels.items()]
    is_asked = any(
        one.labels.get(LABEL_CLUSTER) not in stock.alive or LABEL_EXTERNAL in one.labels
        for one in ours
    )
    if not (is_asked and counts):
        return stock
    gone = [one.name for one in stock.ours if one.labels.get(LABEL_CLUSTER) not in stock.alive]
    details = await inspect_present(runtime, gone, at_once=INSPECTIONS)
    return Stock(
        now=stock.now,
        containers=containers,
        networks=networks,
        volumes=volumes,
        usage=await runtime.volume_usage(),
        mounts={name: tuple(one.volumes.values()) for name, one in details.items()},
    )


def _in_files(wanted: Wanted, stock: Stock, facts: EngineFacts) -> Iterator[Stray]:
    present = {one.labels.get(LABEL_CLUSTER) for one in stock.ours}
    names = {one.name for one in stock.containers}

    def is_there(kind: str, name: str) -> bool:
        if kind == "network":
            return any(one.name == name for one in stock.networks)
        return name in (names if kind == "registry" else present)

    gone = [
        name for name in journal.places() if not name.startswith("_") and name not in stock.alive
    ]
    yield from _stray_files.entries(gone, facts, wanted.age)
    yield from _stray_files.folders(names, facts, wanted.age, stock.now)
    yield from _stray_files.logs(is_there, facts, wanted.older_than)
    yield from _stray_files.locks(is_there, facts, wanted.age)
    yield from _stray_files.sessions(wanted.age)


def _grouped(found: Iterable[Stray]) -> dict[str, list[Stray]]:
    by_cluster = attrgetter("cluster")
    return {name: list(some) for name, some in groupby(sorted(found, key=by_cluster), by_cluster)}


async def _remove(
    cluster: str,
    found: Sequence[Stray],
    *,
    backend: Backend,
    facts: EngineFacts,
    sinks: Sequence[EventSink],
) -> tuple[list[Stray], list[str]]:
    """Remove what is stray of one cluster; return what is gone, and the names of what is not."""
    if not found:
        return [], []
    graph = await _plan(cluster, found, backend.runtime)
    failed: list[str] = []

    async def act(task: removal.Removal, _report: TaskReport) -> None:
        await task.run(backend.runtime)

    def judge(report: Report) -> K3dAsyncError | None:
        failed.extend(graph[id].what for id in (*report.failed, *report.skipped))
        if not failed:
            return None
        incomplete = RollbackIncomplete(failed, "k3dasync prune")
        incomplete.__cause__ = next(iter(report.failed.values()))
        return incomplete

    run = Run(
        id=new_run_id(),
        operation="prune",
        cluster=cluster or None,
        facts=facts,
        k3s="",
        sinks=sinks,
        is_rehearsal=backend.is_rehearsal,
    )
    try:
        with suppress(RollbackIncomplete):
            await OneWay(
                graph=graph, act=act, keep_going=True, judge=judge, left=attrgetter("what")
            ).perform(run)
    finally:
        run.close()
    return [one for one in found if _what(one) not in failed], failed


async def _plan(cluster: str, found: Sequence[Stray], runtime: Runtime) -> Graph[removal.Removal]:
    def named(kind: str) -> tuple[str, ...]:
        return tuple(one.name for one in found if one.kind == kind)

    going, networks = named("container"), named("network")
    # Registries that a network has left behind: they serve others, or will.
    connections = tuple(
        (one.name, network)
        for one in await runtime.containers(APP)
        if one.labels.get(LABEL_ROLE) == Role.REGISTRY and one.name not in going
        for network in networks
        if network in one.addresses
    )
    labels = {**APP, LABEL_CLUSTER: cluster} if cluster else {**APP, LABEL_EXTERNAL: "true"}
    return removal.plan(
        cluster,
        containers=dict.fromkeys(going, labels),
        connections=connections,
        networks=networks,
        volumes=named("volume"),
        kubeconfigs=named("kubeconfig"),
        labels=labels,
        network_labels=APP,
        folders=named("folder"),
    )


def _what(stray: Stray) -> str:
    if stray.kind == "kubeconfig":
        return f"entries in {stray.name}"
    return f"{stray.kind} {stray.name}"


def _remove_files(found: Iterable[Stray]) -> Iterator[Stray]:
    """Remove logs, and what nobody holds any more; yield those that are gone."""
    for one in found:
        if one.kind == "log":
            _stray_files.remove_log(Path(one.name))
            yield one
        elif one.kind == "session":
            if private.forget(Path(one.name)):
                yield one
        elif journal.remove_lock(Path(one.name)):
            yield one


def _incomplete(left: Sequence[str], failures: dict[str, K3dAsyncError]) -> K3dAsyncError:
    names = [*left, *(f"cluster {name}" for name in failures)]
    error = RollbackIncomplete(names, "k3dasync prune")
    for name, failure in failures.items():
        error.add_note(f"{name}: {failure}")
    return error
