"""Which images are in which nodes: all nodes are asked at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from k3dasync.errors import K3dAsyncError
from k3dasync.gather import gather
from k3dasync.image_errors import ImagesUnknown
from k3dasync.node_images import ListedImage, NodeImage, merged, of_crictl
from k3dasync.operations._existing import existing_clusters
from k3dasync.operations._image_targets import image_nodes, known_clusters
from k3dasync.runtime import Runtime, Status

COMMAND = ("crictl", "images", "-o", "json")
"""What Kubernetes can use. ctr lists more: names of digests and ids besides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The images of clusters, by cluster and name, and why some nodes could not be asked.

    `silent` are nodes that do not run, with their states.
    """

    images: tuple[ListedImage, ...]
    silent: dict[str, Status]
    failure: ImagesUnknown | None


async def list_images(clusters: Sequence[str], runtime: Runtime) -> Listing:
    """List the images in all running nodes of clusters, of all clusters if none is named.

    Raises ClusterNotFound for those that are not there.
    """
    names = tuple(dict.fromkeys(clusters))
    there = await existing_clusters(runtime)
    found = await known_clusters(
        names or [one for one in there if image_nodes(there[one])], runtime
    )
    nodes = [(cluster.name, node) for cluster in found for node in image_nodes(cluster)]
    asked = [(cluster, node.name) for cluster, node in nodes if node.status is Status.RUNNING]
    answers = await gather([partial(_ask, node, runtime) for _, node in asked])
    by_cluster: dict[str, dict[str, Sequence[NodeImage]]] = {}
    failures: dict[str, str] = {}
    for (cluster, node), answer in zip(asked, answers, strict=True):
        if isinstance(answer, str):
            failures[node] = answer
        else:
            by_cluster.setdefault(cluster, {})[node] = answer
    return Listing(
        images=tuple(one for name, its in by_cluster.items() for one in merged(name, its)),
        silent={node.name: node.status for _, node in nodes if node.status is not Status.RUNNING},
        failure=ImagesUnknown(failures) if failures else None,
    )


async def _ask(node: str, runtime: Runtime) -> tuple[NodeImage, ...] | str:
    """Return a node's images, or why it does not tell: it may end at any time."""
    try:
        ended = await runtime.execute(node, COMMAND)
    except K3dAsyncError as error:
        return str(error)
    if ended.code:
        words = " ".join((ended.err or ended.out).decode(errors="replace").split())
        return words or f"crictl exited with code {ended.code}"
    try:
        return of_crictl(ended.out)
    except ValueError as error:
        return str(error)
