"""What is asked to be changed of a cluster, and the cluster that comes of it. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from k3dasync.cluster import API_PORT, Cluster, Node
from k3dasync.grammar import filters
from k3dasync.grammar.filtered import Filtered
from k3dasync.grammar.filters import Members
from k3dasync.grammar.words import parse_runtime_label
from k3dasync.life_errors import NotEditable
from k3dasync.resolve import PortEdit, Ports, Standing, api_binding
from k3dasync.runtime import PortBinding
from k3dasync.spec import read


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Ports, and the load balancer's variables and labels: deleted first, then added.

    *keeps_targets*: a port that is forwarded already stays with its nodes, unless a filter names
    others.
    """

    ports_added: tuple[Filtered, ...] = ()
    ports_deleted: tuple[Filtered, ...] = ()
    env_added: tuple[Filtered, ...] = ()
    env_deleted: tuple[Filtered, ...] = ()
    labels_added: tuple[Filtered, ...] = ()
    labels_deleted: tuple[Filtered, ...] = ()
    keeps_targets: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited:
    """A cluster with its load balancer as it is to be; `unchanged` says what was so already."""

    cluster: Cluster
    unchanged: tuple[str, ...]


def edited(cluster: Cluster, balancer: Node, changes: Changes) -> Edited:
    """Return the cluster after the changes, of which only its load balancer differs.

    Raises NotEditable for what is fixed in other nodes; InvalidPort, InvalidFilter for what could
    not be.
    """
    members = members_of(cluster)
    edit = PortEdit(_standing(cluster, balancer, members))
    edit.delete(changes.ports_deleted)
    edit.add(changes.ports_added, keeps_targets=changes.keeps_targets)
    unchanged = edit.unchanged
    env = tuple(_env(balancer, changes, members, unchanged))
    labels = _labels(balancer, changes, members, unchanged)
    container = replace(balancer.container, ports=edit.ports.bindings, env=env, labels=labels)
    return Edited(
        cluster=replace(
            cluster,
            proxied=edit.ports.proxied,
            nodes=tuple(
                replace(node, container=container) if node is balancer else node
                for node in cluster.nodes
            ),
        ),
        unchanged=tuple(dict.fromkeys(unchanged)),
    )


def members_of(cluster: Cluster) -> Members:
    """Return the nodes that filters choose from, as they are numbered."""
    return Members(
        servers=tuple(node.name for node in cluster.servers),
        agents=tuple(node.name for node in cluster.agents),
        loadbalancer=cluster.loadbalancer.name if cluster.loadbalancer else None,
    )


def listens(cluster: Cluster, known: Mapping[str, str] | None = None) -> frozenset[tuple[int, str]]:
    """Return port and protocol of all that its load balancer listens on.

    With *known*, addresses by node, only those ports of which it knows a node.
    """
    # nginx knows no sctp: it takes that for tcp.
    ports = {
        (one.port, "udp" if one.protocol == "udp" else "tcp")
        for one in cluster.proxied
        if known is None or any(known.get(name) for name in one.nodes)
    }
    return frozenset(ports | {(API_PORT, "tcp")})


def _standing(cluster: Cluster, balancer: Node, members: Members) -> Standing:
    bindings = balancer.container.ports
    others: dict[str, Sequence[PortBinding]] = {
        node.name: node.container.ports for node in cluster.nodes if node is not balancer
    }
    return Standing(
        members=members,
        ports=Ports(bindings=bindings, proxied=cluster.proxied),
        api=api_binding(bindings, cluster.api.port),
        others=others,
    )


def _for_balancer(asked: Sequence[Filtered], members: Members, what: str) -> Iterator[Filtered]:
    """Yield what is asked of the load balancer; raises NotEditable for any other node."""
    for one in asked:
        chosen = filters.select(one.filters, members) if one.filters else (members.loadbalancer,)
        for name in chosen:
            if name != members.loadbalancer:
                raise NotEditable(str(name), f"{what} of a node are fixed when it is made")
        yield one


def _env(balancer: Node, changes: Changes, members: Members, unchanged: list[str]) -> Iterator[str]:
    """Yield its variables: those which stay in their order, then what is new."""
    found = dict(_variable(entry) for entry in balancer.container.env)
    unchanged += [
        f"variable {one.value} is not set"
        for one in _for_balancer(changes.env_deleted, members, "variables")
        if found.pop(one.value, None) is None
    ]
    for one in _for_balancer(changes.env_added, members, "variables"):
        key, value = _variable(one.value)
        if found.get(key) == value:
            unchanged.append(f"variable {key} is set already")
        found[key] = value
    yield from found.values()


def _variable(entry: str) -> tuple[str, str]:
    """Return a variable's key, and all of it: without a value it is something else than empty."""
    return entry.partition("=")[0], entry


def _labels(
    balancer: Node, changes: Changes, members: Members, unchanged: list[str]
) -> dict[str, str]:
    found = dict(balancer.container.labels)
    for one in _for_balancer(changes.labels_deleted, members, "labels"):
        key, _ = read(one.origin, parse_runtime_label, one.value)
        if found.pop(key, None) is None:
            unchanged.append(f"label {key} is not there")
    for one in _for_balancer(changes.labels_added, members, "labels"):
        key, value = read(one.origin, parse_runtime_label, one.value)
        if found.get(key) == value:
            unchanged.append(f"label {key} is there already")
        found[key] = value
    return found
