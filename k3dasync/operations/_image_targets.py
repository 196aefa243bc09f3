"""The nodes that images get into: those of clusters that run."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from k3dasync.cluster import Role
from k3dasync.errors import ClusterNotFound, ImportFailed
from k3dasync.journal import cluster_lock
from k3dasync.operations._existing import ExistingCluster, existing_clusters
from k3dasync.runtime import ContainerState, EngineReader, Status

_ROLES = (Role.SERVER, Role.AGENT)
_CURES = {Status.PAUSED: "resume"}
"""The command that lets nodes in a state run again; of all others it is `start`."""


def image_nodes(cluster: ExistingCluster) -> list[ContainerState]:
    """Return the nodes of a cluster that have images: servers, then agents."""
    return [node for role in _ROLES for node in cluster.of_role(role)]


async def known_clusters(names: Sequence[str], engine: EngineReader) -> list[ExistingCluster]:
    """Return these clusters; raises ClusterNotFound with all that have no node."""
    there = await existing_clusters(engine)
    absent = [name for name in names if name not in there or not image_nodes(there[name])]
    if absent:
        raise ClusterNotFound(", ".join(absent))
    return [there[name] for name in names]


async def running_nodes(names: Sequence[str], engine: EngineReader) -> list[tuple[str, Status]]:
    """Return the nodes of these clusters with their states; of each cluster at least one runs.

    Raises ClusterNotFound, and ImportFailed for clusters of which nothing runs.
    """
    clusters = await known_clusters(names, engine)
    still = [why for cluster in clusters if (why := _stillness(cluster))]
    if still:
        raise ImportFailed(f"nothing was imported: {'; '.join(still)}")
    return [(node.name, node.status) for cluster in clusters for node in image_nodes(cluster)]


def _stillness(cluster: ExistingCluster) -> str:
    """Return why nothing can be got into a cluster, and what to do; empty if that is not so."""
    statuses = [node.status for node in image_nodes(cluster)]
    if Status.RUNNING in statuses:
        return ""
    found = ", ".join(dict.fromkeys(map(str, statuses)))
    cure = next((_CURES[one] for one in statuses if one in _CURES), "start")
    name = cluster.name
    return f"no node of cluster {name} runs ({found}); run: k3dasync {cure} {name}"


@contextmanager
def shared_locks(clusters: Sequence[str], engine: str) -> Iterator[None]:
    """Keep creates and deletes of these clusters away; imports do not mind each other."""
    with ExitStack() as locks:
        for name in sorted(clusters):
            locks.enter_context(cluster_lock(name, engine, is_shared=True))
        yield
