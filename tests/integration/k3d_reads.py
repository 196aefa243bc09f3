"""What k3d v5.9 makes of what it finds: clusters, nodes and kubeconfigs, read as it reads them.

From its documented behaviour, its shortcuts included; nothing here is taken from our own code.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

import yaml

from tests.integration.docker_api import DockerApi

ROLES = {"server": "server", "agent": "agent", "loadbalancer": "loadbalancer"}
ROLES["registry"] = "registry"
"""`noRole`, which it labels its tools container with, is none of those it knows."""

Json = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Node:
    """A node as k3d has it in memory; labels are those that begin with `k3d`."""

    name: str
    role: str
    image: str
    volumes: Sequence[str]
    env: Sequence[str]
    command: Sequence[str]
    ports: Mapping[str, Sequence[Json]]
    restart: bool
    labels: Mapping[str, str]
    networks: Sequence[str]
    memory: int
    is_running: bool
    status: str
    address: str
    is_static: bool
    is_init: bool

    @property
    def cluster(self) -> str:
        return self.labels.get("k3d.cluster", "")


def node(inspected: Json) -> Node:
    """Read one container. Raises ValueError where k3d gives up on the whole listing."""
    config, host, state = inspected["Config"], inspected["HostConfig"], inspected["State"]
    labels = {key: one for key, one in config["Labels"].items() if key.startswith("k3d")}
    attached = inspected["NetworkSettings"]["Networks"]
    own = f"k3d-{labels.get('k3d.cluster', '')}"
    address = (attached.get(labels.get("k3d.cluster.network", "")) or {}).get("IPAddress", "")
    if state["Running"] and labels.get("k3d.cluster.network"):
        IPv4Address(address)
    claims_init = labels.get("k3d.server.init") == "true"
    if claims_init and "--cluster-init" not in (config["Cmd"] or []):
        raise ValueError(f"{inspected['Name']}: an init server without --cluster-init")
    return Node(
        name=inspected["Name"].lstrip("/"),
        role=ROLES.get(labels["k3d.role"], ""),
        image=inspected["Image"],
        volumes=host["Binds"] or (),
        env=config["Env"],
        command=config["Cmd"] or (),
        ports=host["PortBindings"] or {},
        restart=host["RestartPolicy"]["Name"] in ("always", "unless-stopped"),
        labels=labels,
        networks=sorted(attached, key=lambda name: not name.startswith(own)),
        memory=host["Memory"],
        is_running=state["Running"],
        status=state["Status"],
        address=address,
        is_static="k3d.node.staticIP" in labels,
        is_init=claims_init,
    )


def nodes(api: DockerApi, *labels: str) -> list[Node]:
    """List what k3d calls its nodes, in the engine's order: newest first."""
    found = api.labelled("containers/json", "app=k3d", *labels, all=1)
    return [node(api.get(f"containers/{one['Id']}/json")) for one in found]


def untarred(packed: bytes) -> bytes:
    """Read a file out of an archive as k3d does: 512 bytes are dropped, zeros at the end too."""
    return packed[512:].rstrip(b"\0")


def balancer_config(packed: bytes) -> Json:
    """Read the load balancer's description; its types are fixed."""
    config: Json = yaml.safe_load(untarred(packed))
    assert {"ports", "settings"} == {*config}
    assert all(isinstance(one, str) for nodes in config["ports"].values() for one in nodes)
    assert {*config["settings"]} <= {"workerConnections", "defaultProxyTimeout"}
    assert all(isinstance(one, int) for one in config["settings"].values())
    return config


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A cluster as k3d has it after `cluster get`."""

    name: str
    nodes: Sequence[Node]
    network: str
    is_network_external: bool
    image_volume: str
    token: str
    volumes: Sequence[str]
    balancer: Json | None

    def of_role(self, role: str) -> list[Node]:
        return [node for node in self.nodes if node.role == role]

    @property
    def init(self) -> Node | None:
        return next((node for node in self.nodes if node.is_init), None)


def clusters(api: DockerApi, *labels: str) -> dict[str, list[Node]]:
    """List clusters: nodes of the roles that make one, grouped by their label."""
    found: dict[str, list[Node]] = {}
    for one in nodes(api, *labels):
        if one.role in ("server", "agent", "loadbalancer"):
            found.setdefault(one.cluster, []).append(one)
    return found


def as_k3d_reads(api: DockerApi, name: str) -> Cluster:
    """Get one cluster. Raises LookupError if k3d would find no nodes."""
    found = nodes(api, f"k3d.cluster={name}")
    if not found:
        raise LookupError(f"No nodes found for given cluster {name}")

    def label(key: str) -> str:
        return next((one.labels[key] for one in found if key in one.labels), "")

    balancer = next((one for one in found if one.role == "loadbalancer"), None)
    packed = balancer and api.read_tar(balancer.name, "/etc/confd/values.yaml")
    volumes = api.labelled("volumes", f"k3d.cluster={name}")["Volumes"] or []
    return Cluster(
        name=name,
        nodes=found,
        network=label("k3d.cluster.network"),
        is_network_external=label("k3d.cluster.network.external") == "true",
        image_volume=label("k3d.cluster.imageVolume"),
        token=label("k3d.cluster.token"),
        volumes=sorted(one["Name"] for one in volumes),
        balancer=balancer_config(packed) if packed else None,
    )


def kubeconfig(api: DockerApi, name: str) -> Json:
    """Fetch a cluster's kubeconfig and rewrite it for the host."""
    servers = [
        one for one in nodes(api, f"k3d.cluster={name}", "k3d.role=server") if one.role == "server"
    ]
    chosen = next((one for one in servers if one.labels.get("k3d.server.api.port")), servers[0])
    host = chosen.labels.get("k3d.server.api.host") or "0.0.0.0"
    port = chosen.labels.get("k3d.server.api.port") or "6443"
    config: dict[str, Any] = yaml.safe_load(
        untarred(api.read_tar(chosen.name, "/output/kubeconfig.yaml"))
    )
    [cluster], [user], [context] = config["clusters"], config["users"], config["contexts"]
    assert ["default"] * 3 == [cluster["name"], user["name"], context["name"]]
    cluster["name"] = context["name"] = context["context"]["cluster"] = f"k3d-{name}"
    user["name"] = context["context"]["user"] = f"admin@k3d-{name}"
    cluster["cluster"]["server"] = f"https://{host}:{port}"
    return {**config, "current-context": f"k3d-{name}"}
