"""What the user asks for: one validated value, and the small grammars of its parts. Pure."""

import ipaddress
import re
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import TypeVar

import msgspec

from k3dasync import registries_yaml
from k3dasync.addresses import HOST_NETWORK, refuse_special
from k3dasync.errors import InvalidSyntax, SpecError
from k3dasync.grammar import exposure, ports, registries, volumes, words
from k3dasync.grammar.balancer import BalancerSettings
from k3dasync.grammar.durations import parse_duration as parse_duration  # noqa: PLC0414 - for many
from k3dasync.grammar.exposure import Exposure
from k3dasync.grammar.filtered import Filtered
from k3dasync.grammar.gpus import GpuRequest
from k3dasync.grammar.joins import JoinOrder
from k3dasync.grammar.names import DEFAULT_NAME as DEFAULT_NAME  # noqa: PLC0414 - for many
from k3dasync.grammar.names import check_name as check_name  # noqa: PLC0414 - for many
from k3dasync.grammar.node_files import NodeFile, parse_destination
from k3dasync.grammar.registries import RegistryReference
from k3dasync.grammar.words import HostAlias, Ulimit
from k3dasync.images import K3S, is_channel
from k3dasync.invalid import (
    ConflictingFlags,
    InvalidApiPort,
    InvalidCount,
    InvalidDatastore,
    InvalidImage,
    InvalidName,
    InvalidNetwork,
    InvalidSubnet,
    InvalidWait,
)

DEFAULT_TIMEOUT = 900.0
"""Seconds for a whole create. Real k3s needs 70 s for 3+10 on two cores; the rest is for slow
disks and for pulling half a gigabyte over a slow line."""
MAX_NODES = 2000
"""A Linux bridge takes 1023 members; twice that is surely a slip of the finger."""


LEAST_MEMORY = 6 * 2**20
"""The engine's own minimum (moby, since 20.10)."""


class WaitLevel(StrEnum):
    """What must hold before a create returns."""

    NONE = "none"
    API = "api"
    QUORUM = "quorum"
    NODES = "nodes"
    ALL = "all"

    @property
    def waits_for_every_node(self) -> bool:
        """Whether each single Node must be Ready."""
        return self in {WaitLevel.NODES, WaitLevel.ALL}


class ApiPort(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the API is published; None lets us choose.

    `host`, an address or a name, is what clients are told; `host_ip` is what the engine binds, the
    address of `host` if it is None.
    """

    host: str | None = None
    port: int | None = None
    host_ip: str | None = None


class RegistryProxy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The registry whose images a registry hands on and keeps: `https://registry-1.docker.io`."""

    remote_url: str
    username: str = ""
    password: str = ""

    def __repr__(self) -> str:
        return f"RegistryProxy({self.remote_url!r})"


class RegistrySpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A registry to be made with the cluster; None lets us choose, the name after the cluster's.

    `volumes` are mappings as for nodes, without filters. With `enforce_port_match` it listens in
    its container where it is published on the host, so that images have one name everywhere.
    `allows_delete`: images can be deleted from it.
    """

    name: str | None = None
    exposure: Exposure = Exposure()
    image: str | None = None
    proxy: RegistryProxy | None = None
    volumes: tuple[str, ...] = ()
    enforce_port_match: bool = False
    allows_delete: bool = False


class Datastore(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A datastore outside the cluster, in k3s's words; the files are the client's, PEM.

    `endpoint` may hold a password, so it is never shown.
    """

    endpoint: str
    cafile: str | None = None
    certfile: str | None = None
    keyfile: str | None = None

    def __repr__(self) -> str:
        return "Datastore(***)"


class ClusterSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A cluster as asked for, defaults included.

    `timeout` and `ttl`, its time before a prune deletes it, in seconds, None: no limit; memory in
    bytes a node, 0: no limit. `registry` is made, `registries` are there; `registry_config`
    is the text of a registries.yaml.
    """

    name: str = DEFAULT_NAME
    servers: int = 1
    agents: int = 0
    image: str = K3S
    network: str | None = None
    subnet: str | None = None
    token: str | None = None
    api_port: ApiPort = ApiPort()
    datastore: Datastore | None = None
    loadbalancer: bool = True
    rollback: bool = True
    wait: WaitLevel = WaitLevel.NODES
    join: JoinOrder = JoinOrder.PIPELINED
    timeout: float | None = DEFAULT_TIMEOUT
    ttl: float | None = None
    kubeconfig_update_default: bool = True
    kubeconfig_switch_context: bool = True
    image_volume: bool = True
    external_image_volume: str | None = None
    host_pid_mode: bool = False
    servers_memory: int = 0
    agents_memory: int = 0
    gpus: GpuRequest | None = None
    balancer: BalancerSettings = BalancerSettings()
    env: tuple[Filtered, ...] = ()
    ports: tuple[Filtered, ...] = ()
    volumes: tuple[Filtered, ...] = ()
    k3s_args: tuple[Filtered, ...] = ()
    node_labels: tuple[Filtered, ...] = ()
    runtime_labels: tuple[Filtered, ...] = ()
    ulimits: tuple[Ulimit, ...] = ()
    host_aliases: tuple[HostAlias, ...] = ()
    registry: RegistrySpec | None = None
    registries: tuple[RegistryReference, ...] = ()
    registry_config: str = ""
    files: tuple[NodeFile, ...] = ()

    def __repr__(self) -> str:
        return f"ClusterSpec({self.name!r}, servers={self.servers}, agents={self.agents})"


_IMAGE = (
    r"(?:(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::\d+)?/)?"
    r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*)*"
    r"(?::\w[\w.-]{0,127})?(?:@[A-Za-z][\w+.-]*:[0-9a-fA-F]{32,})?"
)
"""The grammar of image references, as in distribution's `reference` package. Compiled when it is
used: that takes 2 ms, which `--help` need not pay."""
_ENGINE_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]*"
"""The engine's own rule for names."""
_OWN_NETWORKS = {
    "none": "nodes could not reach each other",
    "bridge": "the engine's default network gives no fixed addresses and resolves no names",
}


def check(spec: ClusterSpec) -> ClusterSpec:
    """Return *spec*, without a load balancer where there can be none, if it can be built.

    Raises SpecError if it cannot, naming the field.
    """
    check_name(spec.name)
    if spec.servers < 1:
        raise InvalidCount(f"--servers is {spec.servers}, but a cluster needs at least 1")
    if spec.agents < 0:
        raise InvalidCount(f"--agents is {spec.agents}, expected 0 or more")
    if spec.servers + spec.agents > MAX_NODES:
        raise InvalidCount(f"{spec.servers + spec.agents} nodes are too many, at most {MAX_NODES}")
    if not is_channel(spec.image):
        check_image(spec.image, "--image")
    if spec.external_image_volume is not None:
        if not spec.image_volume:
            raise ConflictingFlags("--image-vol cannot be used with --no-image-volume")
        if not re.fullmatch(_ENGINE_NAME, spec.external_image_volume):
            raise SpecError(f"--image-vol {spec.external_image_volume!r} is not a volume's name")
    if spec.network in _OWN_NETWORKS:
        raise InvalidNetwork(
            f"--network {spec.network} is not supported: {_OWN_NETWORKS[spec.network]}"
        )
    if spec.network is not None and not re.fullmatch(_ENGINE_NAME, spec.network):
        raise InvalidNetwork(f"--network {spec.network!r} is not the name of a network")
    if spec.network and spec.subnet:
        raise ConflictingFlags("--subnet cannot be used with --network: that network has its own")
    for flag, size in (
        ("--servers-memory", spec.servers_memory),
        ("--agents-memory", spec.agents_memory),
    ):
        if 0 < size < LEAST_MEMORY:
            raise SpecError(f"{flag} is {size} bytes, and the engine takes no less than 6m")
    _check_grammars(spec)
    _check_api(spec.api_port)
    for file in spec.files:
        read(file.origin, parse_destination, file.destination)
    _check_registries(spec)
    if spec.datastore is not None:
        _check_datastore(spec.datastore, is_on_host=spec.network == HOST_NETWORK)
    if spec.token is not None and (not spec.token or re.search(r"\s", spec.token)):
        raise SpecError("--token must be a word without blanks")
    if spec.network == HOST_NETWORK:
        _check_on_host(spec)
        return msgspec.structs.replace(spec, loadbalancer=False)
    return spec


def check_engine_name(kind: str, name: str) -> str:
    """Return a name that the engine would take; raises SpecError if it would not."""
    if not re.fullmatch(_ENGINE_NAME, name):
        raise InvalidName(f"{kind} name {name!r} is none that the engine takes: {_ENGINE_NAME}")
    return name


def _check_on_host(spec: ClusterSpec) -> None:
    if spec.servers + spec.agents > 1:
        raise ConflictingFlags(
            f"--network host takes one server and no agents, not {spec.servers + spec.agents} "
            "nodes: they would all use the same ports"
        )
    for one in spec.ports:
        raise ConflictingFlags(
            f"{one.origin} {one} cannot be used with --network host: every port of the server is "
            "a port of the engine's host already"
        )
    if spec.registry is not None or spec.registries:
        raise ConflictingFlags(
            "registries cannot be used with --network host, to which nothing can be connected; "
            "publish one on the engine's host and name it with --registry-config"
        )


_LOOPBACK = r"(?:^[a-z+]+://|[@(,/])(localhost|127(?:\.\d+){3}|\[::1\])(?=[:)/,?]|$)"
"""Where a host stands in an endpoint: behind the scheme, a user, MySQL's `tcp(`, another one."""


def _check_datastore(store: Datastore, *, is_on_host: bool) -> None:
    """Raise SpecError if k3s could not use it; the endpoint is not quoted: it may hold a password.

    A text without a scheme k3s takes for SQLite, silently.
    """
    scheme, colon, rest = store.endpoint.partition("://")
    if not colon or not rest or not re.fullmatch(r"[a-z][a-z0-9+]*", scheme):
        expected = "https://HOST:PORT (etcd), postgres://…, mysql://… or nats://…"
        raise InvalidDatastore(f"--datastore-endpoint is not an address that k3s knows: {expected}")
    if scheme == "sqlite":
        raise InvalidDatastore(
            "--datastore-endpoint: sqlite is a file in a server, not a datastore apart"
        )
    if re.search(r"\s", store.endpoint):
        raise InvalidDatastore("--datastore-endpoint must be a word without blanks")
    if bool(store.certfile) != bool(store.keyfile):
        raise InvalidDatastore("--datastore-certfile and --datastore-keyfile belong together")
    if not is_on_host and (found := re.search(_LOOPBACK, store.endpoint)):
        raise InvalidDatastore(
            f"--datastore-endpoint names {found[1]}, which is each node itself; what runs on the "
            "engine's host is host.k3d.internal there"
        )


def check_image(image: str, origin: str) -> str:
    """Return an image's name; raises SpecError, naming the *origin*, if it is none."""
    if not re.fullmatch(_IMAGE, image, re.ASCII):
        raise InvalidImage(f"{origin} {image!r} is not an image name, expected [HOST/]NAME[:TAG]")
    return image


def _check_grammars(spec: ClusterSpec) -> None:
    asked: Sequence[tuple[Sequence[Filtered], Callable[[str], object]]] = (
        (spec.env, words.parse_variable),
        (spec.ports, ports.parse),
        (spec.volumes, volumes.parse),
        (spec.node_labels, words.parse_label),
        (spec.runtime_labels, words.parse_runtime_label),
    )
    for values, parse in asked:
        for one in values:
            read(one.origin, parse, one.value)


def _check_api(api: ApiPort) -> None:
    if api.host_ip is not None:
        try:
            ipaddress.ip_address(api.host_ip)
        except ValueError:
            raise SpecError(f"the API's host IP {api.host_ip!r} is not an address") from None


def _check_registries(spec: ClusterSpec) -> None:
    if spec.registry is not None:
        check_registry(spec.registry, "--registry-create")
    registries_yaml.check(spec.registry_config)


def check_registry(new: RegistrySpec, origin: str = "registry") -> RegistrySpec:
    """Return a registry that can be made; raises SpecError, naming the *origin*, if it cannot."""
    if new.name is not None:
        read(origin, registries.parse_name, new.name)
    if new.image is not None:
        check_image(new.image, "the registry's image")
    if new.proxy is not None:
        registries_yaml.check_remote(new.proxy.remote_url)
    for volume in new.volumes:
        read("the registry's volume", volumes.parse, volume)
    return new


GivenT = TypeVar("GivenT")
ReadT = TypeVar("ReadT")


def read(origin: str, parse: Callable[[GivenT], ReadT], given: GivenT) -> ReadT:
    """Parse what is given; the InvalidSyntax that this may raise names the *origin*."""
    try:
        return parse(given)
    except InvalidSyntax as error:
        raise error.of(origin) from None


def parse_wait(text: str) -> WaitLevel:
    """Read a level; `true` means nodes and `false` none, as k3d's flag is a boolean."""
    word = text.strip().lower()
    word = {"true": "nodes", "1": "nodes", "false": "none", "0": "none"}.get(word, word)
    try:
        return WaitLevel(word)
    except ValueError:
        levels = ", ".join(WaitLevel)
        raise InvalidWait(f"--wait={text}: expected one of {levels}, true, false") from None


def parse_api_port(text: str) -> ApiPort:
    """Read `[HOST:]PORT`; an IPv6 address stands in brackets, `random` lets us choose."""
    try:
        found = exposure.parse(text.strip())
    except InvalidSyntax as error:
        raise InvalidApiPort(error.text, error.at, error.expected, origin="--api-port") from None
    return ApiPort(found.host, found.port)


def parse_subnet(text: str) -> str | None:
    """Read a CIDR and return it without host bits; `auto` gives None: we choose."""
    if text == "auto":
        return None
    try:
        network = ipaddress.IPv4Network(text, strict=False)
    except ValueError as error:
        raise InvalidSubnet(f"--subnet {text!r} is not an IPv4 CIDR: {error}") from None
    if "/" not in text:
        raise InvalidSubnet(f"--subnet {text!r} has no prefix, expected for example {text}/24")
    if network.prefixlen > 29:
        raise InvalidSubnet(f"--subnet {text} is too small, expected a prefix of at most /29")
    refuse_special(network, "--subnet")
    return str(network)
