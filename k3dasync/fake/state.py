"""What the fake engine keeps: containers, networks, volumes, images. Nothing here takes time."""

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any, TypeVar

import anyio

from k3dasync.addresses import HOST_NETWORK
from k3dasync.errors import Conflict, EngineError, NotFound
from k3dasync.fake.log import EPOCH, Log
from k3dasync.runtime import (
    ContainerDetail,
    ContainerSpec,
    ContainerState,
    ImageState,
    NetworkState,
    PortBinding,
    Status,
    VolumeState,
)

TMPFS = ("/run/", "/var/run/")
"""Mounted afresh at each start over whatever was put there."""


class Service(StrEnum):
    """What a node that runs offers: on its API port, one after the other; or a registry."""

    TCP = "tcp"
    SUPERVISOR = "supervisor"
    API = "api"
    REGISTRY = "registry"


@dataclass(slots=True)
class Network:
    """A network; without a user-configured subnet it cannot hand out fixed addresses.

    The one with no range at all, `subnet` None, is the host's own: it is always there.
    """

    id: str
    name: str
    subnet: ipaddress.IPv4Network | None
    gateway: str
    dynamic: ipaddress.IPv4Network | None
    labels: Mapping[str, str]
    has_user_subnet: bool
    lock: anyio.Lock = field(default_factory=anyio.Lock)

    created: float = 0.0

    @property
    def is_host(self) -> bool:
        """Whether it is the host's own."""
        return self.name == HOST_NETWORK

    @property
    def is_predefined(self) -> bool:
        """Whether it is always there: nobody can make or remove it."""
        return self.id in _PREDEFINED

    def shown(self) -> NetworkState:
        """Return it as a listing does."""
        return NetworkState(
            id=self.id,
            name=self.name,
            driver=HOST_NETWORK if self.is_host else "bridge",
            subnets=(str(self.subnet),) if self.subnet else (),
            gateway=self.gateway,
            labels=dict(self.labels),
            created=self.created,
        )


@dataclass(slots=True)
class Endpoint:
    """A container's place in a network, given by name or id, while it does not run too."""

    network: str
    fixed: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    found: Network | None = None
    address: str = ""

    @property
    def name(self) -> str:
        """The network's name, as listings show it."""
        return self.found.name if self.found else self.network

    @property
    def is_by_id(self) -> bool:
        """Whether it was made with the network's id: there is no leaving before the first start."""
        return self.found is not None and self.network == self.found.id


@dataclass(slots=True)
class Container:
    """A container. `data` is what its program keeps over restarts, `serves` what it offers now.

    `listens` is the host's port that its program has taken by itself, on the host's network;
    `sockets` are the ports and protocols on which a load balancer listens.
    `imported` are the images in a node, by containerd's names, `executing` the commands beside.
    `anonymous` are its volumes that nobody has named: path → name.
    """

    id: str
    spec: ContainerSpec
    created: float
    new_name: str = ""
    image_id: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    status: Status = Status.CREATED
    exit_code: int = 0
    is_oom: bool = False
    restarts: int = 0
    started: float | None = None
    endpoints: list[Endpoint] = field(default_factory=list)
    bound: tuple[PortBinding, ...] = ()
    listens: int = 0
    sockets: tuple[tuple[int, str], ...] = ()
    log: Log = field(default_factory=Log)
    data: Any = None
    serves: set[Service] = field(default_factory=set)
    imported: dict[str, ImageState] = field(default_factory=dict)
    anonymous: dict[str, str] = field(default_factory=dict)
    executing: list[str] = field(default_factory=list)
    lock: anyio.Lock = field(default_factory=anyio.Lock)

    def __post_init__(self) -> None:
        self.endpoints.append(Endpoint(self.spec.network, self.spec.address))

    @property
    def name(self) -> str:
        """Its name, which is its hostname too unless it has been renamed."""
        return self.new_name or self.spec.name

    @property
    def address(self) -> str:
        """Its first address while it runs, else nothing."""
        return next((one.address for one in self.endpoints), "")

    def endpoint(self, network: Network) -> Endpoint | None:
        """Return its place in a network, if it has one."""
        return next((one for one in self.endpoints if one.found is network), None)

    def release(self) -> None:
        """Give up addresses and ports, as a container does that ends."""
        self.bound = ()
        for one in self.endpoints:
            one.address = ""

    @property
    def is_live(self) -> bool:
        """Whether it holds its address and ports: also while a restart is due."""
        return self.status in {Status.RUNNING, Status.RESTARTING, Status.PAUSED}

    @property
    def is_running(self) -> bool:
        """Whether its process is there."""
        return self.status is Status.RUNNING

    @property
    def taken(self) -> tuple[PortBinding, ...]:
        """The host's ports that nobody else can have while it runs."""
        if not self.listens:
            return self.bound
        return (PortBinding(port=str(self.listens), host_ip="", host_port=self.listens),)

    @property
    def env(self) -> Mapping[str, str]:
        """Its environment."""
        return dict(entry.partition("=")[::2] for entry in self.spec.env)

    def shown(self) -> ContainerState:
        """Return it as a listing does: ports only while it runs."""
        return ContainerState(
            id=self.id,
            name=self.name,
            image=self.spec.image,
            status=self.status,
            labels=dict(self.spec.labels),
            created=self.created,
            addresses={one.name: one.address for one in self.endpoints},
            bound_ports=tuple(binding.host_port for binding in self.bound),
        )

    def detail(self) -> ContainerDetail:
        """Return it as an inspection does."""
        since = None if self.started is None else timedelta(seconds=self.started)
        return ContainerDetail(
            state=self.shown(),
            exit_code=self.exit_code,
            oom_killed=self.is_oom,
            restarts=self.restarts,
            env=self.spec.env,
            command=self.spec.command or (),
            binds=self.spec.binds,
            bindings=self.spec.ports,
            image_id=self.image_id or f"sha256:{self.spec.image}",
            started_at="" if since is None else (EPOCH + since).isoformat(),
            entrypoint=self.spec.entrypoint or (),
            restart_policy="unless-stopped",
            extra_hosts=self.spec.extra_hosts,
            host_pid_mode=self.spec.host_pid_mode,
            ulimits=self.spec.ulimits,
            memory=self.spec.memory,
            gpus=self.spec.gpus,
            fixed_addresses={
                one.found.name if one.found else one.name: one.fixed
                for one in self.endpoints
                if one.fixed
            },
            aliases=self.spec.aliases,
            init=self.spec.init,
            volumes={**_named(self.spec.binds), **self.anonymous},
        )

    def lose_tmpfs(self) -> None:
        """Forget what was put under a path that is mounted afresh at each start."""
        self.files = {
            path: content for path, content in self.files.items() if not path.startswith(TMPFS)
        }


EntryT = TypeVar("EntryT", Container, Network, VolumeState)


def _labels(entry: Container | Network | VolumeState) -> Mapping[str, str]:
    return entry.spec.labels if isinstance(entry, Container) else entry.labels


def has_labels(entry: Container | Network | VolumeState, labels: Mapping[str, str] | None) -> bool:
    """Say whether an entry carries all of *labels*."""
    return (labels or {}).items() <= _labels(entry).items()


def carrying(entries: Iterable[EntryT], labels: Mapping[str, str] | None) -> list[EntryT]:
    """Return the entries which carry all of *labels*."""
    return [entry for entry in entries if has_labels(entry, labels)]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What there is, to be compared: two equal ones mean that nothing was left or lost."""

    containers: frozenset[str]
    networks: frozenset[tuple[str, str]]
    volumes: frozenset[str]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing at all."""
        return not (self.containers or self.networks or self.volumes)


_HOST, _BRIDGE = "f" * 64, "e" * 64
_PREDEFINED = frozenset({_HOST, _BRIDGE})


def _predefined() -> dict[str, Network]:
    host = Network(_HOST, HOST_NETWORK, None, "", None, {}, has_user_subnet=False)
    range = ipaddress.IPv4Network("172.17.0.0/16")
    bridge = Network(_BRIDGE, "bridge", range, str(range[1]), range, {}, has_user_subnet=False)
    return {_HOST: host, _BRIDGE: bridge}


@dataclass(slots=True)
class Inventory:
    """Everything on the engine. Container names are unique, network names are not."""

    containers: dict[str, Container] = field(default_factory=dict)
    networks: dict[str, Network] = field(default_factory=_predefined)
    volumes: dict[str, VolumeState] = field(default_factory=dict)
    images: dict[str, ImageState] = field(default_factory=dict)
    declared: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The paths for which images want a volume."""

    def container(self, operation: str, name: str) -> Container:
        """Return the container of that name or id; raises NotFound if there is none."""
        found = self.containers.get(name)
        if found is None:
            found = next((one for one in self.containers.values() if one.id == name), None)
        if found is None:
            raise NotFound(operation, f"container {name}", f"no such container: {name}")
        return found

    def image(self, name: str) -> ImageState | None:
        """Return the image of that name or id, None if there is none."""
        found = (one for one in self.images.values() if one.id == name)
        return self.images.get(name) or next(found, None)

    def rename(self, container: Container, name: str) -> None:
        """Give a container another name; raises Conflict if that is taken."""
        if name in self.containers:
            words = f'the container name "/{name}" is already in use'
            raise Conflict("rename", f"container {container.name}", words)
        del self.containers[container.name]
        container.new_name = name
        self.containers[name] = container

    def network(self, operation: str, name: str) -> Network:
        """Return the network of that id or name.

        Raises NotFound if there is none, EngineError if there are several of that name.
        """
        if name in self.networks:
            return self.networks[name]
        found = [network for network in self.networks.values() if network.name == name]
        if not found:
            raise NotFound(operation, f"network {name}", f"network {name} not found")
        if len(found) > 1:
            words = f"network {name} is ambiguous ({len(found)} matches found on name)"
            raise EngineError(operation, f"network {name}", words)
        return found[0]

    def members(self, network: Network) -> Iterator[tuple[Container, str]]:
        """Yield the containers that hold an address of a network, and the address."""
        for container in self.containers.values():
            endpoint = container.endpoint(network)
            if container.is_live and endpoint is not None:
                yield container, endpoint.address

    def users_of(self, volume: str) -> list[Container]:
        """Return the containers, running or not, which mount a volume."""
        return [one for one in self.containers.values() if volume in one.detail().volumes.values()]

    def make_volumes(self, container: Container, new_id: Callable[[], str]) -> None:
        """Make the volumes that are mounted and not there: without labels, like a real engine."""
        mounted = [bind.split(":")[1] for bind in container.spec.binds if ":" in bind]
        for path in self.declared.get(container.spec.image, ()):
            if path not in mounted:
                container.anonymous[path] = new_id()
        for name in (*volumes_of(container.spec.binds), *container.anonymous.values()):
            made = VolumeState(name=name, labels={}, created=container.created)
            self.volumes.setdefault(name, made)

    def snapshot(self) -> Snapshot:
        """Return what there is now, images left out: they stay by design."""
        return Snapshot(
            frozenset(self.containers),
            frozenset(
                (one.id, one.name) for one in self.networks.values() if not one.is_predefined
            ),
            frozenset(self.volumes),
        )


def _named(binds: Iterable[str]) -> dict[str, str]:
    """Return path → name of the named volumes among mounts."""
    return {bind.split(":")[1]: bind.partition(":")[0] for bind in binds if volumes_of([bind])}


def volumes_of(binds: Iterable[str]) -> list[str]:
    """Return the named volumes among mounts; the others are paths of the host."""
    sources = [bind.partition(":")[0] for bind in binds]
    return [source for source in sources if not source.startswith(("/", ".", "~"))]
