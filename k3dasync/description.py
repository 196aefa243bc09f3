"""A cluster as a document for people and tools: all that is made, secrets masked. Pure."""

from collections.abc import Mapping
from typing import Any

from k3dasync import masks
from k3dasync.cluster import LABEL_TOKEN, Cluster, Node
from k3dasync.runtime import ContainerSpec, File, NetworkSpec, PortBinding

_OTHERS = 0o077
"""The permissions of others than a file's owner: one without any is secret."""


def describe(cluster: Cluster) -> dict[str, Any]:
    """Return everything that a cluster consists of, as plain data.

    Addresses and ports are those that would be tried first.
    """
    return {
        "cluster": cluster.name,
        "api": cluster.api.url,
        "context": cluster.context,
        "wait": str(cluster.wait),
        "network": _network(cluster.network) if cluster.network else {"uses": cluster.network_name},
        "volumes": [
            {"name": volume.name, "labels": dict(volume.labels)} for volume in cluster.volumes
        ],
        "connections": [
            {"registry": one.registry, "network": one.network, "address": one.address}
            for one in cluster.connections
        ],
        "nodes": [_node(node) for node in cluster.nodes],
        "warnings": list(cluster.warnings),
    }


def _network(network: NetworkSpec) -> dict[str, Any]:
    return {
        "name": network.name,
        "subnet": network.subnet,
        "gateway": network.gateway,
        "ipRange": network.ip_range,
        "labels": dict(network.labels),
    }


def _node(node: Node) -> dict[str, Any]:
    made = node.container
    return {
        "name": made.name,
        "role": str(node.role),
        "image": made.image,
        "entrypoint": None if made.entrypoint is None else list(made.entrypoint),
        "command": None if made.command is None else masks.command(made.command),
        "env": [masks.variable(entry) for entry in made.env],
        "labels": _labels(made.labels),
        "network": {"name": made.network, "address": made.address, "aliases": list(made.aliases)},
        "ports": [_port(one) for one in made.ports],
        "mounts": list(made.binds),
        "hosts": list(made.extra_hosts),
        "limits": _limits(made),
        "init": made.init,
        "hostPidMode": made.host_pid_mode,
        "files": [_file(one) for one in made.files],
    }


def _labels(labels: Mapping[str, str]) -> dict[str, str]:
    return {key: masks.MASK if key == LABEL_TOKEN else str(text) for key, text in labels.items()}


def _port(one: PortBinding) -> str:
    """Return a published port as docker's list of containers shows it; 0 is the engine's choice."""
    host = f"[{one.host_ip}]" if ":" in one.host_ip else one.host_ip or "*"
    port = one.port.partition("/")[0]
    return f"{host}:{one.host_ports or 0}->{port}/{one.protocol}"


def _limits(made: ContainerSpec) -> dict[str, Any]:
    return {
        "memory": made.memory or None,
        "ulimits": [str(one) for one in made.ulimits],
        "gpus": None if made.gpus is None else str(made.gpus),
    }


def _file(one: File) -> dict[str, Any]:
    return {"path": one.path, "mode": f"{one.mode:04o}", "content": _content(one)}


def _content(one: File) -> str:
    if not one.mode & _OTHERS:
        return masks.MASK
    try:
        return masks.address(one.content.decode())
    except UnicodeDecodeError:
        return f"({len(one.content)} bytes that are no text)"
