"""Nodes whose containers have gone and which their clusters still know."""

from collections.abc import Sequence
from functools import partial

from k3dasync.backend import Backend
from k3dasync.cluster import is_elsewhere
from k3dasync.errors import K3dAsyncError
from k3dasync.gather import gather
from k3dasync.grammar.names import with_prefix
from k3dasync.journal import past_runs
from k3dasync.kubernetes import Nodes
from k3dasync.member_errors import NodeElsewhere
from k3dasync.operations._existing import existing_clusters
from k3dasync.operations._members import members_of
from k3dasync.tasks import leave


async def half_deleted(names: Sequence[str], backend: Backend) -> dict[str, list[str]]:
    """Return which of these names, of which there are no containers, clusters know; by cluster.

    Raises NodeElsewhere if one of them is Ready and no run of ours was to delete it: then it may be
    at work on another engine.
    """
    if not names:
        return {}
    wanted = set(map(with_prefix, names))
    clusters = [name for name in await existing_clusters(backend.runtime) if not is_elsewhere(name)]
    known = await gather([partial(_nodes_of, cluster, backend) for cluster in clusters])
    found: dict[str, list[str]] = {}
    for cluster, nodes in zip(clusters, known, strict=True):
        for name in sorted(wanted & nodes.keys()):
            if nodes[name].is_ready and not _was_to_go(name, cluster):
                raise NodeElsewhere(name, cluster)
            found.setdefault(cluster, []).append(name)
    return found


async def _nodes_of(cluster: str, backend: Backend) -> Nodes:
    """Return what a cluster's API says of its nodes; nothing if it cannot be asked."""
    try:
        members = await members_of(backend.runtime, cluster, run="")
        if not (servers := members.running_servers()):
            return {}
        api = members.cluster.api
        credentials = await leave.credentials(servers, backend.runtime)
        async with (
            backend.kubernetes(api.connect_host, api.port, credentials) as kubernetes,
            kubernetes.nodes() as snapshots,
        ):
            return await anext(aiter(snapshots), {})
    except K3dAsyncError:
        return {}  # one that is broken must not keep nodes of others from being deleted


def _was_to_go(name: str, cluster: str) -> bool:
    last_step = leave.steps(name)[-1]
    return any(
        task.id == last_step
        for past in past_runs(cluster)
        if past.started and past.started.operation != "node-create"
        for task in past.started.plan
    )
