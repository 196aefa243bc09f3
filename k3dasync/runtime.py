"""What we ask of a container engine, and the only shapes that cross that border. Pure.

Names are the engine's. Every call may raise EngineUnavailable if the engine cannot be reached
and EngineError (or one of its kinds) with the engine's words if it refuses.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from k3dasync.build import ImageBuilder
from k3dasync.grammar.gpus import GpuRequest
from k3dasync.grammar.words import Ulimit
from k3dasync.host import EngineFacts as EngineFacts  # noqa: PLC0414 - part of this border
from k3dasync.insides import Executed as Executed  # noqa: PLC0414 - same
from k3dasync.insides import File as File  # noqa: PLC0414 - same
from k3dasync.insides import Insides

ANY_ADDRESS = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - compared with, never bound
"""Where a port is bound on every address of the host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PortBinding:
    """A container's port on the engine's host; `port` is as the engine writes it (`6443`).

    Without a host port the engine chooses one at every start, with a `last_host_port` one of the
    range.
    """

    port: str
    host_ip: str
    host_port: int = 0
    last_host_port: int = 0

    @property
    def candidates(self) -> range:
        """The host ports that it may get; only 0 where the engine chooses."""
        return range(self.host_port, max(self.host_port, self.last_host_port) + 1)

    def shares_address(self, other: "PortBinding") -> bool:
        """Say whether both listen on one address of the host: an empty one means all of them."""
        return self.host_ip == other.host_ip or bool(ANY_ADDRESS & {self.host_ip, other.host_ip})

    @property
    def protocol(self) -> str:
        """What is spoken: `tcp` where the engine's text names none."""
        return self.port.partition("/")[2] or "tcp"

    @property
    def host_ports(self) -> str:
        """The host port or ports as the engine writes them: `8080`, `8080-8090`, nothing."""
        last = f"-{self.last_host_port}" if self.last_host_port else ""
        return f"{self.host_port}{last}" if self.host_port else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSpec:
    """A bridge network; `ip_range` keeps dynamic addresses away from the fixed ones."""

    name: str
    subnet: str
    gateway: str
    ip_range: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeSpec:
    """A named volume of the local driver."""

    name: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSpec:
    """Everything one create call says, and the files put in before the first start.

    `name` is the hostname too. `network` may be a name or an id; on addresses.HOST_NETWORK there
    are no addresses and no ports to publish. `address` None lets the engine
    choose. `entrypoint` and `command` None keep the image's. `memory` in bytes, 0 for no limit.
    """

    name: str
    image: str
    network: str
    address: str | None = None
    aliases: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    env: tuple[str, ...] = field(default=(), repr=False)  # holds the token
    labels: Mapping[str, str] = field(default_factory=dict, repr=False)  # same
    binds: tuple[str, ...] = ()
    ports: tuple[PortBinding, ...] = ()
    extra_hosts: tuple[str, ...] = ()
    init: bool = True
    host_pid_mode: bool = False
    ulimits: tuple[Ulimit, ...] = ()
    memory: int = 0
    gpus: GpuRequest | None = None
    files: tuple[File, ...] = field(default=(), repr=False)


class Status(StrEnum):
    """A container's state, in the engine's words."""

    CREATED = "created"
    RUNNING = "running"
    RESTARTING = "restarting"
    PAUSED = "paused"
    REMOVING = "removing"
    EXITED = "exited"
    DEAD = "dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerState:
    """A container as a listing shows it. `addresses`: network name → IPv4 (empty if none)."""

    id: str
    name: str
    image: str
    status: Status
    labels: Mapping[str, str] = field(repr=False)
    created: float = 0.0
    addresses: Mapping[str, str] = field(default_factory=dict)
    bound_ports: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerDetail:
    """A container as an inspection shows it. `bindings`: as asked for, running or not.

    `memory` in bytes, 0 for no limit. `fixed_addresses`: network → address asked for, not chosen
    by the engine. `aliases` are its further names in its networks. `init`: a process of the
    engine's is its first one. `volumes`: path → volume, those without a name of ours too.
    """

    state: ContainerState
    exit_code: int
    oom_killed: bool
    restarts: int
    env: tuple[str, ...] = field(repr=False)
    command: tuple[str, ...]
    binds: tuple[str, ...]
    bindings: tuple[PortBinding, ...]
    image_id: str
    started_at: str = ""
    entrypoint: tuple[str, ...] = ()
    restart_policy: str = ""
    extra_hosts: tuple[str, ...] = ()
    host_pid_mode: bool = False
    ulimits: tuple[Ulimit, ...] = ()
    memory: int = 0
    gpus: GpuRequest | None = None
    fixed_addresses: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    init: bool = True
    volumes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkState:
    """A network; `subnets` in CIDR notation, `gateway` the IPv4 one; `created` since 1970 or 0."""

    id: str
    name: str
    driver: str
    subnets: tuple[str, ...]
    gateway: str
    labels: Mapping[str, str]
    created: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeState:
    """A named volume; `created` as a network's."""

    name: str
    labels: Mapping[str, str]
    created: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeUsage:
    """What is in a volume, in bytes, None if that is not known, and how many mount it."""

    size: int | None
    users: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerEvent:
    """Something that happened to a container, such as `start`, `die`, `oom` or `destroy`."""

    action: str
    name: str
    exit_code: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageState:
    """An image of the engine. `tags` and `digests` as the engine shows them (`alpine:3`).

    `size` in bytes, layers shared with other images included.
    """

    id: str
    tags: tuple[str, ...]
    digests: tuple[str, ...] = ()
    size: int = 0


PullProgress = Callable[[int, int | None], None]
"""Told bytes done and bytes in all (None while not every layer's size is known)."""


class EngineReader(Protocol):
    """The questions that change nothing."""

    async def networks(self, labels: Mapping[str, str] | None = None) -> Sequence[NetworkState]:
        """List the networks which carry all of *labels*."""

    async def volumes(self, labels: Mapping[str, str] | None = None) -> Sequence[VolumeState]:
        """List the volumes which carry all of *labels*."""

    async def containers(self, labels: Mapping[str, str] | None = None) -> Sequence[ContainerState]:
        """List the containers, running or not, which carry all of *labels*."""

    async def inspect_container(self, name: str) -> ContainerDetail:
        """Return everything about one container; raises NotFound if there is none."""

    async def read_file(self, name: str, path: str) -> bytes:
        """Return a file's content; raises NotFound if container or file is not there."""


class Runtime(EngineReader, Insides, ImageBuilder, Protocol):
    """A container engine. An async context manager: it is usable inside `async with` only.

    A create, start or removal that is cancelled is finished by the engine all the same; so these
    calls are not cut but end (within their own deadline) before the cancellation is felt.
    """

    async def facts(self) -> EngineFacts:
        """Return what a plan must know of the engine."""

    async def has_image(self, image: str) -> bool:
        """Say whether the image is on the engine."""

    async def pull_image(self, image: str, progress: PullProgress) -> None:
        """Fetch an image; raises ImageUnavailable if it cannot be had."""

    async def images(self) -> Sequence[ImageState]:
        """List the images of the engine, those without a tag too."""

    def export_images(
        self, tags: Sequence[str]
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Read the images with these tags as one archive, in pieces; leaving closes the stream.

        Whoever reads slowly slows the engine down. Raises NotFound if there is no such image,
        while entering; iteration raises EngineError if the stream does not come to its end.
        """

    async def create_network(self, spec: NetworkSpec) -> str:
        """Create a network and return its id; raises SubnetTaken if its subnet overlaps.

        Names are not unique here: two calls can make two networks of one name.
        """

    async def addresses_in_use(self, network: str) -> frozenset[str]:
        """Return the IPv4 addresses of a network's running members."""

    async def connect_network(
        self, container: str, network: str, *, address: str | None, labels: Mapping[str, str]
    ) -> None:
        """Connect a container, running or not, to one more network, given by name or id.

        The connection carries *labels* as long as it lasts. Raises Conflict if there is one
        already, AddressTaken or AddressesUnsupported if the *address* cannot be had.
        """

    async def disconnect_network(
        self, container: str, network: str, labels: Mapping[str, str]
    ) -> bool:
        """Disconnect a container from a network if the connection carries *labels*.

        Says whether it did: what is not there, or not connected, is not disconnected.
        """

    async def remove_network(self, name: str, labels: Mapping[str, str]) -> bool:
        """Remove every network of that name that carries *labels*; say whether there was one."""

    async def create_volume(self, spec: VolumeSpec) -> VolumeState:
        """Create a volume or return the one of that name: compare the labels."""

    async def remove_volume(self, name: str, labels: Mapping[str, str]) -> bool:
        """Remove that volume if it carries *labels*; say whether it did."""

    async def create_container(self, spec: ContainerSpec) -> str:
        """Create a container with its files inside and return its id.

        Raises Conflict if the name is taken, NotFound if the image is not there.
        """

    async def start_container(self, name: str) -> None:
        """Start a container; one that runs is left alone.

        Raises PortTaken, AddressTaken or AddressesUnsupported if that claim is refused.
        """

    async def signal_container(self, name: str, signal: str) -> None:
        """Send a signal, `SIGHUP`, to the container's first process."""

    async def stop_container(self, name: str, *, grace: int | None = None) -> None:
        """Stop a container, after *grace* seconds by force (None: the engine's default)."""

    async def pause_container(self, name: str) -> None:
        """Freeze a container that runs; raises Conflict if it does not run, or is paused."""

    async def unpause_container(self, name: str) -> None:
        """Let a paused container go on; raises Conflict if it is not paused."""

    async def rename_container(self, name: str, new_name: str) -> None:
        """Give a container, running or not, another name; its hostname stays.

        Raises Conflict if that name is taken.
        """

    async def volume_usage(self) -> Mapping[str, VolumeUsage]:
        """Return what is in each volume, by name: bytes are counted, which takes a while."""

    async def remove_container(
        self, name: str, labels: Mapping[str, str], *, keeps_volumes: bool = False
    ) -> bool:
        """Remove it, running or not, if it carries *labels*; say whether it did.

        Its anonymous volumes go too, but with *keeps_volumes*. Then the name is free again.
        """

    def container_events(
        self, labels: Mapping[str, str]
    ) -> AbstractAsyncContextManager[AsyncIterator[ContainerEvent]]:
        """Follow what happens to the containers which carry *labels*, from now on.

        The end of the stream proves nothing: inspect, and follow again.
        """
