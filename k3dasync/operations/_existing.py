"""Clusters that are there, ours and k3d's alike, read from the labels of their parts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from k3dasync.cluster import (
    APP,
    LABEL_API_HOST,
    LABEL_API_PORT,
    LABEL_CLUSTER,
    LABEL_IMAGE_VOLUME,
    LABEL_IMAGE_VOLUME_EXTERNAL,
    LABEL_NETWORK,
    LABEL_NETWORK_EXTERNAL,
    LABEL_ROLE,
    LABEL_TOKEN,
    Role,
)
from k3dasync.errors import ClusterNotFound
from k3dasync.gather import gather
from k3dasync.runtime import ContainerState, EngineReader, NetworkState, Status, VolumeState

OTHER_ROLES = frozenset({Role.REGISTRY.value, "noRole"})
"""Parts of a cluster that are no nodes of it: its own registry, k3d's tools container."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExistingCluster:
    """A cluster as the engine shows it; any of its parts may be missing."""

    name: str
    containers: tuple[ContainerState, ...]
    networks: tuple[NetworkState, ...]
    volumes: tuple[VolumeState, ...]

    def of_role(self, role: Role) -> tuple[ContainerState, ...]:
        """Return its nodes of that role, by name."""
        return tuple(node for node in self.containers if node.labels.get(LABEL_ROLE) == role)

    def running(self, role: Role) -> int:
        """Return how many nodes of that role run."""
        return sum(node.status is Status.RUNNING for node in self.of_role(role))

    def label(self, key: str, default: str = "") -> str:
        """Return a label that all nodes share, from the first node which has it."""
        return next((node.labels[key] for node in self.containers if node.labels.get(key)), default)

    @property
    def token(self) -> str:
        """The cluster's secret."""
        return self.label(LABEL_TOKEN)

    @property
    def nodes(self) -> tuple[ContainerState, ...]:
        """Its nodes in the narrower sense; of a deleted cluster a registry can be left."""
        return tuple(
            one for one in self.containers if one.labels.get(LABEL_ROLE) not in OTHER_ROLES
        )

    @property
    def has_loadbalancer(self) -> bool:
        """Whether it has a load balancer."""
        return bool(self.of_role(Role.LOADBALANCER))

    @property
    def api_url(self) -> str:
        """Where its API is published, as its kubeconfig says."""
        host = self.label(LABEL_API_HOST, "0.0.0.0")  # noqa: S104 - k3d's default
        host = f"[{host}]" if ":" in host else host
        return f"https://{host}:{self.label(LABEL_API_PORT, '6443')}"

    @property
    def own_network(self) -> str:
        """The name of the network that goes with it, empty if that is somebody else's."""
        is_external = self.label(LABEL_NETWORK_EXTERNAL) == "true"
        return "" if is_external else self.label(LABEL_NETWORK)


async def everything(
    runtime: EngineReader, labels: Mapping[str, str] | None = None
) -> tuple[Sequence[ContainerState], Sequence[NetworkState], Sequence[VolumeState]]:
    """Return the containers, networks and volumes which carry *labels*, asked for at once."""
    containers: Sequence[ContainerState] = ()
    networks: Sequence[NetworkState] = ()
    volumes: Sequence[VolumeState] = ()

    async def list_containers() -> None:
        nonlocal containers
        containers = await runtime.containers(labels)

    async def list_networks() -> None:
        nonlocal networks
        networks = await runtime.networks(labels)

    async def list_volumes() -> None:
        nonlocal volumes
        volumes = await runtime.volumes(labels)

    await gather((list_containers, list_networks, list_volumes))
    return containers, networks, volumes


async def existing_clusters(runtime: EngineReader) -> dict[str, ExistingCluster]:
    """Return every cluster of the engine, by name, in the order of names."""
    containers, networks, volumes = await everything(runtime, APP)
    labels = [part.labels for part in containers]
    labels += [part.labels for part in networks]
    labels += [part.labels for part in volumes]
    names = sorted({found for each in labels if (found := each.get(LABEL_CLUSTER))})
    return {name: _cluster(name, containers, networks, volumes) for name in names}


def _cluster(
    name: str,
    containers: Sequence[ContainerState],
    networks: Sequence[NetworkState],
    volumes: Sequence[VolumeState],
) -> ExistingCluster:
    def is_part(labels: Mapping[str, str]) -> bool:
        return labels.get(LABEL_CLUSTER) == name

    mine = sorted((one for one in containers if is_part(one.labels)), key=lambda one: one.name)
    own = next(
        (
            one.labels[LABEL_NETWORK]
            for one in mine
            if one.labels.get(LABEL_NETWORK) and one.labels.get(LABEL_NETWORK_EXTERNAL) != "true"
        ),
        None,
    )
    # Made for another purpose, or for an earlier cluster of that name: it was there before.
    foreign = {
        one.labels.get(LABEL_IMAGE_VOLUME)
        for one in mine
        if one.labels.get(LABEL_IMAGE_VOLUME_EXTERNAL) == "true"
    }
    return ExistingCluster(
        name=name,
        containers=tuple(mine),
        # k3d labels its networks without the cluster's name.
        networks=tuple(one for one in networks if is_part(one.labels) or one.name == own),
        volumes=tuple(one for one in volumes if is_part(one.labels) and one.name not in foreign),
    )


async def existing_cluster(runtime: EngineReader, name: str) -> ExistingCluster:
    """Return one cluster; raises ClusterNotFound if no container is part of it."""
    found = (await existing_clusters(runtime)).get(name)
    if found is None or not found.nodes:
        raise ClusterNotFound(name)
    return found
