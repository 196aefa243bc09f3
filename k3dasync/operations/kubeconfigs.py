"""Kubeconfigs of clusters that are there, running or not."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from k3dasync import kubeconfig
from k3dasync.access_errors import ClusterDown
from k3dasync.backend import Backend
from k3dasync.cluster import KUBECONFIG_PATH, LABEL_API_PORT, Role
from k3dasync.errors import ClusterNotFound, EngineError, EngineUnavailable, K3dAsyncError
from k3dasync.gather import gather
from k3dasync.kubeconfig import KubeconfigError
from k3dasync.operations._existing import ExistingCluster, existing_cluster
from k3dasync.operations.listing import list_clusters
from k3dasync.runtime import EngineReader, Status


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


async def kubeconfigs(
    names: Sequence[str] | None, *, backend: Backend, context: str | None = None
) -> Kubeconfigs:
    """Return the kubeconfigs of these clusters, or of all with None; *context* names their context.

    A cluster that is not there, or has none yet, is a problem and does not keep the others.
    """
    there = {one.name: one for one in await list_clusters(backend.runtime)}

    async def ask(name: str) -> kubeconfig.Config | K3dAsyncError:
        try:
            if name not in there:
                raise ClusterNotFound(name)
            return await kubeconfig_of(there[name], backend.runtime, context)
        except EngineUnavailable:
            raise
        except K3dAsyncError as error:
            return error

    asked = list(dict.fromkeys(there if names is None else names))
    answers = await gather([partial(ask, name) for name in asked])
    pairs = list(zip(asked, answers, strict=True))
    return Kubeconfigs(
        found={name: one for name, one in pairs if not isinstance(one, K3dAsyncError)},
        problems=tuple(one for one in answers if isinstance(one, K3dAsyncError)),
    )


async def kubeconfig_of(
    cluster: ExistingCluster, runtime: EngineReader, context: str | None = None
) -> kubeconfig.Config:
    """Return a cluster's kubeconfig as it is used from here, running or not.

    Raises KubeconfigError if it has none.
    """
    servers = cluster.of_role(Role.SERVER)
    published = [server for server in servers if server.labels.get(LABEL_API_PORT)]
    if not servers:
        raise KubeconfigError(f"cluster {cluster.name} has no server to take a kubeconfig from")
    server = (published or servers)[0]
    try:
        content = await runtime.read_file(server.name, KUBECONFIG_PATH)
    except EngineError as error:
        raise KubeconfigError(
            f"cannot read the kubeconfig of cluster {cluster.name}: {error.words}; was it ever up?"
        ) from error
    config = kubeconfig.parse(content, f"{KUBECONFIG_PATH} of {server.name}")
    return kubeconfig.rewritten(config, cluster=cluster.name, url=cluster.api_url, context=context)


async def usable_kubeconfig(name: str, *, runtime: EngineReader) -> kubeconfig.Config:
    """Return the kubeconfig of a cluster whose API can be asked now.

    Raises ClusterNotFound, or ClusterDown if no server runs, or not what leads to them.
    """
    cluster = await existing_cluster(runtime, name)
    servers, balancers = cluster.of_role(Role.SERVER), cluster.of_role(Role.LOADBALANCER)
    for some in (servers, balancers):
        if some and not any(one.status is Status.RUNNING for one in some):
            is_paused = any(one.status is Status.PAUSED for one in some)
            raise ClusterDown(name, *(("paused", "resume") if is_paused else ("stopped", "start")))
    return await kubeconfig_of(cluster, runtime)
