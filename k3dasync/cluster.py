"""A cluster decided down to the last label: what it consists of, and what its parts are called."""

from dataclasses import dataclass, field
from enum import StrEnum

from k3dasync.addresses import HOST_NETWORK
from k3dasync.grammar.balancer import BalancerSettings
from k3dasync.grammar.filters import Members
from k3dasync.grammar.joins import JoinOrder
from k3dasync.grammar.names import spellings
from k3dasync.images import K3S_VERSION
from k3dasync.runtime import ContainerSpec, NetworkSpec, VolumeSpec
from k3dasync.spec import ClusterSpec, WaitLevel

API_PORT = 6443
REGISTRY_PORT = 5000
"""Where a registry listens in its container, unless it is told otherwise."""
KUBECONFIG_PATH = "/output/kubeconfig.yaml"
KUBECONFIG_ENV = f"K3S_KUBECONFIG_OUTPUT={KUBECONFIG_PATH}"
"""In every container of k3d's, those which do not read it too."""
IMAGE_VOLUME_PATH = "/k3d/images"

APP = {"app": "k3d"}
"""On everything k3d and we create."""
LABEL_CLUSTER = "k3d.cluster"
LABEL_ROLE = "k3d.role"
LABEL_TOKEN = "k3d.cluster.token"  # noqa: S105 - a label's key
LABEL_NETWORK = "k3d.cluster.network"
LABEL_NETWORK_ID = "k3d.cluster.network.id"
LABEL_NETWORK_EXTERNAL = "k3d.cluster.network.external"
LABEL_HOST_ALIASES = "k3d.cluster.start.hostaliases"
LABEL_IMAGE_VOLUME = "k3d.cluster.imageVolume"
LABEL_IMAGE_VOLUME_EXTERNAL = "k3d.volumes.imageVolume.external"
LABEL_API_HOST = "k3d.server.api.host"
LABEL_API_IP = "k3d.server.api.hostIP"
LABEL_API_PORT = "k3d.server.api.port"
LABEL_INIT = "k3d.server.init"
LABEL_REGISTRY_HOST = "k3d.registry.host"
LABEL_REGISTRY_IP = "k3d.registry.hostIP"
LABEL_STATIC_IP = "k3d.node.staticIP"
LABEL_NETWORK_RANGE = "k3d.cluster.network.iprange"
LABEL_RUN = "k3dasync.run"
LABEL_EXTERNAL = "k3dasync.external"
"""On volumes and networks that were made by themselves: they belong to no cluster."""
LABEL_EXPIRES = "k3dasync.expires"
"""On every node of a cluster that is not to be there for ever: when its time is over, RFC 3339."""
LABEL_EDIT = "k3dasync.edit"
"""On a container that has taken another one's place, beside that one's labels: the run."""


class Role(StrEnum):
    """What a node is for, in k3d's words."""

    SERVER = "server"
    AGENT = "agent"
    LOADBALANCER = "loadbalancer"
    REGISTRY = "registry"


def is_elsewhere(cluster: str) -> bool:
    """Say whether that is the URL of a cluster somewhere else, of which only agents are here."""
    return "://" in cluster


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
    has_ipv6: bool = False


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
class Registry:
    """A registry as it is reached: `name:port` by containers, `host:host_port` by people.

    `remote` is the registry whose images it hands on, if it does that.
    """

    name: str
    port: int
    host: str
    host_port: int
    remote: str = ""

    @property
    def endpoint(self) -> str:
        """Where nodes reach it."""
        return f"http://{self.name}:{self.port}"

    @property
    def connect_host(self) -> str:
        """The host to connect to from here."""
        return "127.0.0.1" if self.host == "localhost" else self.host

    @property
    def published(self) -> str:
        """Where it is reached from the engine's host."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.host_port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryChoice:
    """A registry that is to be made: its image, and the address that it binds."""

    registry: Registry
    image: str
    host_ip: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedRegistry:
    """A registry that is there, and whether it is in the cluster's network already."""

    registry: Registry
    is_connected: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A used registry's place in the cluster's network, to be made; None: any address."""

    registry: str
    network: str
    address: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxiedPort:
    """A port which the load balancer forwards to the same port of some nodes."""

    port: int
    protocol: str
    nodes: tuple[str, ...]

    @property
    def key(self) -> str:
        """What k3d calls it: `80.tcp`."""
        return f"{self.port}.{self.protocol}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One container of a cluster."""

    name: str
    role: Role
    is_init: bool
    container: ContainerSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Everything a create needs to know; nothing in it changes any more.

    `secrets` are texts that nobody may be shown, not even where nodes themselves print them.
    `may_have_known_nodes`: its datastore may know Nodes from before, Ready as long as nobody looks.
    """

    run: str
    name: str
    wait: WaitLevel
    network: NetworkSpec | None
    network_name: str
    volumes: tuple[VolumeSpec, ...]
    nodes: tuple[Node, ...]
    api: ApiChoice
    token: str = field(repr=False)
    has_fixed_addresses: bool
    has_ipv6: bool = False
    has_external_datastore: bool = False
    may_have_known_nodes: bool = False
    join: JoinOrder = JoinOrder.PIPELINED
    secrets: tuple[str, ...] = field(default=(), repr=False)
    proxied: tuple[ProxiedPort, ...] = ()
    balancer: BalancerSettings = field(default_factory=BalancerSettings)
    made_registry: Registry | None = None
    connections: tuple[Connection, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def is_elsewhere(self) -> bool:
        """Whether it is somewhere else, and only agents of it are here."""
        return is_elsewhere(self.name)

    @property
    def is_on_host_network(self) -> bool:
        """Whether its only node has the addresses and ports of the engine's host."""
        return self.network_name == HOST_NETWORK

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
    def registry(self) -> Node | None:
        """The registry that is made with it, if one is."""
        return next((node for node in self.nodes if node.role is Role.REGISTRY), None)

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


def registry_name(spec: ClusterSpec) -> str | None:
    """Return the name of the registry to be made; None if there is none, or it is used instead."""
    if spec.registry is None:
        return None
    name = spec.registry.name or f"k3d-{spec.name}-registry"
    used = {known for one in spec.registries for known in spellings(one.name)}
    return None if name in used else name


def node_names(spec: ClusterSpec) -> tuple[str, ...]:
    """Return all container names of a cluster: servers, agents, load balancer, registry."""
    registry = registry_name(spec)
    return (*members(spec).all, *([registry] if registry else []))


def members(spec: ClusterSpec) -> Members:
    """Return the nodes that filters choose from."""
    return Members(
        servers=tuple(server_name(spec.name, index) for index in range(spec.servers)),
        agents=tuple(agent_name(spec.name, index) for index in range(spec.agents)),
        loadbalancer=loadbalancer_name(spec.name) if spec.loadbalancer else None,
    )


def network_name(spec: ClusterSpec) -> str:
    """Return the network's name, given or k3d's."""
    return spec.network or f"k3d-{spec.name}"


def image_volume_name(spec: ClusterSpec) -> str | None:
    """Return the name of the volume that every node mounts for images, given or k3d's."""
    if not spec.image_volume:
        return None
    return spec.external_image_volume or volume_name(spec.name)


def volume_name(cluster: str) -> str:
    """Return the image volume's name."""
    return f"k3d-{cluster}-images"


def k3s_version(image: str) -> str:
    """Return the tag of a k3s image, which is its version; the default's for an untagged one."""
    name, colon, tag = image.rpartition(":")
    return tag if colon and "/" not in tag and name else K3S_VERSION
