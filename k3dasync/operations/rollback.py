"""Finishing by hand what a killed run left."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from k3dasync.backend import Backend
from k3dasync.events import EventSink
from k3dasync.grammar.names import spellings
from k3dasync.journal import cluster_lock, past_runs, place_of, thing_of
from k3dasync.operations._recover import recover, refuse_other_engine
from k3dasync.runtime import EngineFacts


@dataclass(frozen=True, slots=True)
class RolledBack:
    """A run that was taken back: its id, and the kind and name of what it was about."""

    run: str
    kind: str
    name: str


async def rollback(
    name: str, *, backend: Backend, sinks: Sequence[EventSink] = ()
) -> tuple[RolledBack, ...]:
    """Take back everything that unfinished runs of a cluster, or of a registry, made.

    Raises JournalError if they ran on another engine, ClusterBusy if one is still running,
    RollbackIncomplete if something could not be removed.
    """
    facts = await backend.runtime.facts()
    done: list[RolledBack] = []
    for place in (name, *_registries(name)):
        done += await _of_place(place, backend, facts, sinks)
    if not done:
        refuse_other_engine(name, facts)
    return tuple(done)


def _registries(name: str) -> Iterator[str]:
    """Yield the places of registries of that name, `k3d-` or not, that have logs."""
    for one in spellings(name):
        if past_runs(place := place_of("registry", one)):
            yield place


async def _of_place(
    place: str, backend: Backend, facts: EngineFacts, sinks: Sequence[EventSink]
) -> list[RolledBack]:
    with cluster_lock(place, facts.id):
        recovered = await recover(
            place,
            backend=backend,
            facts=facts,
            sinks=sinks,
            also_kept=True,
            needs_files=True,
        )
    kind, thing = thing_of(place)
    return [RolledBack(past.started.run, kind, thing) for past in recovered.runs if past.started]
