"""What the fake engine keeps: containers, networks, volumes, images. Nothing here takes time."""

import ipaddress
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar

import anyio

from k3dasync.addresses import HOST_NETWORK
from k3dasync.errors import EngineError, NotFound
from k3dasync.runtime import (
    ContainerDetail,
    ContainerSpec,
    ContainerState,
    NetworkState,
    PortBinding,
    Status,
    VolumeState,
)

TMPFS = ("/run/", "/var/run/")
"""Mounted afresh at each start over whatever was put there."""
LOG_LINES = 1000
"""Kept of each container: more than anybody asks for."""
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
"""When the clock of the engine and its nodes is at zero."""


class Service(StrEnum):
    """What a node that runs offers on its API port, one after the other."""

    TCP = "tcp"
    SUPERVISOR = "supervisor"
    API = "api"


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

    @property
    def is_host(self) -> bool:
        """Whether it is the host's own, which nobody can make or remove."""
        return self.name == HOST_NETWORK

    def shown(self) -> NetworkState:
        """Return it as a listing does."""
        return NetworkState(
            id=self.id,
            name=self.name,
            driver=HOST_NETWORK if self.is_host else "bridge",
            subnets=(str(self.subnet),) if self.subnet else (),
            gateway=self.gateway,
            labels=dict(self.labels),
        )


@dataclass(slots=True)
class Container:
    """A container. `data` is what its program keeps over restarts, `serves` what it offers now.

    `listens` is the host's port that its program has taken by itself, on the host's network.
    """

    id: str
    spec: ContainerSpec
    created: float
    files: dict[str, bytes] = field(default_factory=dict)
    status: Status = Status.CREATED
    exit_code: int = 0
    is_oom: bool = False
    restarts: int = 0
    started: float | None = None
    network: Network | None = None
    address: str = ""
    bound: tuple[PortBinding, ...] = ()
    listens: int = 0
    log: deque[str] = field(default_factory=lambda: deque(maxlen=LOG_LINES))
    data: Any = None
    serves: set[Service] = field(default_factory=set)
    lock: anyio.Lock = field(default_factory=anyio.Lock)

    @property
    def name(self) -> str:
        """Its name, which is its hostname too."""
        return self.spec.name

    @property
    def is_live(self) -> bool:
        """Whether it holds its address and ports: also while a restart is due."""
        return self.status in {Status.RUNNING, Status.RESTARTING}

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
        network = self.network.name if self.network else self.spec.network
        return ContainerState(
            id=self.id,
            name=self.name,
            image=self.spec.image,
            status=self.status,
            labels=dict(self.spec.labels),
            created=self.created,
            addresses={network: self.address},
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
            image_id=f"sha256:{self.spec.image}",
            started_at="" if since is None else (EPOCH + since).isoformat(),
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


_HOST = "f" * 64


def _host_network() -> Network:
    return Network(_HOST, HOST_NETWORK, None, "", None, {}, has_user_subnet=False)


@dataclass(slots=True)
class Inventory:
    """Everything on the engine. Container names are unique, network names are not."""

    containers: dict[str, Container] = field(default_factory=dict)
    networks: dict[str, Network] = field(default_factory=lambda: {_HOST: _host_network()})
    volumes: dict[str, VolumeState] = field(default_factory=dict)
    images: set[str] = field(default_factory=set)

    def container(self, operation: str, name: str) -> Container:
        """Return the container of that name or id; raises NotFound if there is none."""
        found = self.containers.get(name)
        if found is None:
            found = next((one for one in self.containers.values() if one.id == name), None)
        if found is None:
            raise NotFound(operation, f"container {name}", f"no such container: {name}")
        return found

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

    def members(self, network: Network) -> Iterator[Container]:
        """Yield the containers that hold an address of a network."""
        return (
            container
            for container in self.containers.values()
            if container.is_live and container.network is network
        )

    def users_of(self, volume: str) -> list[Container]:
        """Return the containers, running or not, which mount a volume."""
        return [one for one in self.containers.values() if volume in volumes_of(one.spec.binds)]

    def make_volumes(self, binds: Iterable[str]) -> None:
        """Make the volumes that are mounted and not there: without labels, like a real engine."""
        for name in volumes_of(binds):
            self.volumes.setdefault(name, VolumeState(name=name, labels={}))

    def snapshot(self) -> Snapshot:
        """Return what there is now, images left out: they stay by design."""
        return Snapshot(
            frozenset(self.containers),
            frozenset((one.id, one.name) for one in self.networks.values() if not one.is_host),
            frozenset(self.volumes),
        )


def volumes_of(binds: Iterable[str]) -> list[str]:
    """Return the named volumes among mounts; the others are paths of the host."""
    sources = [bind.partition(":")[0] for bind in binds]
    return [source for source in sources if not source.startswith(("/", ".", "~"))]
