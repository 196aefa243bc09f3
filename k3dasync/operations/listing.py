"""What is there: clusters as rows, and as k3d's JSON."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from k3dasync.cluster import (
    APP,
    LABEL_API_HOST,
    LABEL_API_IP,
    LABEL_API_PORT,
    LABEL_IMAGE_VOLUME,
    LABEL_INIT,
    LABEL_NETWORK,
    LABEL_NETWORK_EXTERNAL,
    LABEL_ROLE,
    LABEL_TOKEN,
    Role,
)
from k3dasync.errors import ClusterNotFound, NodeNotFound
from k3dasync.gather import gather
from k3dasync.operations._existing import OTHER_ROLES, ExistingCluster, existing_clusters
from k3dasync.runtime import ContainerDetail, ContainerState, EngineReader, Status

MASK = "***"


async def list_clusters(
    runtime: EngineReader, names: Sequence[str] | None = None
) -> tuple[ExistingCluster, ...]:
    """Return all clusters, or those of these names; raises ClusterNotFound for an unknown one."""
    found = await existing_clusters(runtime)
    clusters = {name: each for name, each in found.items() if each.containers}
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
        node = found.get(name) or found.get(f"k3d-{name}")
        if node is None:
            raise NodeNotFound(name)
        chosen[node.name] = node
    return tuple(node for _, node in sorted((chosen if names else found).items()))


async def describe_nodes(
    runtime: EngineReader, nodes: Sequence[ContainerState]
) -> list[dict[str, Any]]:
    """Return k3d's JSON of nodes, secrets masked."""
    details = await _details(runtime, nodes)
    return [_node(node, details[node.name], with_token=False) for node in nodes]


async def describe(
    runtime: EngineReader, clusters: Sequence[ExistingCluster], *, with_token: bool
) -> list[dict[str, Any]]:
    """Return k3d's JSON of clusters; secrets are masked unless asked for."""
    nodes = [node for cluster in clusters for node in cluster.containers]
    details = await _details(runtime, nodes)
    return [_cluster(cluster, details, with_token=with_token) for cluster in clusters]


async def _details(
    runtime: EngineReader, nodes: Sequence[ContainerState]
) -> dict[str, ContainerDetail]:
    names = [node.name for node in nodes]
    found = await gather([partial(runtime.inspect_container, name) for name in names])
    return dict(zip(names, found, strict=True))


def _cluster(
    cluster: ExistingCluster, details: dict[str, ContainerDetail], *, with_token: bool
) -> dict[str, Any]:
    servers, agents = cluster.of_role(Role.SERVER), cluster.of_role(Role.AGENT)
    result: dict[str, Any] = {
        "name": cluster.name,
        "network": {
            "name": cluster.label(LABEL_NETWORK),
            "id": cluster.networks[0].id if cluster.networks else "",
            "isExternal": cluster.label(LABEL_NETWORK_EXTERNAL) == "true",
            "ipam": {"ipPrefix": _range(cluster), "Managed": False},
        },
        "nodes": [
            _node(node, details[node.name], with_token=with_token)
            for node in cluster.containers
            if node.labels.get(LABEL_ROLE) not in OTHER_ROLES
        ],
        "imageVolume": cluster.label(LABEL_IMAGE_VOLUME),
        "volumes": [volume.name for volume in cluster.volumes],
        "serversRunning": cluster.running(Role.SERVER),
        "serversCount": len(servers),
        "agentsRunning": cluster.running(Role.AGENT),
        "agentsCount": len(agents),
        "hasLoadbalancer": cluster.has_loadbalancer,
    }
    if with_token:
        result["clusterToken"] = cluster.token
    return result


def _range(cluster: ExistingCluster) -> str:
    """Return the range of a cluster's network; k3d's labels have words for none."""
    label = cluster.label("k3d.cluster.network.iprange")
    return label if "/" in label else ""


def _node(node: ContainerState, detail: ContainerDetail, *, with_token: bool) -> dict[str, Any]:
    def shown(key: str, value: str) -> str:
        return value if with_token or key not in _SECRETS else MASK

    env = [entry.partition("=") for entry in detail.env]
    labels = {k: v for k, v in node.labels.items() if k.startswith("k3d")}
    result: dict[str, Any] = {
        "name": node.name,
        "role": node.labels.get(LABEL_ROLE, ""),
        "image": detail.image_id,
        "volumes": list(detail.binds),
        "env": [f"{key}{equals}{shown(key, value)}" for key, equals, value in env],
        "Cmd": list(detail.command) if with_token else _masked(detail.command),
        "portMappings": {
            binding.port: [{"HostIp": binding.host_ip, "HostPort": binding.host_ports}]
            for binding in detail.bindings
        },
        "restart": True,
        "created": datetime.fromtimestamp(node.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "runtimeLabels": {key: shown(key, value) for key, value in sorted(labels.items())},
        "Networks": sorted(node.addresses),
        "State": {
            "Running": node.status is Status.RUNNING,
            "Status": str(node.status),
            "Started": detail.started_at,
        },
        "IP": {"IP": next(iter(node.addresses.values()), ""), "Static": _is_static(labels)},
    }
    if labels.get(LABEL_ROLE) == Role.SERVER:
        result["serverOpts"] = {
            "isInitializingServer": labels.get(LABEL_INIT) == "true",
            "kubeAPI": {
                "Port": "6443",
                "Binding": {
                    "HostIp": labels.get(LABEL_API_IP, ""),
                    "HostPort": labels.get(LABEL_API_PORT, ""),
                },
                "host": labels.get(LABEL_API_HOST, ""),
            },
        }
    return result


_SECRETS = frozenset({"K3S_TOKEN", "K3S_DATASTORE_ENDPOINT", LABEL_TOKEN})
_SECRET_OPTIONS = frozenset({"--token", "-t", "--agent-token", "--datastore-endpoint"})
"""Of k3s; users may pass what holds a password as an argument too."""


def _masked(command: Sequence[str]) -> list[str]:
    """Return a command without the values of options that are secret."""
    shown: list[str] = []
    for word in command:
        option, equals, _ = word.partition("=")
        is_secret = equals and option in _SECRET_OPTIONS
        is_value = bool(shown) and shown[-1] in _SECRET_OPTIONS
        shown.append(f"{option}={MASK}" if is_secret else MASK if is_value else word)
    return shown


def _is_static(labels: dict[str, str]) -> bool:
    return "k3d.node.staticIP" in labels
