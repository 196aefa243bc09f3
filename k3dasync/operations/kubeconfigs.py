"""Kubeconfigs of clusters that are there, running or not."""

from collections.abc import Sequence

from k3dasync import kubeconfig
from k3dasync.backend import Backend
from k3dasync.cluster import KUBECONFIG_PATH, LABEL_API_PORT, Role
from k3dasync.errors import EngineError
from k3dasync.kubeconfig import KubeconfigError
from k3dasync.operations._existing import ExistingCluster
from k3dasync.operations.listing import list_clusters


async def kubeconfigs(
    names: Sequence[str] | None, *, backend: Backend
) -> dict[str, kubeconfig.Config]:
    """Return the kubeconfigs of these clusters, or of all with None, by name.

    Raises ClusterNotFound for an unknown name, KubeconfigError if a cluster has none yet.
    """
    clusters = await list_clusters(backend.runtime, names)
    return {cluster.name: await _kubeconfig(cluster, backend) for cluster in clusters}


async def _kubeconfig(cluster: ExistingCluster, backend: Backend) -> kubeconfig.Config:
    servers = cluster.of_role(Role.SERVER)
    published = [server for server in servers if server.labels.get(LABEL_API_PORT)]
    if not servers:
        raise KubeconfigError(f"cluster {cluster.name} has no server to take a kubeconfig from")
    server = (published or servers)[0]
    try:
        content = await backend.runtime.read_file(server.name, KUBECONFIG_PATH)
    except EngineError as error:
        raise KubeconfigError(
            f"cannot read the kubeconfig of cluster {cluster.name}: {error.words}; was it ever up?"
        ) from error
    config = kubeconfig.parse(content, f"{KUBECONFIG_PATH} of {server.name}")
    return kubeconfig.rewritten(config, cluster=cluster.name, url=cluster.api_url)
