"""What runs that were cut have left on an engine."""

import time
from collections.abc import Iterator

from k3dasync.cluster import LABEL_CLUSTER, LABEL_ROLE, LABEL_RUN, Role
from k3dasync.doctor.seen import Leftover
from k3dasync.errors import ClusterBusy, JournalError
from k3dasync.journal import SEVERAL, cluster_lock, past_runs, places, thing_of
from k3dasync.operations._observe import World
from k3dasync.operations._recover import rollback_command
from k3dasync.runtime import Status
from k3dasync.spec import DEFAULT_TIMEOUT


def leftovers(world: World) -> tuple[Leftover, ...]:
    """Return the clusters with something left by runs that nobody finishes any more.

    Those of which a process of this user holds the lock are being made or deleted right now;
    what is younger than a create may take can be another user's, at work.
    """
    engine, found = world.facts.id, dict[str, Leftover]()
    for cluster in _cut_runs(engine):
        found[cluster] = Leftover(
            cluster=thing_of(cluster)[1],
            what="a run that was cut",
            command=rollback_command(cluster),
        )
    for cluster, what in _incomplete(world).items():
        command = f"k3dasync delete {cluster}"
        found.setdefault(cluster, Leftover(cluster=cluster, what=what, command=command))
    return tuple(one for name, one in sorted(found.items()) if not _is_busy(name, engine))


def _cut_runs(engine: str) -> Iterator[str]:
    for name in places():
        if name != SEVERAL and any(
            past.is_unfinished and past.started and past.started.engine.id == engine
            for past in past_runs(name)
        ):
            yield name


def _incomplete(world: World) -> dict[str, str]:
    """Return what has a run's label and belongs to a cluster none of whose servers ever started."""
    complete = {
        one.labels.get(LABEL_CLUSTER)
        for one in world.containers
        if one.labels.get(LABEL_ROLE) == Role.SERVER and one.status is not Status.CREATED
    }
    # A registry may outlive its cluster, with the network: others use it.
    complete |= {
        one.labels.get(LABEL_CLUSTER)
        for one in world.containers
        if one.labels.get(LABEL_ROLE) == Role.REGISTRY
    }
    # By the engine's own clock, which need not be ours.
    now = world.facts.time or time.time()
    complete |= {
        one.labels.get(LABEL_CLUSTER)
        for one in world.containers
        if now - one.created < DEFAULT_TIMEOUT
    }
    parts: dict[str, list[str]] = {}
    for kind, some in (
        ("container", world.containers),
        ("network", world.networks),
        ("volume", world.volumes),
    ):
        for part in some:
            cluster = part.labels.get(LABEL_CLUSTER)
            if cluster and LABEL_RUN in part.labels and cluster not in complete:
                parts.setdefault(cluster, []).append(f"{kind} {part.name}")
    return {cluster: _some(names) for cluster, names in parts.items()}


def _some(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _is_busy(cluster: str, engine: str) -> bool:
    """Say whether somebody works on it now; the lock is held for a moment, shared."""
    try:
        with cluster_lock(cluster, engine, is_shared=True):
            return False
    except (ClusterBusy, JournalError) as error:
        return isinstance(error, ClusterBusy)
