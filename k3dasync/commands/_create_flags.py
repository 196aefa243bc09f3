"""The flags of create, shared by everything that takes them."""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, TypeVar

from cyclopts import Parameter, Token

from k3dasync.grammar import balancer, filtered, gpus, volumes
from k3dasync.grammar.balancer import BalancerSettings
from k3dasync.grammar.filtered import Filtered
from k3dasync.grammar.words import parse_host_alias, parse_size, parse_ulimit
from k3dasync.images import K3S
from k3dasync.spec import (
    DEFAULT_NAME,
    ApiPort,
    ClusterSpec,
    check,
    parse_api_port,
    parse_duration,
    parse_subnet,
    parse_wait,
    read,
)


def _flag(*names: str, env: str, help: str) -> Parameter:
    return Parameter(name=names, help=help, env_var=env, negative="")


def _number(*names: str, env: str, help: str) -> Parameter:
    return Parameter(name=names, help=help, env_var=env, negative="", converter=_whole)


def _list(*names: str, env: str, help: str) -> Parameter:
    """Return a flag that is repeated, its values taken as they are and in their order."""
    return Parameter(
        name=names,
        help=help,
        env_var=env,  # its words, split at blanks: as k3d reads lists
        negative="",
        show_default=False,
        consume_multiple=False,
        allow_leading_hyphen=True,
    )


def _whole(_type: object, tokens: Sequence[Token]) -> int:
    """Read a whole number; cyclopts itself would round 1.5 down."""
    text = tokens[0].value
    if not re.fullmatch(r"[+-]?[0-9]{1,9}", text):
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class CreateFlags:
    """What `create` and whoever plans one can be told."""

    servers: Annotated[
        int, _number("--servers", "-s", env="K3D_SERVERS", help="Number of servers.")
    ] = 1
    agents: Annotated[
        int, _number("--agents", "-a", env="K3D_AGENTS", help="Number of agents.")
    ] = 0
    image: Annotated[str, _flag("--image", "-i", env="K3D_IMAGE", help="The k3s image.")] = K3S
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
    no_lb: Annotated[
        bool, _flag("--no-lb", env="K3D_OPTIONS_K3D_DISABLELOADBALANCER", help="No load balancer.")
    ] = False
    no_rollback: Annotated[
        bool,
        _flag(
            "--no-rollback",
            env="K3D_OPTIONS_K3D_DISABLEROLLBACK",
            help="Keep everything if the create fails.",
        ),
    ] = False
    wait: Annotated[
        str,
        _flag(
            "--wait",
            env="K3D_OPTIONS_K3D_WAIT",
            help="none, api or nodes; --wait alone and true mean nodes, false none.",
        ),
    ] = "nodes"
    timeout: Annotated[
        str,
        _flag(
            "--timeout",
            env="K3D_OPTIONS_K3D_TIMEOUT",
            help="Take everything back after that time; 0s: no limit.",
        ),
    ] = "15m"
    kubeconfig_update_default: Annotated[
        bool,
        _flag(
            "--kubeconfig-update-default",
            env="K3D_OPTIONS_KUBECONFIG_UPDATEDEFAULTKUBECONFIG",
            help="Merge into the default kubeconfig.",
        ),
    ] = True
    kubeconfig_switch_context: Annotated[
        bool,
        _flag(
            "--kubeconfig-switch-context",
            env="K3D_OPTIONS_KUBECONFIG_SWITCHCURRENTCONTEXT",
            help="Make it the current context there.",
        ),
    ] = True
    env: Annotated[
        tuple[str, ...],
        _list("--env", "-e", env="K3D_CLI_ENV", help="KEY=VALUE[@FILTER] for nodes' containers."),
    ] = ()
    port: Annotated[
        tuple[str, ...],
        _list(
            "--port",
            "-p",
            env="K3D_CLI_PORTS",
            help="[[IP:]HOST:]CONTAINER[/PROTOCOL][@FILTER] to publish.",
        ),
    ] = ()
    volume: Annotated[
        tuple[str, ...],
        _list(
            "--volume",
            "-v",
            env="K3D_CLI_VOLUMES",
            help="[SOURCE:]DESTINATION[:OPTIONS][@FILTER]; all nodes without.",
        ),
    ] = ()
    k3s_arg: Annotated[
        tuple[str, ...],
        _list("--k3s-arg", env="K3D_CLI_K3SARGS", help="ARG[@FILTER] for k3s, as it stands."),
    ] = ()
    k3s_node_label: Annotated[
        tuple[str, ...],
        _list(
            "--k3s-node-label",
            env="K3D_CLI_K3S-NODE-LABELS",
            help="KEY=VALUE[@FILTER] for Node objects.",
        ),
    ] = ()
    runtime_label: Annotated[
        tuple[str, ...],
        _list(
            "--runtime-label",
            env="K3D_CLI_RUNTIME-LABELS",
            help="KEY=VALUE[@FILTER] for containers.",
        ),
    ] = ()
    runtime_ulimit: Annotated[
        tuple[str, ...],
        _list(
            "--runtime-ulimit",
            env="K3D_CLI_RUNTIME-ULIMITS",
            help="NAME=SOFT:HARD for every container.",
        ),
    ] = ()
    host_alias: Annotated[
        tuple[str, ...],
        _list("--host-alias", env="K3D_HOSTALIASES", help="IP:NAME[,NAME] for nodes and pods."),
    ] = ()
    lb_config_override: Annotated[
        tuple[str, ...],
        _list(
            "--lb-config-override",
            env="K3D_OPTIONS_K3D_LOADBALANCER_CONFIGOVERRIDES",
            help="settings.workerConnections=N or settings.defaultProxyTimeout=SECONDS.",
        ),
    ] = ()
    host_pid_mode: Annotated[
        bool,
        _flag(
            "--host-pid-mode",
            env="K3D_OPTIONS_RUNTIME_HOSTPIDMODE",
            help="Servers and agents see the host's processes.",
        ),
    ] = False
    servers_memory: Annotated[
        str,
        _flag(
            "--servers-memory",
            env="K3D_OPTIONS_RUNTIME_SERVERSMEMORY",
            help="Memory of each server, such as 2g.",
        ),
    ] = ""
    agents_memory: Annotated[
        str,
        _flag(
            "--agents-memory",
            env="K3D_OPTIONS_RUNTIME_AGENTSMEMORY",
            help="Memory of each agent, such as 512m.",
        ),
    ] = ""
    gpus: Annotated[
        str,
        _flag(
            "--gpus",
            env="K3D_OPTIONS_RUNTIME_GPUREQUEST",
            help="GPUs of each server and agent: all, a number, or as for docker.",
        ),
    ] = ""
    image_vol: Annotated[
        str,
        _flag("--image-vol", env="K3D_IMAGE_VOL", help="Use this volume for images; it stays."),
    ] = ""
    no_image_volume: Annotated[
        bool,
        _flag(
            "--no-image-volume",
            env="K3D_OPTIONS_K3D_DISABLEIMAGEVOLUME",
            help="No volume for imported images.",
        ),
    ] = False

    def spec(self, name: str | None) -> ClusterSpec:
        """Return what is asked for; raises SpecError if it cannot be understood or built.

        Of network, subnet, token and API port an empty text counts as not given: so does k3d's,
        and scripts pass variables that may be empty.
        """
        return check(
            ClusterSpec(
                name=DEFAULT_NAME if name is None else name,
                servers=self.servers,
                agents=self.agents,
                image=self.image,
                network=self.network or None,
                subnet=parse_subnet(self.subnet) if self.subnet else None,
                token=self.token or None,
                api_port=parse_api_port(self.api_port) if self.api_port else ApiPort(),
                loadbalancer=not self.no_lb,
                rollback=not self.no_rollback,
                wait=parse_wait(self.wait),
                timeout=parse_duration(self.timeout),
                kubeconfig_update_default=self.kubeconfig_update_default,
                kubeconfig_switch_context=self.kubeconfig_switch_context,
                image_volume=not self.no_image_volume,
                external_image_volume=self.image_vol or None,
                host_pid_mode=self.host_pid_mode,
                servers_memory=_size("--servers-memory", self.servers_memory),
                agents_memory=_size("--agents-memory", self.agents_memory),
                balancer=_balancer(self.lb_config_override),
                gpus=read("--gpus", gpus.parse, self.gpus) if self.gpus else None,
                env=_filtered("--env", self.env),
                ports=_filtered("--port", self.port),
                volumes=tuple(map(_from_here, _filtered("--volume", self.volume))),
                k3s_args=_filtered("--k3s-arg", self.k3s_arg),
                node_labels=_filtered("--k3s-node-label", self.k3s_node_label),
                runtime_labels=_filtered("--runtime-label", self.runtime_label),
                ulimits=_each("--runtime-ulimit", parse_ulimit, self.runtime_ulimit),
                host_aliases=_each("--host-alias", parse_host_alias, self.host_alias),
            )
        )


def _filtered(flag: str, texts: Sequence[str]) -> tuple[Filtered, ...]:
    return _each(flag, filtered.parse, texts)


def _from_here(one: Filtered) -> Filtered:
    """Return a volume whose source, if that is a path from here, is a path from the root.

    The engine knows no other ones; docker's own command does the same.
    """
    mapping = read("--volume", volumes.parse, one.value)
    if not re.match(r"(\.{1,2}|~)(/|$)", mapping.source):
        return one
    source = str(Path(os.path.abspath(Path(mapping.source).expanduser())))  # noqa: PTH100 - no links
    return Filtered(str(replace(mapping, source=source)), one.filters)


def _balancer(texts: Sequence[str]) -> BalancerSettings:
    # Of this list k3d splits each value at commas, too.
    words = [word for text in texts for word in text.split(",") if word]
    return read("--lb-config-override", balancer.parse, words)


def _size(flag: str, text: str) -> int:
    return read(flag, parse_size, text) if text else 0


ValueT = TypeVar("ValueT")


def _each(flag: str, parse: Callable[[str], ValueT], texts: Sequence[str]) -> tuple[ValueT, ...]:
    return tuple(read(flag, parse, text) for text in texts)


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
