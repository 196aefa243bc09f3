"""Clusters as k3d v5.9 makes them: the bodies of its create calls, from its documented behaviour.

What k3d does, in the order in which its source does it; nothing here is taken from our own code.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.integration.docker_api import DockerApi

VERSION = "v5.9.0"
KUBECONFIG = "K3S_KUBECONFIG_OUTPUT=/output/kubeconfig.yaml"

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A cluster that is asked of k3d. What is for single nodes goes by their names' last part."""

    name: str
    image: str
    balancer_image: str
    token: str
    servers: int = 1
    agents: int = 0
    balancer: bool = True
    api_ip: str = "0.0.0.0"
    api_port: int = 6550
    network: str | None = None
    is_network_external: bool = False
    subnet: str | None = None
    image_volume: str | None = "k3d-{}-images"
    env: Mapping[str, Sequence[str]] = field(default_factory=dict)
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    args: Mapping[str, Sequence[str]] = field(default_factory=dict)
    node_labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    volumes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    ports: Mapping[str, Mapping[str, Sequence[tuple[str, str]]]] = field(default_factory=dict)
    proxied: Mapping[str, Sequence[str]] = field(default_factory=dict)
    aliases: Sequence[Json] = ()
    ulimits: Sequence[Json] = ()
    memory: Mapping[str, int] = field(default_factory=dict)
    meminfo: str = ""
    is_host_pid: bool = False

    @property
    def network_name(self) -> str:
        return self.network or f"k3d-{self.name}"

    @property
    def volume(self) -> str | None:
        return self.image_volume and self.image_volume.format(self.name)

    @property
    def init(self) -> str:
        return f"k3d-{self.name}-server-0"

    @property
    def server_names(self) -> list[str]:
        return [f"server-{number}" for number in range(self.servers)]

    def address(self, number: int) -> str:
        """Return an address in its subnet of 256."""
        return f"{str(self.subnet).rpartition('.')[0]}.{number}"

    def static_address(self, node: str) -> str | None:
        """Return a server's address, where a subnet was given; .2 is its tools container's."""
        if not self.subnet or node not in self.server_names:
            return None
        return self.address(3 + self.server_names.index(node))

    @property
    def node_names(self) -> list[str]:
        """Return the last parts of the names, in the order in which k3d creates them."""
        agents = [f"agent-{number}" for number in range(self.agents)]
        return [*self.server_names, *agents, *(["serverlb"] if self.balancer else [])]


def network_body(wanted: Wanted) -> Json:
    pool = {"Subnet": wanted.subnet, "Gateway": wanted.address(1)} if wanted.subnet else None
    return {
        "Name": wanted.network_name,
        "CheckDuplicate": True,
        "Driver": "bridge",
        "Options": {"com.docker.network.bridge.enable_ip_masquerade": "true"},
        "Labels": {"app": "k3d"},
        **({"IPAM": {"Driver": "default", "Config": [pool]}} if pool else {}),
    }


def volume_body(wanted: Wanted, name: str) -> Json:
    labels = {"app": "k3d", "k3d.cluster": wanted.name, "k3d.version": VERSION}
    return {"Name": name, "Driver": "local", "Labels": labels}


def _labels(wanted: Wanted, node: str, network: Json) -> dict[str, str]:
    subnet = next((pool["Subnet"] for pool in network["IPAM"]["Config"] or [] if pool), "")
    role = {"serverlb": "loadbalancer"}.get(node, node.partition("-")[0])
    labels = {
        **wanted.labels.get(node, {}),
        "app": "k3d",
        "k3d.version": VERSION,
        "k3d.role": role,
        "k3d.cluster": wanted.name,
        "k3d.cluster.url": f"https://{wanted.init}:6443",
        "k3d.cluster.token": wanted.token,
        "k3d.cluster.network": wanted.network_name,
        "k3d.cluster.network.id": network["Id"],
        "k3d.cluster.network.iprange": subnet,
        "k3d.cluster.network.external": "true" if wanted.is_network_external else "false",
        "k3d.server.loadbalancer": f"k3d-{wanted.name}-serverlb" if wanted.balancer else "",
    }
    if wanted.volume:
        labels["k3d.cluster.imageVolume"] = wanted.volume
    if wanted.aliases:
        text = json.dumps(list(wanted.aliases), separators=(",", ":"))
        labels["k3d.cluster.start.hostaliases"] = text
    if role == "server":
        labels["k3d.server.api.host"] = labels["k3d.server.api.hostIP"] = wanted.api_ip
        labels["k3d.server.api.port"] = str(wanted.api_port)
        if address := wanted.static_address(node):
            labels["k3d.node.staticIP"] = address
        if wanted.servers > 1:
            labels["k3d.server.init"] = "true" if node == "server-0" else "false"
    return labels


def _env(wanted: Wanted, node: str) -> list[str]:
    env = list(wanted.env.get(node, ()))
    if node != "serverlb":
        env.append(f"K3S_TOKEN={wanted.token}")
        if node != "server-0":
            env.append(f"K3S_URL=https://{wanted.init}:6443")
    return [*env, KUBECONFIG]


def _command(wanted: Wanted, node: str) -> list[str] | None:
    if node == "serverlb":
        return None
    command = [node.partition("-")[0], *wanted.args.get(node, ())]
    is_server = node.startswith("server")
    if is_server and wanted.servers > 1 and node == "server-0":
        command.append("--cluster-init")
    for label in wanted.node_labels.get(node, ()):
        command += ["--node-label", label]
    if is_server:
        command += ["--tls-san", wanted.api_ip]
        if wanted.balancer:
            command += ["--tls-san", f"k3d-{wanted.name}-serverlb"]
    return command


def _bindings(wanted: Wanted, node: str) -> dict[str, list[Json]]:
    found: dict[str, list[Json]] = {}
    if node == ("serverlb" if wanted.balancer else "server-0"):
        found["6443"] = [{"HostIp": wanted.api_ip, "HostPort": str(wanted.api_port)}]
    for port, places in wanted.ports.get(node, {}).items():
        found[port] = [{"HostIp": ip, "HostPort": host} for ip, host in places]
    return found


def _host_config(wanted: Wanted, node: str) -> Json:
    volume = [f"{wanted.volume}:/k3d/images"] if wanted.volume else []
    is_balancer = node == "serverlb"
    memory = 0 if is_balancer else wanted.memory.get(node.partition("-")[0], 0)
    meminfo = [f"{wanted.meminfo}:/proc/meminfo:ro"] if memory else []
    return {
        "Init": True,
        "Privileged": True,
        "UsernsMode": "host",
        "Tmpfs": {"/run": "", "/var/run": ""},
        "NetworkMode": "bridge",
        "RestartPolicy": {"Name": "unless-stopped"},
        "Binds": [*volume, *wanted.volumes.get(node, ()), *meminfo],
        "PortBindings": _bindings(wanted, node),
        "Ulimits": list(wanted.ulimits) or None,
        "Memory": memory,
        "PidMode": "host" if wanted.is_host_pid and not is_balancer else "",
    }


def container_body(wanted: Wanted, node: str, network: Json) -> Json:
    """Return the create call of a node; *network* as the engine shows it."""
    address = wanted.static_address(node)
    endpoint = {"IPAMConfig": {"IPv4Address": address}} if address else {}
    body: Json = {
        "Hostname": f"k3d-{wanted.name}-{node}",
        "Image": wanted.balancer_image if node == "serverlb" else wanted.image,
        "Env": _env(wanted, node),
        "Labels": _labels(wanted, node, network),
        "ExposedPorts": {port: {} for port in _bindings(wanted, node)},
        "HostConfig": _host_config(wanted, node),
        "NetworkingConfig": {"EndpointsConfig": {wanted.network_name: endpoint}},
    }
    if node != "serverlb":
        body["Entrypoint"] = ["/bin/k3d-entrypoint.sh"]
        body["Cmd"] = _command(wanted, node)
    return body


def balancer_values(wanted: Wanted) -> Json:
    """Return what stands in `/etc/confd/values.yaml`."""
    servers = [f"k3d-{wanted.name}-{node}" for node in wanted.server_names]
    proxied = {
        port: [f"k3d-{wanted.name}-{node}" for node in nodes]
        for port, nodes in wanted.proxied.items()
    }
    return {"ports": {"6443.tcp": servers, **proxied}, "settings": {"workerConnections": 1024}}


def make(api: DockerApi, wanted: Wanted) -> None:
    """Make the network, the volumes and the containers, and start none of them."""
    if not wanted.is_network_external:
        api.post("networks/create", network_body(wanted))
    network = api.get(f"networks/{wanted.network_name}")
    own = {spec.partition(":")[0] for some in wanted.volumes.values() for spec in some}
    for name in sorted({wanted.volume or "", *own}):
        if name.startswith("k3d-"):
            api.post("volumes/create", volume_body(wanted, name))
    for node in wanted.node_names:
        body = container_body(wanted, node, network)
        api.post("containers/create", body, name=f"k3d-{wanted.name}-{node}")
