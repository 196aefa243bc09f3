"""Finishing what an earlier run could not: it was killed, or its rollback was not complete."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import anyio

from k3dasync import events
from k3dasync.backend import Backend
from k3dasync.errors import JournalError, RollbackIncomplete
from k3dasync.events import Emitter, EventSink
from k3dasync.journal import Journal, PastRun, past_runs, thing_of
from k3dasync.operations._backward import take_back
from k3dasync.runtime import EngineFacts
from k3dasync.undo import (
    ForgetNode,
    Readmit,
    RemoveKubeconfigEntries,
    RestoreContainer,
    RestoreFiles,
    Uncordon,
    leftovers,
)

_OF_CLUSTER = (ForgetNode, RestoreContainer, RestoreFiles, Uncordon, Readmit)
"""What is undone in a cluster that is there; containers go by themselves, too."""

CHANGES = frozenset({"edit"})
"""Operations that change clusters which are there: what they did can be taken back, and it stays a
cluster. Who only starts or stops one does that first, and leaves a create that was cut alone."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """The runs that were taken back, and what may be left of them in the user's files."""

    runs: tuple[PastRun, ...]
    entries: tuple[str, ...]


def rollback_command(place: str) -> str:
    """Return the command that finishes the job by hand, for a cluster or a registry."""
    return f"k3dasync rollback {thing_of(place)[1]}"


async def recover(
    cluster: str,
    *,
    backend: Backend,
    facts: EngineFacts,
    sinks: Sequence[EventSink] = (),
    also_kept: bool,
    needs_files: bool = False,
    operations: Collection[str] = (),
    lives_on: bool = True,
) -> Recovered:
    """Take back what unfinished runs of a cluster left on this engine.

    The cluster's lock must be held: a run whose log is open and whose lock is free is dead.
    With *also_kept* even what a user wanted kept (`--no-rollback`) goes. Entries in kubeconfigs
    that cannot be changed are an error only with *needs_files*: a file that somebody has damaged
    must not keep a cluster's name from being used. With *operations* only those are taken back.
    The cluster need not be told of nodes that go unless it *lives on*: it may not run.

    Raises RollbackIncomplete if something could not be removed.
    """
    finished: list[PastRun] = []
    entries: list[str] = []
    for past in past_runs(cluster):
        if not past.is_unfinished or (past.is_kept and not also_kept):
            continue
        if past.started is None or past.started.engine.id != facts.id:
            continue
        if operations and past.started.operation not in operations:
            continue
        left = await _take_back(
            cluster,
            past,
            backend=backend,
            sinks=sinks,
            needs_files=needs_files,
            lives_on=lives_on,
        )
        entries += left
        finished.append(past)
    return Recovered(tuple(finished), tuple(entries))


async def _take_back(
    place: str,
    past: PastRun,
    *,
    backend: Backend,
    sinks: Sequence[EventSink],
    needs_files: bool,
    lives_on: bool,
) -> tuple[str, ...]:
    """Take back one run and return what may be left in the user's files."""
    last, started = past.events[-1], past.started
    assert started is not None
    log = Journal(past.path)
    try:
        emitter = Emitter(
            run=started.run,
            cluster=started.cluster,
            clock=anyio.current_time,
            journal=log,
            sinks=sinks,
            after=last,
        )
        pending = {
            id: task
            for id, task in events.to_undo(past.events).items()
            if lives_on or not isinstance(task.undo, _OF_CLUSTER)
        }
        left = await take_back(
            events.plan_of(past.events), pending, backend=backend, emitter=emitter
        )
        in_files = leftovers(
            [
                task.undo
                for task in pending.values()
                if isinstance(task.undo, RemoveKubeconfigEntries)
            ]
        )
        entries = tuple(text for text in left if text in in_files)
        if not needs_files:
            left = tuple(text for text in left if text not in in_files)
        emitter.emit(
            events.RunFailed,
            seconds=round(emitter.now(), 6),
            code=events.ABANDONED,
            cause="the process that ran it is gone",
            rolled_back=True,
            left=left,
        )
    finally:
        log.close()
    if left:
        raise RollbackIncomplete(left, rollback_command(place))
    return entries


def refuse_other_engine(cluster: str, facts: EngineFacts) -> None:
    """Raise JournalError if unfinished runs of the cluster belong to another engine only."""
    foreign = [
        past.started.engine
        for past in past_runs(cluster)
        if past.is_unfinished and past.started and past.started.engine.id != facts.id
    ]
    if foreign:
        raise JournalError(
            f"cannot roll back cluster {cluster}: its run was on the engine at "
            f"{foreign[-1].endpoint}, and this is another one ({facts.endpoint}); "
            "set DOCKER_HOST or DOCKER_CONTEXT to that engine"
        )
