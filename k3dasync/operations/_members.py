"""A cluster that is there, with what is to be known of it to add or remove single nodes."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypedDict

from k3dasync import nginx
from k3dasync.backend import Backend
from k3dasync.cluster import APP, LABEL_CLUSTER, LABEL_RUN, Cluster, Node, is_elsewhere, k3s_version
from k3dasync.errors import EngineError
from k3dasync.journal import place_of, thing_of
from k3dasync.operations._acting import context_of
from k3dasync.operations._balancer_values import balancer_values
from k3dasync.operations._existing import existing_cluster
from k3dasync.operations._inspect import inspect_present
from k3dasync.operations._recall import is_ours, recall
from k3dasync.runtime import ContainerDetail, ContainerState, EngineReader, Status
from k3dasync.spec import WaitLevel
from k3dasync.tasks import Context
from k3dasync.tasks.leave import Stayers
from k3dasync.tasks.rebalance import RELOAD, Rebalance
from k3dasync.undo import NOTHING, Readmit, RestoreFile, RestoreFiles, Undo
from k3dasync.watch import ClusterWatch

_FALSE = frozenset({"", "0", "false"})
_INIT, _URL = "K3S_CLUSTER_INIT", "K3S_URL"
CLUSTER_INIT = "--cluster-init"


class Named(TypedDict):
    """Arguments of a run."""

    cluster: str | None
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Members:
    """A cluster as it is recalled, and how its containers are."""

    cluster: Cluster
    details: Mapping[str, ContainerDetail]

    @property
    def k3s(self) -> str:
        """The version that most of it is."""
        nodes = self.cluster.servers or self.cluster.nodes
        return k3s_version(nodes[0].container.image) if nodes else ""

    def hiding(self, secrets: Iterable[str]) -> "Members":
        """Return the same with more texts that nobody may be shown."""
        cluster = replace(self.cluster, secrets=(*self.cluster.secrets, *secrets))
        return replace(self, cluster=cluster)

    def runs(self, name: str) -> bool:
        """Whether that container runs."""
        found = self.details.get(name)
        return found is not None and found.state.status is Status.RUNNING

    def running_servers(self, besides: Collection[str] = ()) -> tuple[str, ...]:
        """Return the servers that run, the first one first, those *besides* left out."""
        names = (node.name for node in self.cluster.servers if node.name not in besides)
        return tuple(name for name in names if self.runs(name))

    @property
    def has_etcd(self) -> bool:
        """Whether its servers are members of an etcd of their own."""
        servers = self.cluster.servers
        if self.cluster.has_external_datastore:
            return False
        return len(servers) > 1 or any(map(_has_etcd, servers))

    def stayers(self, leaving: Collection[str]) -> Stayers | None:
        """Return who can be asked when these have gone, None if nobody can."""
        names = self.running_servers(leaving)
        return Stayers(servers=names, api=self.cluster.api) if names else None

    def rebalance(
        self, after: Cluster, answering: Collection[str], undo: Undo = NOTHING
    ) -> Rebalance | None:
        """Return what lets the load balancer know of *after*, None if there is no need or none."""
        balancer = after.loadbalancer
        names = tuple(node.name for node in after.servers if node.name in answering)
        if balancer is None or not names:
            return None
        ours = is_ours(balancer)
        if not ours:
            # Its own configuration has no standby: every server, as k3d has it.
            names = tuple(node.name for node in after.servers)
        asleep = [one.name for one in self.cluster.nodes if not self.runs(one.name)]
        return Rebalance(
            name=balancer.name,
            cluster=after,
            answering=names,
            is_ours=ours,
            asleep=frozenset(asleep),
            undo=undo,
        )


def _has_etcd(server: Node) -> bool:
    """Say whether a server alone has etcd: it began one, or has joined another's."""
    words = server.container.command or ()
    env = dict(entry.partition("=")[::2] for entry in server.container.env)
    return (
        any(word.partition("=")[0] == CLUSTER_INIT for word in words)
        or env.get(_INIT, "").lower() not in _FALSE
        or bool(env.get(_URL))
    )


async def members_of(runtime: EngineReader, name: str, *, run: str) -> Members:
    """Return a cluster with its nodes; raises ClusterNotFound if there is none of that name."""
    existing = await existing_cluster(runtime, name)
    details = await inspect_present(runtime, [one.name for one in existing.containers])
    values = await balancer_values(existing, runtime)
    cluster = recall(existing, details, run=run, wait=WaitLevel.NODES, values=values)
    return Members(cluster=cluster, details=details)


async def as_it_was(cluster: Cluster, runtime: EngineReader) -> Undo:
    """Return what puts the load balancer's files back as they are now."""
    balancer = cluster.loadbalancer
    if balancer is None:
        return NOTHING
    wanted = {nginx.VALUES_PATH: 0o744}
    if LABEL_RUN in balancer.container.labels:
        wanted[nginx.CONFIG_PATH] = 0o644
    found = []
    for path, mode in wanted.items():
        try:
            content = await runtime.read_file(balancer.name, path)
        except EngineError:
            continue
        found.append(RestoreFile(path, content.decode(errors="replace"), mode))
    if not found:
        return NOTHING
    return RestoreFiles(balancer.name, tuple(found), RELOAD if is_ours(balancer) else "")


async def readmission(cluster: Cluster, names: Collection[str], runtime: EngineReader) -> Undo:
    """Return what lets the load balancer forward to these nodes as it does now."""
    balancer = cluster.loadbalancer
    if balancer is None:
        return NOTHING
    try:
        content = await runtime.read_file(balancer.name, nginx.VALUES_PATH)
    except EngineError:
        content = b""
    values = content.decode(errors="replace")
    return Readmit(cluster.name, balancer.name, tuple(sorted(names)), values)


def quiet_context(cluster: Cluster | None, backend: Backend) -> Context:
    """Return what tasks need that wait for no node: nobody follows its watch."""
    watch = ClusterWatch(
        runtime=backend.runtime,
        kubernetes=backend.kubernetes,
        host=cluster.api.connect_host if cluster else "",
        port=cluster.api.port if cluster else 0,
        labels=APP,
    )
    return context_of(watch, backend)


def place_of_node(node: ContainerState) -> str:
    """Return where locks and logs about a node are: its cluster's, or a registry's own."""
    return node.labels.get(LABEL_CLUSTER) or place_of("registry", node.name)


def not_told(place: str, names: Iterable[str]) -> list[str]:
    """Return what is told of nodes that go, if their cluster is somewhere else."""
    if not is_elsewhere(place):
        return []
    return [f"the cluster at {place} is not told; there: kubectl delete node {' '.join(names)}"]


def about(place: str) -> Named:
    """Return what a run about the things of that place says it is about."""
    kind, _ = thing_of(place)
    return {"cluster": place if kind == "cluster" else None, "place": place}
