"""The logs of all nodes of a cluster as one: in order of time, and on as long as there are nodes.

What is written already is merged by the engine's times. What comes then is told as it comes: two
nodes' lines are in order of time among those that have arrived together.
"""

import heapq
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial

from k3dasync.cluster import APP, LABEL_CLUSTER
from k3dasync.errors import EngineUnavailable, NodeNotFound, NotFound
from k3dasync.gather import gather
from k3dasync.loglines import LogLine
from k3dasync.masks import hiding
from k3dasync.operations._existing import ExistingCluster, existing_cluster
from k3dasync.operations._follow import Follow
from k3dasync.operations._inspect import inspect_present
from k3dasync.operations._secrets import secrets_of
from k3dasync.runtime import Runtime

BATCH = 256
"""Lines handed on at a time: one write for each would cost more than all else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What of the logs is wanted: each node's last *tail* lines (None: all), and with *follow* on.

    None is older than *since*, in nanoseconds since 1970.
    """

    tail: int | None = None
    since: int = 0
    follow: bool = False


@dataclass(frozen=True, slots=True)
class NodeLine:
    """A line, and the container that wrote it."""

    node: str
    line: LogLine


Write = Callable[[Sequence[NodeLine]], Awaitable[None]]
"""Takes some lines. While it does not return no more are read: whoever is slow slows us down."""


async def read_logs(
    name: str,
    nodes: Sequence[str],
    query: Query,
    *,
    runtime: Runtime,
    write: Write,
    meet: Callable[[Sequence[str]], None],
    tell: Callable[[str], None],
) -> None:
    """Hand the lines of these nodes, or of all without any, to *write*, secrets masked.

    First, *meet* is told which nodes these are. Followed, it returns when no node is there any
    more; meanwhile *tell* is told which has stopped.
    Raises ClusterNotFound, or NodeNotFound if the cluster has no such node.
    """
    cluster = await existing_cluster(runtime, name)
    chosen = chosen_nodes(cluster, nodes)
    details = await inspect_present(runtime, [one.name for one in cluster.containers])
    hide = hiding(secrets_of(details.values(), cluster.token))

    async def masked(lines: Sequence[NodeLine]) -> None:
        await write([NodeLine(at.node, LogLine(at.line.at, hide(at.line.text))) for at in lines])

    meet(chosen)
    last = dict.fromkeys(chosen, 0)
    # Without any line the last one is read all the same: it is where to go on.
    asked = replace(query, tail=query.tail or 1) if query.tail is not None else query
    try:
        async with AsyncExitStack() as stack:
            async for batch in _merged(chosen, asked, runtime, stack):
                last |= {one.node: one.line.at for one in batch}
                if query.tail != 0:
                    await masked(batch)
    except EngineUnavailable as error:
        # A line that was cut is taken up below, behind what was read.
        if not (query.follow and error.is_passing):
            raise
    if query.follow:
        follow = Follow(
            runtime=runtime,
            labels={**APP, LABEL_CLUSTER: name},
            only=frozenset(chosen) if nodes else None,
            tell=tell,
        )

        async def told(some: list[tuple[str, LogLine]]) -> None:
            await masked([NodeLine(node, line) for node, line in some])

        await follow.run(last, told, since=query.since)


def chosen_nodes(cluster: ExistingCluster, names: Sequence[str]) -> tuple[str, ...]:
    """Return the containers that are meant: all nodes without names, else whatever is part of it.

    `server-0` means `k3d-NAME-server-0`. Raises NodeNotFound.
    """
    if not names:
        return tuple(one.name for one in cluster.nodes)
    there = {one.name for one in cluster.containers}
    found = []
    for name in names:
        spellings = (name, f"k3d-{cluster.name}-{name}", f"k3d-{name}")
        known = next((one for one in spellings if one in there), None)
        if known is None:
            raise NodeNotFound(name)
        found.append(known)
    return tuple(dict.fromkeys(found))


async def _merged(
    nodes: Sequence[str], query: Query, runtime: Runtime, stack: AsyncExitStack
) -> AsyncIterator[list[NodeLine]]:
    """Yield what is written already in order of time; of each log one line is in memory."""
    logs = await gather([partial(_open, node, query, runtime, stack) for node in nodes])
    firsts = await gather([partial(_next, log) for log in logs])
    heads = [(line.at, place) for place, line in enumerate(firsts) if line is not None]
    lines = list(firsts)
    heapq.heapify(heads)
    batch: list[NodeLine] = []
    while heads:
        _, place = heads[0]
        line, log = lines[place], logs[place]
        assert line is not None
        batch.append(NodeLine(nodes[place], line))
        following = lines[place] = await _next(log)
        if following is None:
            heapq.heappop(heads)
        else:
            # A clock that was set back must not put a node's lines out of their order.
            heapq.heapreplace(heads, (max(following.at, heads[0][0]), place))
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


async def _open(
    node: str, query: Query, runtime: Runtime, stack: AsyncExitStack
) -> AsyncIterator[LogLine] | None:
    try:
        log = runtime.follow_logs(node, tail=query.tail, since=query.since, follow=False)
        return await stack.enter_async_context(log)
    except NotFound:
        return None  # removed meanwhile


async def _next(log: AsyncIterator[LogLine] | None) -> LogLine | None:
    return await anext(log, None) if log is not None else None
