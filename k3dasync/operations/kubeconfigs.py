"""Kubeconfigs of clusters that are there, running or not."""

from collections.abc import Sequence
from dataclasses import dataclass

from k3dasync import kubeconfig
from k3dasync.backend import Backend
from k3dasync.cluster import KUBECONFIG_PATH, LABEL_API_PORT, Role
from k3dasync.errors import ClusterNotFound, EngineError, K3dAsyncError
from k3dasync.kubeconfig import KubeconfigError
from k3dasync.operations._existing import ExistingCluster
from k3dasync.operations.listing import list_clusters


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubeconfigs:
    """Those that could be had, by the cluster's name, and why the others could not."""

    found: dict[str, kubeconfig.Config]
    problems: tuple[K3dAsyncError, ...]

    def raise_if_any_is_missing(self) -> None:
        """Raise the first problem; the others are notes on it."""
        if not self.problems:
            return
        first, *others = self.problems
        for other in others:
            first.add_note(str(other))
        raise first


async def kubeconfigs(names: Sequence[str] | None, *, backend: Backend) -> Kubeconfigs:
    """Return the kubeconfigs of these clusters, or of all with None.

    A cluster that is not there, or has none yet, is a problem and does not keep the others.
    """
    there = {one.name: one for one in await list_clusters(backend.runtime)}
    found: dict[str, kubeconfig.Config] = {}
    problems: list[K3dAsyncError] = []
    for name in dict.fromkeys(there if names is None else names):
        try:
            if name not in there:
                raise ClusterNotFound(name)
            found[name] = await _kubeconfig(there[name], backend)
        except K3dAsyncError as error:
            problems.append(error)
    return Kubeconfigs(found=found, problems=tuple(problems))


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
