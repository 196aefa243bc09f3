"""The flags of create, shared by everything that takes them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from cyclopts import Parameter
from msgspec import UNSET, UnsetType

from k3dasync.commands._datastore_flags import DatastoreFlags
from k3dasync.commands._parameters import ConfigFlag
from k3dasync.commands._parameters import duration as _duration
from k3dasync.commands._parameters import flag as _flag
from k3dasync.commands._parameters import number as _number
from k3dasync.commands._parameters import repeated as _list
from k3dasync.commands._registry_flags import RegistryFlags
from k3dasync.grammar import balancer, filtered, gpus, volumes
from k3dasync.grammar.balancer import BalancerSettings
from k3dasync.grammar.filtered import Filtered
from k3dasync.grammar.gpus import GpuRequest
from k3dasync.grammar.joins import parse_join
from k3dasync.grammar.words import parse_host_alias, parse_size, parse_ulimit
from k3dasync.images import K3S
from k3dasync.spec import (
    ClusterSpec,
    check,
    parse_api_port,
    parse_duration,
    parse_subnet,
    parse_wait,
    read,
)

ValueT = TypeVar("ValueT")
GivenT = TypeVar("GivenT")
_NOTHING_ASKED = ClusterSpec()
_NO_DATASTORE = DatastoreFlags()
_NO_REGISTRIES = RegistryFlags()


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class CreateFlags:
    """What `create` and whoever plans one can be told; None is not given."""

    config: ConfigFlag = None
    servers: Annotated[
        int | None,
        _number("--servers", "-s", env="K3D_SERVERS", help="Number of servers; 1 if not given."),
    ] = None
    agents: Annotated[
        int | None,
        _number("--agents", "-a", env="K3D_AGENTS", help="Number of agents; 0 if not given."),
    ] = None
    image: Annotated[
        str | None,
        _flag("--image", "-i", env="K3D_IMAGE", help=f"The k3s image; {K3S} if not given."),
    ] = None
    network: Annotated[
        str | None,
        _flag(
            "--network",
            env="K3D_NETWORK",
            help="Join this network, or make one of that name if there is none.",
        ),
    ] = None
    subnet: Annotated[
        str | None,
        _flag("--subnet", env="K3D_SUBNET", help="The network's range, as CIDR; auto chooses one."),
    ] = None
    token: Annotated[
        str | None,
        _flag("--token", env="K3D_TOKEN", help="The cluster's secret; a random one if not given."),
    ] = None
    api_port: Annotated[
        str | None,
        _flag(
            "--api-port",
            env="K3D_CLI_API-PORT",
            help="[HOST:]PORT of the Kubernetes API on the engine's host.",
        ),
    ] = None
    datastore: DatastoreFlags = _NO_DATASTORE
    registries: RegistryFlags = _NO_REGISTRIES
    no_lb: Annotated[
        bool | None,
        _flag("--no-lb", env="K3D_OPTIONS_K3D_DISABLELOADBALANCER", help="No load balancer."),
    ] = None
    no_rollback: Annotated[
        bool | None,
        _flag(
            "--no-rollback",
            env="K3D_OPTIONS_K3D_DISABLEROLLBACK",
            help="Keep everything if the create fails.",
        ),
    ] = None
    wait: Annotated[
        str | None,
        _flag(
            "--wait",
            env="K3D_OPTIONS_K3D_WAIT",
            help="none, api, quorum, nodes (if not given, too), all; true: nodes, false: none.",
        ),
    ] = None
    join: Annotated[
        str | None,
        _flag(
            "--join",
            env="K3DASYNC_JOIN",
            help="How servers join etcd: pipelined (if not given), or serial, as k3d does it.",
        ),
    ] = None
    timeout: Annotated[
        str | None,
        _duration(
            "--timeout",
            env="K3D_OPTIONS_K3D_TIMEOUT",
            help="Take everything back after that time; 15m if not given, 0s: no limit.",
        ),
    ] = None
    ttl: Annotated[
        str | None,
        _flag(
            "--ttl",
            env="K3DASYNC_TTL",
            help="Let k3dasync prune delete it after that time, as in 2h; 0s: never.",
        ),
    ] = None
    kubeconfig_update_default: Annotated[
        bool | None,
        _flag(
            "--kubeconfig-update-default",
            env="K3D_OPTIONS_KUBECONFIG_UPDATEDEFAULTKUBECONFIG",
            help="Merge into the default kubeconfig; =false: do not.",
        ),
    ] = None
    kubeconfig_switch_context: Annotated[
        bool | None,
        _flag(
            "--kubeconfig-switch-context",
            env="K3D_OPTIONS_KUBECONFIG_SWITCHCURRENTCONTEXT",
            help="Make it the current context there; =false: do not.",
        ),
    ] = None
    env: Annotated[
        tuple[str, ...] | None,
        _list("--env", "-e", env="K3D_CLI_ENV", help="KEY=VALUE[@FILTER] for nodes' containers."),
    ] = None
    port: Annotated[
        tuple[str, ...] | None,
        _list(
            "--port",
            "-p",
            env="K3D_CLI_PORTS",
            help="[[IP:]HOST:]CONTAINER[/PROTOCOL][@FILTER] to publish.",
        ),
    ] = None
    volume: Annotated[
        tuple[str, ...] | None,
        _list(
            "--volume",
            "-v",
            env="K3D_CLI_VOLUMES",
            help="[SOURCE:]DESTINATION[:OPTIONS][@FILTER]; all nodes without.",
        ),
    ] = None
    k3s_arg: Annotated[
        tuple[str, ...] | None,
        _list("--k3s-arg", env="K3D_CLI_K3SARGS", help="ARG[@FILTER] for k3s, as it stands."),
    ] = None
    k3s_node_label: Annotated[
        tuple[str, ...] | None,
        _list(
            "--k3s-node-label",
            env="K3D_CLI_K3S-NODE-LABELS",
            help="KEY=VALUE[@FILTER] for Node objects.",
        ),
    ] = None
    runtime_label: Annotated[
        tuple[str, ...] | None,
        _list(
            "--runtime-label",
            env="K3D_CLI_RUNTIME-LABELS",
            help="KEY=VALUE[@FILTER] for containers.",
        ),
    ] = None
    runtime_ulimit: Annotated[
        tuple[str, ...] | None,
        _list(
            "--runtime-ulimit",
            env="K3D_CLI_RUNTIME-ULIMITS",
            help="NAME=SOFT:HARD for every container.",
        ),
    ] = None
    host_alias: Annotated[
        tuple[str, ...] | None,
        _list("--host-alias", env="K3D_HOSTALIASES", help="IP:NAME[,NAME] for nodes and pods."),
    ] = None
    lb_config_override: Annotated[
        tuple[str, ...] | None,
        _list(
            "--lb-config-override",
            env="K3D_OPTIONS_K3D_LOADBALANCER_CONFIGOVERRIDES",
            help="settings.workerConnections=N or settings.defaultProxyTimeout=SECONDS.",
        ),
    ] = None
    host_pid_mode: Annotated[
        bool | None,
        _flag(
            "--host-pid-mode",
            env="K3D_OPTIONS_RUNTIME_HOSTPIDMODE",
            help="Servers and agents see the host's processes.",
        ),
    ] = None
    servers_memory: Annotated[
        str | None,
        _flag(
            "--servers-memory",
            env="K3D_OPTIONS_RUNTIME_SERVERSMEMORY",
            help="Memory of each server, such as 2g.",
        ),
    ] = None
    agents_memory: Annotated[
        str | None,
        _flag(
            "--agents-memory",
            env="K3D_OPTIONS_RUNTIME_AGENTSMEMORY",
            help="Memory of each agent, such as 512m.",
        ),
    ] = None
    gpus: Annotated[
        str | None,
        _flag(
            "--gpus",
            env="K3D_OPTIONS_RUNTIME_GPUREQUEST",
            help="GPUs of each server and agent: all, a number, or as for docker.",
        ),
    ] = None
    image_vol: Annotated[
        str | None,
        _flag("--image-vol", env="K3D_IMAGE_VOL", help="Use this volume for images; it stays."),
    ] = None
    no_image_volume: Annotated[
        bool | None,
        _flag(
            "--no-image-volume",
            env="K3D_OPTIONS_K3D_DISABLEIMAGEVOLUME",
            help="No volume for imported images.",
        ),
    ] = None

    def asked(self, name: str | None) -> ClusterSpec:
        """Return what is given here on top of what the config file says.

        Raises SpecError if it cannot be understood or built, ConfigInvalid if the file is wrong.
        """
        if not self.config:
            return self.spec(name)
        from k3dasync.commands._config_file import load

        return self.spec(name, load(self.config).spec)

    def spec(self, name: str | None, base: ClusterSpec = _NOTHING_ASKED) -> ClusterSpec:
        """Return *base*, what a config file says, with what is given here on top.

        Lists that belong to nodes get longer, everything else is replaced. Of network, subnet,
        token and API port an empty text counts as not given: so does k3d's, and scripts pass
        variables that may be empty.

        Raises SpecError if it cannot be understood or built.
        """
        changed = self._replaced(name, base) | self._added(base) | self.registries.on(base)
        return check(msgspec.structs.replace(base, **changed))

    def _replaced(self, name: str | None, base: ClusterSpec) -> dict[str, Any]:
        asked = {
            "name": _given(name),
            "servers": _given(self.servers),
            "agents": _given(self.agents),
            "image": _given(self.image),
            "network": self.network or UNSET,
            "subnet": parse_subnet(self.subnet) if self.subnet else UNSET,
            "token": self.token or UNSET,
            "api_port": parse_api_port(self.api_port) if self.api_port else UNSET,
            "datastore": self.datastore.on(base.datastore),
            "loadbalancer": _opposite(self.no_lb),
            "rollback": _opposite(self.no_rollback),
            "wait": _parsed(parse_wait, self.wait),
            "join": _parsed(parse_join, self.join),
            "timeout": _parsed(parse_duration, self.timeout),
            "ttl": _parsed(partial(parse_duration, flag="--ttl"), self.ttl),
            "kubeconfig_update_default": _given(self.kubeconfig_update_default),
            "kubeconfig_switch_context": _given(self.kubeconfig_switch_context),
            "image_volume": _opposite(self.no_image_volume),
            "external_image_volume": self.image_vol or UNSET,
            "host_pid_mode": _given(self.host_pid_mode),
            "servers_memory": _parsed(partial(_size, "--servers-memory"), self.servers_memory),
            "agents_memory": _parsed(partial(_size, "--agents-memory"), self.agents_memory),
            "balancer": _parsed(_balancer, self.lb_config_override),
            "gpus": _parsed(_gpus, self.gpus),
        }
        return {field: value for field, value in asked.items() if value is not UNSET}

    def _added(self, base: ClusterSpec) -> dict[str, tuple[Any, ...]]:
        asked = {
            "env": _filtered("--env", self.env),
            "ports": _filtered("--port", self.port),
            "volumes": map(_from_here, _filtered("--volume", self.volume)),
            "k3s_args": _filtered("--k3s-arg", self.k3s_arg),
            "node_labels": _filtered("--k3s-node-label", self.k3s_node_label),
            "runtime_labels": _filtered("--runtime-label", self.runtime_label),
            "ulimits": _each("--runtime-ulimit", parse_ulimit, self.runtime_ulimit),
            "host_aliases": _each("--host-alias", parse_host_alias, self.host_alias),
        }
        return {field: (*getattr(base, field), *values) for field, values in asked.items()}


def _given(value: ValueT | None) -> ValueT | UnsetType:
    return UNSET if value is None else value


def _opposite(value: ValueT | None) -> bool | UnsetType:
    return UNSET if value is None else not value


def _parsed(parse: Callable[[GivenT], ValueT], given: GivenT | None) -> ValueT | UnsetType:
    return UNSET if given is None else parse(given)


def _filtered(flag: str, texts: Sequence[str] | None) -> tuple[Filtered, ...]:
    return tuple(replace(one, origin=flag) for one in _each(flag, filtered.parse, texts))


def _from_here(one: Filtered) -> Filtered:
    """Return a volume whose source, if that is a path from here, is a path from the root."""
    mapping = read("--volume", volumes.parse, one.value)
    found = volumes.from_folder(mapping, str(Path.cwd()))
    return one if found is mapping else replace(one, value=str(found))


def _balancer(texts: Sequence[str]) -> BalancerSettings:
    # Of this list k3d splits each value at commas, too.
    words = [word for text in texts for word in text.split(",") if word]
    return read("--lb-config-override", balancer.parse, words)


def _size(flag: str, text: str) -> int:
    return read(flag, parse_size, text) if text else 0


def _gpus(text: str) -> GpuRequest | None:
    return read("--gpus", gpus.parse, text) if text else None


def _each(
    flag: str, parse: Callable[[str], ValueT], texts: Sequence[str] | None
) -> tuple[ValueT, ...]:
    return tuple(read(flag, parse, text) for text in texts or ())


DEFAULT_FLAGS = CreateFlags()
RuntimeFlag = Annotated[
    str,
    Parameter(name="--runtime", help="docker, fake (a rehearsal), or module:attribute."),
]
EventsFlag = Annotated[
    str | None,
    Parameter(
        name="--events",
        allow_leading_hyphen=True,  # a lone - is standard output
        help="Write events as JSON lines to PATH (replaced), - (stdout) or fd:N.",
    ),
]
