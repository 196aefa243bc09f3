"""A cluster decided down to the last label: names, addresses, ports, commands. Pure.

`resolve` turns what was asked for and what was chosen into what is created; equal inputs give
equal output, so a plan can be printed, compared and tested without an engine.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from k3dasync import __version__, entrypoint, nginx
from k3dasync.images import K3S_VERSION
from k3dasync.runtime import ContainerSpec, File, NetworkSpec, PortBinding, VolumeSpec
from k3dasync.spec import ClusterSpec, WaitLevel

API_PORT = 6443
KUBECONFIG_PATH = "/output/kubeconfig.yaml"
IMAGE_VOLUME_PATH = "/k3d/images"

APP = {"app": "k3d"}
"""On everything k3d and we create."""
LABEL_CLUSTER = "k3d.cluster"
LABEL_ROLE = "k3d.role"
LABEL_TOKEN = "k3d.cluster.token"  # noqa: S105 - a label's key
LABEL_NETWORK = "k3d.cluster.network"
LABEL_NETWORK_ID = "k3d.cluster.network.id"
LABEL_NETWORK_EXTERNAL = "k3d.cluster.network.external"
LABEL_IMAGE_VOLUME = "k3d.cluster.imageVolume"
LABEL_API_HOST = "k3d.server.api.host"
LABEL_API_IP = "k3d.server.api.hostIP"
LABEL_API_PORT = "k3d.server.api.port"
LABEL_INIT = "k3d.server.init"
LABEL_RUN = "k3dasync.run"


class Role(StrEnum):
    """What a node is for, in k3d's words."""

    SERVER = "server"
    AGENT = "agent"
    LOADBALANCER = "loadbalancer"


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkChoice:
    """The network of a cluster: one to be made, or an existing one, and its fixed addresses.

    `addresses` is empty where the engine must choose them. `gateway` may be unknown ("").
    """

    name: str
    is_external: bool
    subnet: str
    gateway: str
    ip_range: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiChoice:
    """Where the API is published: the host clients are told, the address bound, the port."""

    host: str
    host_ip: str
    port: int

    @property
    def url(self) -> str:
        """The address clients are told."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"https://{host}:{self.port}"

    @property
    def connect_host(self) -> str:
        """The host to connect to from here: an address that means all of them is none."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One container of a cluster."""

    name: str
    role: Role
    is_init: bool
    container: ContainerSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Everything a create needs to know; nothing in it changes any more."""

    run: str
    name: str
    wait: WaitLevel
    network: NetworkSpec | None
    network_name: str
    volume: VolumeSpec
    nodes: tuple[Node, ...]
    api: ApiChoice
    token: str = field(repr=False)
    has_fixed_addresses: bool

    @property
    def servers(self) -> tuple[Node, ...]:
        """The init server first, then the joining ones."""
        return tuple(node for node in self.nodes if node.role is Role.SERVER)

    @property
    def agents(self) -> tuple[Node, ...]:
        """All agents, in the order of their names' numbers."""
        return tuple(node for node in self.nodes if node.role is Role.AGENT)

    @property
    def loadbalancer(self) -> Node | None:
        """The load balancer, unless there is none."""
        return next((node for node in self.nodes if node.role is Role.LOADBALANCER), None)

    @property
    def context(self) -> str:
        """The name of its context, and of its cluster entry, in kubeconfigs."""
        return f"k3d-{self.name}"


def server_name(cluster: str, index: int) -> str:
    """Return k3d's name for that server."""
    return f"k3d-{cluster}-server-{index}"


def agent_name(cluster: str, index: int) -> str:
    """Return k3d's name for that agent."""
    return f"k3d-{cluster}-agent-{index}"


def loadbalancer_name(cluster: str) -> str:
    """Return k3d's name for the load balancer."""
    return f"k3d-{cluster}-serverlb"


def node_names(spec: ClusterSpec) -> tuple[str, ...]:
    """Return all container names of a cluster: servers, agents, load balancer."""
    names = [server_name(spec.name, index) for index in range(spec.servers)]
    names += [agent_name(spec.name, index) for index in range(spec.agents)]
    if spec.loadbalancer:
        names.append(loadbalancer_name(spec.name))
    return tuple(names)


def network_name(spec: ClusterSpec) -> str:
    """Return the network's name, given or k3d's."""
    return spec.network or f"k3d-{spec.name}"


def volume_name(cluster: str) -> str:
    """Return the image volume's name."""
    return f"k3d-{cluster}-images"


def own_labels(run: str) -> dict[str, str]:
    """Return the labels that say: this run made it."""
    return {LABEL_RUN: run, "k3dasync.version": __version__}


def resolve(
    spec: ClusterSpec,
    *,
    run: str,
    token: str,
    network: NetworkChoice,
    api: ApiChoice,
    loadbalancer_image: str,
    host_alias: str,
) -> Cluster:
    """Decide everything about a cluster.

    *host_alias* is what `host.k3d.internal` stands for: an address, or `host-gateway` where only
    the engine knows; empty leaves the name out.
    """
    base = {**APP, LABEL_CLUSTER: spec.name, "k3d.version": f"k3dasync-{__version__}"}
    volume = VolumeSpec(name=volume_name(spec.name), labels={**base, **own_labels(run)})
    planner = _Planner(spec, run, token, network, api, base, host_alias)
    return Cluster(
        run=run,
        name=spec.name,
        wait=spec.wait,
        network=None if network.is_external else _network(spec, run, network),
        network_name=network.name,
        volume=volume,
        nodes=planner.nodes(loadbalancer_image),
        api=api,
        token=token,
        has_fixed_addresses=bool(network.addresses),
    )


def _network(spec: ClusterSpec, run: str, choice: NetworkChoice) -> NetworkSpec:
    return NetworkSpec(
        name=choice.name,
        subnet=choice.subnet,
        gateway=choice.gateway,
        ip_range=choice.ip_range,
        labels={**APP, LABEL_CLUSTER: spec.name, **own_labels(run)},
    )


@dataclass(frozen=True, slots=True)
class _Planner:
    """The facts that every node of one cluster shares."""

    spec: ClusterSpec
    run: str
    token: str
    network: NetworkChoice
    api: ApiChoice
    base: Mapping[str, str]
    host_alias: str

    def nodes(self, loadbalancer_image: str) -> tuple[Node, ...]:
        names = node_names(self.spec)
        addresses = dict(zip(names, self.network.addresses, strict=False))
        found = [self._server(index, addresses) for index in range(self.spec.servers)]
        found += [self._agent(index, addresses) for index in range(self.spec.agents)]
        if self.spec.loadbalancer:
            found.append(self._loadbalancer(loadbalancer_image, addresses))
        return tuple(found)

    @property
    def _first(self) -> str:
        return server_name(self.spec.name, 0)

    @property
    def _servers_alias(self) -> str:
        """One name for all servers, for networks on which their addresses are not known."""
        return f"k3d-{self.spec.name}-servers"

    @property
    def _binding(self) -> tuple[PortBinding, ...]:
        # Without a protocol, as k3d writes it: it reads this key back.
        port = PortBinding(port="6443", host_ip=self.api.host_ip, host_port=self.api.port)
        return (port,)

    def _labels(self, role: Role) -> dict[str, str]:
        """Return k3d's labels of one node, with ours on top; K3D reads most of them back."""
        return {
            **self.base,
            LABEL_ROLE: role,
            "k3d.cluster.url": f"https://{self._first}:{API_PORT}",
            LABEL_TOKEN: self.token,
            LABEL_IMAGE_VOLUME: volume_name(self.spec.name),
            LABEL_NETWORK: self.network.name,
            "k3d.cluster.network.iprange": self.network.subnet,
            LABEL_NETWORK_EXTERNAL: "true" if self.network.is_external else "false",
            "k3d.server.loadbalancer": (
                loadbalancer_name(self.spec.name) if self.spec.loadbalancer else ""
            ),
            **own_labels(self.run),
        }

    def _server(self, index: int, addresses: Mapping[str, str]) -> Node:
        name, is_init = server_name(self.spec.name, index), index == 0
        several = self.spec.servers > 1
        labels = self._labels(Role.SERVER) | {
            LABEL_API_HOST: self.api.host,
            LABEL_API_IP: self.api.host_ip,
            LABEL_API_PORT: str(self.api.port),
        }
        if several:
            labels[LABEL_INIT] = "true" if is_init else "false"
        if address := addresses.get(name):
            labels["k3d.node.staticIP"] = address
        command = ["server"]
        if several and is_init:
            command.append("--cluster-init")
        command += ["--tls-san", self.api.host]
        if self.spec.loadbalancer:
            command += ["--tls-san", loadbalancer_name(self.spec.name)]
        is_published = is_init and not self.spec.loadbalancer
        container = self._k3s_container(
            name,
            command=command,
            url=None if is_init else f"https://{self._first}:{API_PORT}",
            labels=labels,
            address=addresses.get(name),
            aliases=() if self.network.addresses else (self._servers_alias,),
            ports=self._binding if is_published else (),
        )
        return Node(name=name, role=Role.SERVER, is_init=is_init, container=container)

    def _agent(self, index: int, addresses: Mapping[str, str]) -> Node:
        name = agent_name(self.spec.name, index)
        container = self._k3s_container(
            name,
            command=["agent"],
            url=f"https://{self._first}:{API_PORT}",
            labels=self._labels(Role.AGENT),
            address=addresses.get(name),
        )
        return Node(name=name, role=Role.AGENT, is_init=False, container=container)

    def _k3s_container(
        self,
        name: str,
        *,
        command: list[str],
        url: str | None,
        labels: Mapping[str, str],
        address: str | None,
        aliases: tuple[str, ...] = (),
        ports: tuple[PortBinding, ...] = (),
    ) -> ContainerSpec:
        env = [f"K3S_TOKEN={self.token}"]
        if url:
            env.append(f"K3S_URL={url}")
        alias = self.host_alias
        return ContainerSpec(
            name=name,
            image=self.spec.image,
            network=self.network.name,
            address=address,
            aliases=aliases,
            entrypoint=(entrypoint.PATH,),
            command=tuple(command),
            env=(*env, _KUBECONFIG_ENV),
            labels=labels,
            binds=self._binds,
            ports=ports,
            extra_hosts=(f"{entrypoint.HOST_ALIAS}:{alias}",) if alias else (),
            files=entrypoint.node_files(
                is_server=command[0] == "server", gateway=self.network.gateway or None
            ),
        )

    def _loadbalancer(self, image: str, addresses: Mapping[str, str]) -> Node:
        name = loadbalancer_name(self.spec.name)
        container = ContainerSpec(
            name=name,
            image=image,
            network=self.network.name,
            address=addresses.get(name),
            env=(_KUBECONFIG_ENV,),
            labels=self._labels(Role.LOADBALANCER),
            binds=self._binds,
            ports=self._binding,
            files=self._balancer_files(addresses),
        )
        return Node(name=name, role=Role.LOADBALANCER, is_init=False, container=container)

    @property
    def _binds(self) -> tuple[str, ...]:
        return (f"{volume_name(self.spec.name)}:{IMAGE_VOLUME_PATH}",)

    def _balancer_files(self, addresses: Mapping[str, str]) -> tuple[File, ...]:
        servers = [server_name(self.spec.name, index) for index in range(self.spec.servers)]
        if addresses:
            # One that does not run yet would hold a probe for nginx's whole connect timeout.
            text = nginx.config(API_PORT, [addresses[servers[0]]], balanced=False)
        else:
            text = nginx.config_by_name(API_PORT, self._servers_alias)
        return nginx.files(text, nginx.values({f"{API_PORT}.tcp": servers}))


# On every container of k3d's, the load balancer too.
_KUBECONFIG_ENV = f"K3S_KUBECONFIG_OUTPUT={KUBECONFIG_PATH}"


def balancer_files(cluster: Cluster, *, balanced: bool) -> tuple[File, ...]:
    """Return the load balancer's configuration with every server.

    *balanced* is for the time when every server can answer; before, all but the first stand by.
    """
    servers = cluster.servers
    upstreams = [server.container.address or server.name for server in servers]
    return nginx.files(
        nginx.config(API_PORT, upstreams, balanced=balanced),
        nginx.values({f"{API_PORT}.tcp": [server.name for server in servers]}),
    )


def k3s_version(image: str) -> str:
    """Return the tag of a k3s image, which is its version; the default's for an untagged one."""
    name, colon, tag = image.rpartition(":")
    return tag if colon and "/" not in tag and name else K3S_VERSION
