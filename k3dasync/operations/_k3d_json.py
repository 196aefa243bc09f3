"""k3d's JSON of clusters and nodes: its keys, its types, and what it leaves out when empty. Pure.

Source: the fields that k3d v5.9's `Cluster`, `Node`, `Loadbalancer` and `ServerOpts` have in JSON
(pkg/types/types.go). k3d fills less of them; it has nulls and empty values for the rest.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from k3dasync import entrypoint, masks
from k3dasync.cluster import (
    LABEL_API_HOST,
    LABEL_API_IP,
    LABEL_API_PORT,
    LABEL_CLUSTER,
    LABEL_EXPIRES,
    LABEL_IMAGE_VOLUME,
    LABEL_INIT,
    LABEL_NETWORK,
    LABEL_NETWORK_EXTERNAL,
    LABEL_NETWORK_ID,
    LABEL_NETWORK_RANGE,
    LABEL_ROLE,
    LABEL_STATIC_IP,
    LABEL_TOKEN,
    Role,
)
from k3dasync.operations._existing import ExistingCluster
from k3dasync.runtime import ContainerDetail, PortBinding, Status

Json = dict[str, Any]
_API_KEY = "6443"
_TOOLS = "noRole"
"""What k3d labels its tools container with, and reads back as no role at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What there is to say of clusters: nodes by name, load balancers' `values.yaml` by name."""

    details: Mapping[str, ContainerDetail]
    balancers: Mapping[str, Json]
    with_token: bool = False

    def cluster(self, cluster: ExistingCluster, nodes: Sequence[str]) -> Json:
        """Return a cluster with these *nodes* of it, as far as they are still there."""
        described = [self.node(name) for name in nodes if name in self.details]
        balancer = next((one for one in described if one["role"] == Role.LOADBALANCER), None)
        return {
            "name": cluster.name,
            "network": self._network(cluster),
            **({"clusterToken": cluster.token} if self.with_token else {}),
            "nodes": described,
            "InitNode": None,
            **_given(
                kubeAPI=_api(cluster.label),
                serverLoadBalancer=self._balancer(balancer),
                imageVolume=cluster.label(LABEL_IMAGE_VOLUME),
                volumes=[volume.name for volume in cluster.volumes],
            ),
            "serversRunning": cluster.running(Role.SERVER),
            "serversCount": len(cluster.of_role(Role.SERVER)),
            "agentsRunning": cluster.running(Role.AGENT),
            "agentsCount": len(cluster.of_role(Role.AGENT)),
            # Ours: k3d reads no such key.
            **_given(
                hasLoadbalancer=cluster.has_loadbalancer, expires=cluster.label(LABEL_EXPIRES)
            ),
        }

    def _balancer(self, node: Json | None) -> Json | None:
        return node and {**node, "config": self.balancers.get(node["name"])}

    def _network(self, cluster: ExistingCluster) -> Json:
        name, prefix = cluster.label(LABEL_NETWORK), cluster.label(LABEL_NETWORK_RANGE)
        # Labelled with an id, the network may have been made again under its name since.
        id = next((one.id for one in cluster.networks if one.name == name), "")
        found = [(node, node.addresses.get(name, "")) for node in cluster.containers]
        members = [
            {"Name": node.name, "IP": address}
            for node, address in found
            if address and node.status is Status.RUNNING
        ]
        is_managed = any(node.labels.get(LABEL_STATIC_IP) for node in cluster.containers)
        return {
            "name": name,
            "id": id or cluster.label(LABEL_NETWORK_ID),
            **_given(isExternal=cluster.label(LABEL_NETWORK_EXTERNAL) == "true"),
            "ipam": {
                "ipPrefix": prefix if "/" in prefix else "",
                **_given(ipsUsed=sorted(member["IP"] for member in members)),
                "Managed": is_managed,
            },
            "Members": members,
        }

    def node(self, name: str) -> Json:
        """Return one node; secrets are masked, the tokens among them unless they are wanted."""
        detail = self.details[name]
        state, labels = detail.state, detail.state.labels
        wanted = masks.TOKENS if self.with_token else frozenset()
        return {
            "name": state.name,
            "role": labels.get(LABEL_ROLE, "").replace(_TOOLS, ""),
            "image": detail.image_id,
            **_given(
                volumes=list(detail.binds),
                env=[masks.variable(entry, shown=wanted) for entry in detail.env],
            ),
            "Cmd": masks.command(detail.command, shown=wanted),
            **_given(
                portMappings=_port_mappings(detail.bindings),
                restart=detail.restart_policy in {"always", "unless-stopped"},
                created=datetime.fromtimestamp(state.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                hostPidMode=detail.host_pid_mode,
                runtimeLabels=self._labels(labels),
                runtimeUlimits=[
                    {"Name": one.name, "Hard": one.hard, "Soft": one.soft} for one in detail.ulimits
                ],
                k3sNodeLabels=_node_labels(detail.command),
            ),
            "Networks": _networks(detail),
            "ExtraHosts": list(detail.extra_hosts),
            "serverOpts": {
                **_given(isInitializingServer=_is_init(detail)),
                "kubeAPI": _api(labels.get) or _NO_API,
            },
            "agentOpts": {},
            "GPURequest": "" if detail.gpus is None else str(detail.gpus),
            "Memory": human_size(detail.memory),
            "State": {
                "Running": state.status is Status.RUNNING,
                "Status": str(state.status),
                "Started": detail.started_at,
            },
            "IP": _address(detail),
            "K3dEntrypoint": detail.entrypoint == (entrypoint.PATH,),
        }

    def _labels(self, labels: Mapping[str, str]) -> Mapping[str, str]:
        """Return the labels that k3d keeps of a container."""
        shown = {key: str(one) for key, one in sorted(labels.items()) if key.startswith("k3d")}
        if not self.with_token and shown.get(LABEL_TOKEN):
            shown[LABEL_TOKEN] = masks.MASK
        return shown


def _given(**values: object) -> Json:
    """Return what is not empty, as Go's `omitempty` does."""
    return {key: value for key, value in values.items() if value}


_NO_API: Json = {"Port": "", "Binding": {"HostIp": "", "HostPort": ""}}


def _api(label: Callable[[str, str], str]) -> Json | None:
    """Return where the API is published, if the labels say so."""
    port = label(LABEL_API_PORT, "")
    if not port:
        return None
    return {
        "Port": _API_KEY,
        "Binding": {"HostIp": label(LABEL_API_IP, ""), "HostPort": port},
        **_given(host=label(LABEL_API_HOST, "")),
    }


def _port_mappings(bindings: Sequence[PortBinding]) -> Json:
    found: Json = {}
    for one in bindings:
        where = {"HostIp": one.host_ip, "HostPort": one.host_ports}
        found.setdefault(one.port, []).append(where)
    return found


def _node_labels(command: Sequence[str]) -> dict[str, str]:
    """Return the labels of the Node that k3s is told of, `--node-label KEY=VALUE` each."""
    given = [after for word, after in pairwise((*command, "")) if word == "--node-label"]
    given += [word.partition("=")[2] for word in command if word.startswith("--node-label=")]
    return {key: value for key, _, value in (one.partition("=") for one in given)}


def _networks(detail: ContainerDetail) -> list[str]:
    """Return its networks by name, the cluster's own first."""
    own = f"k3d-{detail.state.labels.get(LABEL_CLUSTER, '')}"
    return sorted(detail.state.addresses, key=lambda name: (not name.startswith(own), name))


def _is_init(detail: ContainerDetail) -> bool:
    return detail.state.labels.get(LABEL_INIT) == "true" and "--cluster-init" in detail.command


def _address(detail: ContainerDetail) -> Json:
    labels, addresses = detail.state.labels, detail.state.addresses
    network = labels.get(LABEL_NETWORK) or next(iter(addresses), "")
    fixed = labels.get(LABEL_STATIC_IP) or detail.fixed_addresses.get(network, "")
    return {"IP": addresses.get(network) or fixed, "Static": bool(fixed)}


def human_size(size: int) -> str:
    """Return a number of bytes as docker's units package has it, `1.074GB`; "" for none."""
    if not size:
        return ""
    number, unit = float(size), 0
    while number >= 1000 and unit < len(_UNITS) - 1:
        number, unit = number / 1000, unit + 1
    return f"{number:.4g}{_UNITS[unit]}"


_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")
