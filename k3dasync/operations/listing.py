"""What is there: clusters as rows, and as k3d's JSON."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from k3dasync import nginx
from k3dasync.cluster import APP, LABEL_ROLE, Role
from k3dasync.errors import ClusterNotFound, EngineError, NodeNotFound
from k3dasync.gather import gather
from k3dasync.grammar.names import called
from k3dasync.operations._existing import ExistingCluster, existing_clusters
from k3dasync.operations._inspect import inspect_present
from k3dasync.operations._k3d_json import Shown
from k3dasync.runtime import ContainerDetail, ContainerState, EngineReader


async def list_clusters(
    runtime: EngineReader, names: Sequence[str] | None = None
) -> tuple[ExistingCluster, ...]:
    """Return all clusters, or those of these names; raises ClusterNotFound for an unknown one."""
    found = await existing_clusters(runtime)
    clusters = {name: each for name, each in found.items() if each.nodes}
    if not names:
        return tuple(clusters.values())
    for name in names:
        if name not in clusters:
            raise ClusterNotFound(name)
    return tuple(clusters[name] for name in sorted(set(names)))


async def list_nodes(
    runtime: EngineReader, names: Sequence[str] = ()
) -> tuple[ContainerState, ...]:
    """Return everything that k3d or we call a node, or those of these names, in their order.

    `k3d-` may be left out of a name. Raises NodeNotFound for an unknown one.
    """
    found = {node.name: node for node in await runtime.containers(APP)}
    chosen = {}
    for name in names:
        node = called(found, name)
        if node is None:
            raise NodeNotFound(name)
        chosen[node.name] = node
    return tuple(node for _, node in sorted((chosen if names else found).items()))


async def describe_nodes(
    runtime: EngineReader, nodes: Sequence[ContainerState]
) -> list[dict[str, Any]]:
    """Return k3d's JSON of nodes, secrets masked."""
    details = await inspect_present(runtime, [node.name for node in nodes])
    shown = Shown(details=details, balancers={})
    return [shown.node(node.name) for node in nodes if node.name in details]


async def describe(
    runtime: EngineReader,
    clusters: Sequence[ExistingCluster],
    *,
    with_token: bool,
    with_helpers: bool = True,
) -> list[dict[str, Any]]:
    """Return k3d's JSON of clusters; secrets are masked, their tokens unless asked for.

    *with_helpers*: registries and k3d's tools containers are among the nodes; k3d shows them for
    the clusters that were named.
    """
    nodes = {
        cluster.name: cluster.containers if with_helpers else cluster.nodes for cluster in clusters
    }
    details = await inspect_present(
        runtime, [node.name for some in nodes.values() for node in some]
    )
    shown = Shown(
        details=details, balancers=await _balancers(runtime, details), with_token=with_token
    )
    return [
        shown.cluster(cluster, [node.name for node in nodes[cluster.name]]) for cluster in clusters
    ]


async def _balancers(
    runtime: EngineReader, details: Mapping[str, ContainerDetail]
) -> dict[str, dict[str, Any]]:
    """Return what the load balancers say of themselves, in k3d's format, running or not."""

    async def values(name: str) -> dict[str, Any] | None:
        try:
            return nginx.read_values(await runtime.read_file(name, nginx.VALUES_PATH))
        except EngineError:
            return None  # no such file, or the container is gone: all else is still worth showing

    names = [
        name
        for name, detail in details.items()
        if detail.state.labels.get(LABEL_ROLE) == Role.LOADBALANCER
    ]
    found = await gather([partial(values, name) for name in names])
    return {name: one for name, one in zip(names, found, strict=True) if one is not None}
