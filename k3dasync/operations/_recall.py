"""A cluster as it was decided, read back from its containers: ours and k3d's alike. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from k3dasync.cluster import (
    API_PORT,
    LABEL_API_HOST,
    LABEL_API_IP,
    LABEL_API_PORT,
    LABEL_INIT,
    LABEL_NETWORK,
    LABEL_ROLE,
    LABEL_RUN,
    ApiChoice,
    Cluster,
    Node,
    ProxiedPort,
    Role,
)
from k3dasync.grammar.balancer import BalancerSettings
from k3dasync.operations._existing import ExistingCluster
from k3dasync.operations._secrets import DATASTORE, secrets_of
from k3dasync.runtime import ANY_ADDRESS, ContainerDetail, ContainerSpec
from k3dasync.spec import WaitLevel

Json = Mapping[str, Any]
_DATASTORE_FLAG = "--datastore-endpoint"
_ORDER = {Role.SERVER: 0, Role.AGENT: 1, Role.LOADBALANCER: 2, Role.REGISTRY: 3}


def recall(
    existing: ExistingCluster,
    details: Mapping[str, ContainerDetail],
    *,
    run: str,
    wait: WaitLevel,
    values: Json | None = None,
) -> Cluster:
    """Return the cluster whose nodes are there, as if it had just been decided.

    *values* is what its load balancer says of itself. Containers of it that are no nodes, k3d's
    tools container for one, are left out; so are files that were put into nodes.
    """
    nodes = tuple(sorted(_nodes(existing, details), key=_place))
    servers = [details[node.name] for node in nodes if node.role is Role.SERVER]
    network = existing.label(LABEL_NETWORK)
    subnets = [text for one in existing.networks if one.name == network for text in one.subnets]
    return Cluster(
        run=run,
        name=existing.name,
        wait=wait,
        network=None,
        network_name=network,
        volumes=(),
        nodes=nodes,
        api=_api(existing, nodes),
        token=existing.token,
        has_fixed_addresses=bool(servers) and all(map(_has_fixed_address, servers)),
        has_ipv6=any(":" in text for text in subnets),
        has_external_datastore=any(map(_has_datastore, servers)),
        may_have_known_nodes=True,
        secrets=secrets_of(details.values(), existing.token),
        proxied=tuple(proxied_ports(values)),
        balancer=_settings(values),
    )


def container_spec(found: ContainerDetail, network: str) -> ContainerSpec:
    """Return what a create call says to make such a container again in that network.

    Files that were put into it are not among it, nor is anything it wrote.
    """
    return ContainerSpec(
        name=found.state.name,
        image=found.state.image,
        network=network,
        address=found.fixed_addresses.get(network),
        aliases=found.aliases,
        entrypoint=found.entrypoint or None,
        command=found.command or None,
        env=found.env,
        labels=dict(found.state.labels),
        binds=found.binds,
        ports=found.bindings,
        extra_hosts=found.extra_hosts,
        init=found.init,
        host_pid_mode=found.host_pid_mode,
        ulimits=found.ulimits,
        memory=found.memory,
        gpus=found.gpus,
    )


def is_ours(node: Node) -> bool:
    """Whether we made it, not k3d: its entrypoint and its configuration are ours then."""
    return LABEL_RUN in node.container.labels


def _nodes(existing: ExistingCluster, details: Mapping[str, ContainerDetail]) -> Iterator[Node]:
    several = len(existing.of_role(Role.SERVER)) > 1
    for state in existing.containers:
        role = state.labels.get(LABEL_ROLE)
        if role not in set(Role) or state.name not in details:
            continue
        is_init = role == Role.SERVER and (not several or state.labels.get(LABEL_INIT) == "true")
        network = state.labels.get(LABEL_NETWORK) or next(iter(state.addresses), "")
        yield Node(
            name=state.name,
            role=Role(role),
            is_init=is_init,
            container=container_spec(details[state.name], network),
        )


def _place(node: Node) -> tuple[int, bool, list[str | int]]:
    """Order nodes as they were decided: the init server first, `agent-10` behind `agent-9`."""
    return _ORDER[node.role], not node.is_init, natural(node.name)


def natural(name: str) -> list[str | int]:
    """Return what sorts names with numbers in them as people count."""
    parts = re.split(r"(\d+)", name)
    return [int(part) if part.isdecimal() else part for part in parts]


def _api(existing: ExistingCluster, nodes: Sequence[Node]) -> ApiChoice:
    """Return where the API is published: what the labels say, and else the containers."""
    published = [
        binding
        for node in nodes
        for binding in node.container.ports
        if binding.port.partition("/")[0] == str(API_PORT) and binding.host_port
    ]
    host_ip = existing.label(LABEL_API_IP) or next((one.host_ip for one in published), "")
    port = existing.label(LABEL_API_PORT)
    number = int(port) if port.isdecimal() else next((one.host_port for one in published), API_PORT)
    any_address = "0.0.0.0"  # noqa: S104 - k3d's default
    host = existing.label(LABEL_API_HOST) or (any_address if host_ip in ANY_ADDRESS else host_ip)
    return ApiChoice(host=host, host_ip=host_ip, port=number)


def _has_fixed_address(found: ContainerDetail) -> bool:
    return bool(found.fixed_addresses)


def _has_datastore(found: ContainerDetail) -> bool:
    return any(entry.startswith(f"{DATASTORE}=") for entry in found.env) or any(
        word.partition("=")[0] == _DATASTORE_FLAG for word in found.command
    )


def proxied_ports(values: Json | None) -> Iterator[ProxiedPort]:
    """Yield the ports that a load balancer says it forwards, the API's left out."""
    for key, nodes in ((values or {}).get("ports") or {}).items():
        port, _, protocol = str(key).partition(".")
        if port.isdecimal() and int(port) != API_PORT:
            yield ProxiedPort(port=int(port), protocol=protocol or "tcp", nodes=tuple(nodes))


def _settings(values: Json | None) -> BalancerSettings:
    found = (values or {}).get("settings") or {}
    settings = BalancerSettings()
    if isinstance(number := found.get("workerConnections"), int):
        settings = replace(settings, worker_connections=number)
    if isinstance(seconds := found.get("defaultProxyTimeout"), int):
        settings = replace(settings, proxy_timeout=seconds)
    return settings
