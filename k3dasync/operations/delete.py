"""Deleting clusters: everything that is part of one, concurrently, with an honest outcome."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from operator import attrgetter

from k3dasync import events, kubeconfig
from k3dasync.backend import Backend
from k3dasync.cluster import APP, LABEL_CLUSTER
from k3dasync.errors import K3dAsyncError, RollbackIncomplete
from k3dasync.events import EventSink
from k3dasync.graph import Graph
from k3dasync.journal import cluster_lock, past_runs
from k3dasync.operations._existing import ExistingCluster, existing_clusters
from k3dasync.operations._members import not_told
from k3dasync.operations._one_way import OneWay
from k3dasync.operations._recover import recover
from k3dasync.operations._registry_removal import Fate, fates, registries_of
from k3dasync.operations._run import Run, Stop, new_run_id
from k3dasync.operations._several import each
from k3dasync.runtime import EngineFacts
from k3dasync.scheduler import Report
from k3dasync.tasks import TaskReport, removal


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """What became of the names that were asked for."""

    deleted: tuple[str, ...]
    absent: tuple[str, ...]


async def delete(
    names: Sequence[str] | None,
    *,
    backend: Backend,
    sinks: Sequence[EventSink] = (),
    stop: Stop | None = None,
) -> Deleted:
    """Delete these clusters, or all with None; several at a time.

    Raises RollbackIncomplete if something is left, after everything else was deleted.
    """
    stop = stop or Stop()
    facts = await backend.runtime.facts()
    if names is None:
        names = tuple(await existing_clusters(backend.runtime))
    names = tuple(dict.fromkeys(names))

    async def delete_one(name: str) -> bool:
        return await _delete(name, names, backend=backend, facts=facts, sinks=sinks)

    ends = await each(names, delete_one, stop=stop, undone="not deleted")
    if ends.failures:
        raise _merged(ends.failures)
    return Deleted(deleted=tuple(ends.done), absent=tuple(ends.absent))


def _merged(failures: dict[str, K3dAsyncError]) -> K3dAsyncError:
    if len(failures) == 1:
        return next(iter(failures.values()))
    left = [text for error in failures.values() for text in getattr(error, "left", ())]
    error = RollbackIncomplete(left or list(failures), f"k3dasync delete {' '.join(failures)}")
    for name, failure in failures.items():
        error.add_note(f"{name}: {failure}")
    return error


async def _delete(
    name: str,
    names: Collection[str],
    *,
    backend: Backend,
    facts: EngineFacts,
    sinks: Sequence[EventSink],
) -> bool:
    """Delete one cluster of *names* and say whether there was anything to delete."""
    with cluster_lock(name, facts.id):
        recovered = await recover(
            name, backend=backend, facts=facts, also_kept=True, lives_on=False
        )
        clusters = await existing_clusters(backend.runtime)
        cluster = clusters.get(name)
        registries: tuple[Fate, ...] = ()
        if cluster is not None:
            found = registries_of(await backend.runtime.containers(APP))
            registries = tuple(fates(cluster, clusters.values(), found, deleted=names))
        files = kubeconfig.Search((), ())
        if not backend.is_rehearsal:
            files = kubeconfig.search(name, also=_merged_into(name))
        if cluster is None and not files.found:
            return bool(recovered.runs)
        run = Run(
            id=new_run_id(),
            operation="delete",
            cluster=name,
            facts=facts,
            k3s="",
            sinks=sinks,
            is_rehearsal=backend.is_rehearsal,
        )
        try:
            graph = _plan(name, cluster, registries, files.found)
            told = [f"entries of {name} may be left: {problem}" for problem in files.problems]
            told += filter(None, (one.told(name) for one in registries))
            told += not_told(name, [one.name for one in cluster.nodes] if cluster else [])
            await _walk(run, name, graph, told, backend)
        finally:
            run.close()
    return True


def _merged_into(name: str) -> tuple[str, ...]:
    """Return the kubeconfigs that creates of this cluster have written to, as their logs say."""
    ends = [past.events[-1] for past in past_runs(name) if past.events]
    outputs = [end.outputs for end in ends if isinstance(end, events.RunDone)]
    return tuple(one.kubeconfig for one in outputs if one is not None and one.kubeconfig)


def _plan(
    name: str, cluster: ExistingCluster | None, registries: Sequence[Fate], files: Sequence[str]
) -> Graph[removal.Removal]:
    labels = {**APP, LABEL_CLUSTER: name}
    known = {one.registry.name for one in registries}
    parts = [one.name for one in cluster.containers] if cluster else []
    containers = {part: labels for part in parts if part not in known}
    return removal.plan(
        name,
        containers=containers
        | {one.registry.name: one.labels for one in registries if one.is_removed},
        connections=tuple(
            (one.registry.name, network)
            for one in registries
            if not one.is_removed
            for network in one.networks
        ),
        networks=tuple(dict.fromkeys(one.name for one in cluster.networks)) if cluster else (),
        volumes=tuple(one.name for one in cluster.volumes) if cluster else (),
        kubeconfigs=tuple(files),
        labels=labels,
        network_labels=APP,
    )


async def _walk(
    run: Run, name: str, graph: Graph[removal.Removal], told: Sequence[str], backend: Backend
) -> None:
    async def act(task: removal.Removal, _report: TaskReport) -> None:
        await task.run(backend.runtime)

    def judge(report: Report) -> K3dAsyncError | None:
        left = tuple(graph[id].what for id in (*report.failed, *report.skipped))
        if not left:
            return None
        incomplete = RollbackIncomplete(left, f"k3dasync delete {name}")
        for id, error in report.failed.items():
            incomplete.add_note(f"{id}: {error}")
        incomplete.__cause__ = next(iter(report.failed.values()))
        return incomplete

    one_way = OneWay(
        graph=graph, act=act, keep_going=True, judge=judge, left=attrgetter("what"), told=told
    )
    await one_way.perform(run)
