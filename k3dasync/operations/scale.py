"""As many servers and agents as are asked for: what is missing is added, what is more goes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from k3dasync.backend import Backend
from k3dasync.cluster import Cluster, Node, Role, agent_name, server_name
from k3dasync.errors import Interrupted
from k3dasync.events import EventSink
from k3dasync.journal import cluster_lock
from k3dasync.operations._departure import Departure, told
from k3dasync.operations._members import members_of
from k3dasync.operations._recall import natural
from k3dasync.operations._recover import recover
from k3dasync.operations._run import Stop, new_run_id
from k3dasync.operations.node_create import Batch, GrowOptions, add_locked
from k3dasync.operations.node_delete import Leaving, delete_locked
from k3dasync.resolve import NodeSpec

_NAMES = {Role.SERVER: server_name, Role.AGENT: agent_name}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaled:
    """What became of a cluster: the names that came and went."""

    added: tuple[str, ...]
    removed: tuple[str, ...]


async def scale(
    name: str,
    wanted: dict[Role, int],
    options: GrowOptions,
    *,
    backend: Backend,
    sinks: Sequence[EventSink] = (),
    stop: Stop | None = None,
) -> Scaled:
    """Give a cluster as many nodes of each role as are *wanted*; those not named stay as they are.

    New ones get the lowest numbers that are free, and the highest go first. What is added is added
    before anything goes, each in a run of its own.

    Raises as `create_nodes` and `delete_nodes` do; what was through before stays.
    """
    facts = await backend.runtime.facts()
    stop = stop or Stop()
    with cluster_lock(name, facts.id):
        await recover(name, backend=backend, facts=facts, also_kept=False)
        members = await members_of(backend.runtime, name, run=new_run_id())
        cluster = members.cluster
        batches = [
            Batch(names, NodeSpec(role=role))
            for role, count in wanted.items()
            if (names := tuple(missing(cluster, role, count)))
        ]
        if batches:
            await add_locked(
                name,
                batches,
                replace(options, operation="scale"),
                backend=backend,
                facts=facts,
                sinks=sinks,
                stop=stop,
            )
        leaving = [one for role, count in wanted.items() for one in surplus(cluster, role, count)]
        if leaving:
            gone = Leaving(cluster=name, names=tuple(leaving), operation="scale")
            departures: list[Departure] = []
            is_done = False
            with stop.scope():
                await delete_locked(gone, departures, backend=backend, facts=facts, sinks=sinks)
                is_done = True
            if not is_done:
                raise Interrupted(f"{stop.because}; {told(departures, leaving)}")
    added = tuple(one for batch in batches for one in batch.names)
    return Scaled(added=added, removed=tuple(leaving))


def missing(cluster: Cluster, role: Role, count: int) -> Iterator[str]:
    """Yield the names of the nodes that a role lacks: the lowest numbers that are free."""
    there = {node.name for node in cluster.nodes}
    lacking = count - len(_of(cluster, role))
    index = 0
    while lacking > 0:
        name = _NAMES[role](cluster.name, index)
        index += 1
        if name not in there:
            lacking -= 1
            yield name


def surplus(cluster: Cluster, role: Role, count: int) -> Iterator[str]:
    """Yield the names of the nodes that a role has too many of: the highest numbers first.

    Those that have names of their own, as `node create` gives them, go last; the init server too.
    """
    prefix = _NAMES[role](cluster.name, 0).removesuffix("0")

    def place(node: Node) -> tuple[bool, bool, list[str | int]]:
        return node.is_init, not node.name.startswith(prefix), natural(node.name)

    own = sorted(_of(cluster, role), key=lambda node: natural(node.name), reverse=True)
    own.sort(key=lambda node: place(node)[:2])
    for node in own[: max(len(own) - count, 0)]:
        yield node.name


def _of(cluster: Cluster, role: Role) -> list[Node]:
    return [node for node in cluster.nodes if node.role is role]
