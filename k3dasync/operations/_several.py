"""The same for several clusters at once, each in a run of its own."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import anyio

from k3dasync.backend import Backend
from k3dasync.errors import ClusterNotFound, Interrupted, K3dAsyncError
from k3dasync.journal import cluster_lock
from k3dasync.life_errors import SeveralFailed
from k3dasync.operations._existing import existing_clusters
from k3dasync.operations._run import Stop
from k3dasync.runtime import EngineFacts, EngineReader

MOST_AT_ONCE = 8
"""Clusters worked on at a time: the engine's own locks allow no more, and each has a lock file."""


@dataclass(slots=True)
class Ends:
    """What became of each name: done, nothing to do, or an error."""

    done: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    failures: dict[str, K3dAsyncError] = field(default_factory=dict)


async def each_cluster(
    names: Sequence[str] | None,
    perform: Callable[[str, EngineFacts], Awaitable[bool]],
    *,
    backend: Backend,
    stop: Stop | None,
    undone: str,
) -> Ends:
    """Do the same to these clusters, or to all with None, the lock of each held; as `each` does.

    Raises ClusterNotFound before the first if there is one that is not; afterwards the error of
    the one that failed, or SeveralFailed.
    """
    facts = await backend.runtime.facts()
    wanted = await known_names(names, backend.runtime)

    async def locked(name: str) -> bool:
        with cluster_lock(name, facts.id):
            return await perform(name, facts)

    ends = await each(wanted, locked, stop=stop or Stop(), undone=undone)
    if ends.failures:
        raise merged(ends.failures)
    return ends


async def known_names(names: Sequence[str] | None, runtime: EngineReader) -> tuple[str, ...]:
    """Return these names, each once, or all there are; raises ClusterNotFound if one is not."""
    there = {name: one for name, one in (await existing_clusters(runtime)).items() if one.nodes}
    if names is None:
        return tuple(there)
    wanted = tuple(dict.fromkeys(names))
    absent = [name for name in wanted if name not in there]
    if absent:
        raise ClusterNotFound(", ".join(absent))
    return wanted


async def each(
    names: Sequence[str],
    perform: Callable[[str], Awaitable[bool]],
    *,
    stop: Stop,
    undone: str | Callable[[], str],
) -> Ends:
    """Call *perform* for every name, several at a time; it says whether there was anything to do.

    Raises Interrupted if *stop* was asked for before all were through; *undone* says in its
    message what the rest is: `not deleted`, or returns all of it.
    """
    ends = Ends()
    slots = anyio.CapacityLimiter(MOST_AT_ONCE)

    async def one(name: str) -> None:
        async with slots:
            try:
                found = await perform(name)
            except K3dAsyncError as error:
                ends.failures[name] = error
            else:
                (ends.done if found else ends.absent).append(name)

    with stop.scope():
        async with anyio.create_task_group() as group:
            for name in names:
                group.start_soon(one, name)
    rest = [name for name in names if name not in ends.done]
    if stop.because and rest:
        told = f"{undone}: {', '.join(rest)}" if isinstance(undone, str) else undone()
        raise Interrupted(f"{stop.because}; {told}")
    # In the order in which they were named, not in which they ended.
    ends.done.sort(key=list(names).index)
    ends.absent.sort(key=list(names).index)
    ends.failures = {name: ends.failures[name] for name in names if name in ends.failures}
    return ends


def merged(failures: dict[str, K3dAsyncError]) -> K3dAsyncError:
    """Return one error for those of several names: the only one, or all with the names."""
    if len(failures) == 1:
        return next(iter(failures.values()))
    codes = {error.exit_code for error in failures.values()}
    error = SeveralFailed(f"failed for {len(failures)} of them: {', '.join(failures)}")
    if len(codes) == 1:
        error.exit_code = codes.pop()
    for name, failure in failures.items():
        error.add_note(f"{name}: {failure}")
    return error
