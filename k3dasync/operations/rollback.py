"""Finishing by hand what a killed run left."""

from collections.abc import Sequence

from k3dasync.backend import Backend
from k3dasync.events import EventSink
from k3dasync.journal import cluster_lock
from k3dasync.operations._recover import recover, refuse_other_engine


async def rollback(
    cluster: str, *, backend: Backend, sinks: Sequence[EventSink] = ()
) -> tuple[str, ...]:
    """Take back everything that unfinished runs of a cluster made; return those runs' ids.

    Raises JournalError if they ran on another engine, ClusterBusy if one is still running,
    RollbackIncomplete if something could not be removed.
    """
    facts = await backend.runtime.facts()
    with cluster_lock(cluster, facts.id):
        recovered = await recover(
            cluster,
            backend=backend,
            facts=facts,
            sinks=sinks,
            also_kept=True,
            needs_files=True,
        )
        if not recovered.runs:
            refuse_other_engine(cluster, facts)
    return tuple(past.started.run for past in recovered.runs if past.started)
