"""Ports of a cluster that is there, added and deleted: what its load balancer has then. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from k3dasync.cluster import API_PORT, ProxiedPort
from k3dasync.errors import InvalidPort
from k3dasync.grammar import ports
from k3dasync.grammar.filtered import Filtered
from k3dasync.grammar.filters import Members, Suffix
from k3dasync.grammar.ports import Publication
from k3dasync.resolve._publish import publish, reached
from k3dasync.runtime import ANY_ADDRESS, PortBinding

_Compare = Callable[[Publication, PortBinding], bool]
_DIRECT = "no :direct: what a node publishes itself is fixed when it is made"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What a load balancer publishes, and to which nodes it forwards that."""

    bindings: tuple[PortBinding, ...]
    proxied: tuple[ProxiedPort, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A cluster as it is: its load balancer's ports, the API's among them, and other nodes'."""

    members: Members
    ports: Ports
    api: PortBinding | None
    others: Mapping[str, Sequence[PortBinding]]


@dataclass(slots=True)
class PortEdit:
    """Ports while they are being changed; `unchanged` says, for people, what was so already."""

    standing: Standing
    bindings: list[PortBinding] = field(default_factory=list)
    targets: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unchanged: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.bindings = list(self.standing.ports.bindings)
        self.targets = {one.key: one.nodes for one in self.standing.ports.proxied}

    @property
    def ports(self) -> Ports:
        """What the load balancer has by now."""
        proxied = tuple(_proxied(key, nodes) for key, nodes in self.targets.items())
        return Ports(bindings=tuple(self.bindings), proxied=proxied)

    # ---- deleting

    def delete(self, asked: Sequence[Filtered]) -> None:
        """Take ports away; what a mapping leaves open, address or host port, means any.

        Raises InvalidPort for the API's own port, for what a node publishes itself, and for some
        of the nodes of a port to which several host ports lead; InvalidFilter as `publish` does.
        """
        for one in asked:
            before, mapping = self._now(), ports.parse(one.value)
            for suffix, names in reached(self._by_a_way(one, _is_meant), self.standing.members):
                for each in mapping.publications():
                    if suffix is Suffix.PROXY:
                        self._delete(one, each, frozenset(names))
                    else:
                        self._refuse_direct(one, each, names)
            if before == self._now():
                self.unchanged.append(f"{_text(one)} is not published")

    def _by_a_way(self, one: Filtered, is_there: _Compare) -> Filtered:
        """Return a mapping whose filters without a suffix mean the load balancer.

        A node's name alone means the node itself where that publishes the port; else it cannot.
        """
        each = tuple(ports.parse(one.value).publications())
        for suffix, names in reached(one, self.standing.members):
            own = [other for name in names for other in self.standing.others.get(name, ())]
            if suffix is Suffix.DIRECT and any(is_there(a, b) for a in each for b in own):
                return one
        filters = (replace(one, suffix=one.suffix or Suffix.PROXY) for one in one.filters)
        return replace(one, filters=tuple(filters))

    def _now(self) -> tuple[list[PortBinding], dict[str, tuple[str, ...]]]:
        return list(self.bindings), dict(self.targets)

    def _delete(self, one: Filtered, each: Publication, names: frozenset[str]) -> None:
        key = f"{each.container}.{each.protocol}"
        found = [binding for binding in self.bindings if _is_meant(each, binding)]
        targets = self._living(key)
        if not found or (targets and not targets & names):
            return
        if self.standing.api in found:
            expected = "another port: the API is published there"
            raise InvalidPort(_text(one), 0, expected, origin=one.origin)
        rest = [
            binding
            for binding in self.bindings
            if _key(binding) == key and binding not in (*found, self.standing.api)
        ]
        if targets <= names:
            self.bindings = [binding for binding in self.bindings if binding not in found]
            if not rest:
                self.targets.pop(key, None)
        elif rest:
            expected = f"no filter: host port {rest[0].host_ports} leads to the same nodes"
            raise InvalidPort(_text(one), len(one.value), expected, origin=one.origin)
        else:
            self.targets[key] = tuple(name for name in self.targets[key] if name not in names)

    def _living(self, key: str) -> frozenset[str]:
        return frozenset(self.targets.get(key, ())) & frozenset(self.standing.members.all)

    def _refuse_direct(self, one: Filtered, each: Publication, names: Sequence[str]) -> None:
        others = self.standing.others
        if any(_is_meant(each, binding) for name in names for binding in others.get(name, ())):
            raise InvalidPort(_text(one), len(one.value), _DIRECT, origin=one.origin)

    # ---- adding

    def add(self, asked: Sequence[Filtered], *, keeps_targets: bool = False) -> None:
        """Add ports as a create does.

        With *keeps_targets* a port that is forwarded already, and is named without a filter, is
        forwarded to the same nodes as before.

        Raises InvalidPort for a host port that leads elsewhere already and for a port that is to
        be published by a node itself; InvalidFilter and InvalidPort as `publish` does.
        """
        for one in asked:
            meant = self._by_a_way(one, _is_published)
            before, published = self._now(), publish([meant], self.standing.members)
            for name, binding in published.bindings:
                self._bind(one, name, binding)
            for port in published.ports:
                if not (keeps_targets and not one.filters and port.key in self.targets):
                    old = self.targets.get(port.key, ())
                    self.targets[port.key] = tuple(dict.fromkeys((*old, *port.nodes)))
            if before == self._now():
                self.unchanged.append(f"{_text(one)} is published already")

    def _bind(self, one: Filtered, name: str, binding: PortBinding) -> None:
        if name != self.standing.members.loadbalancer:
            if not any(_is_same(binding, other) for other in self.standing.others.get(name, ())):
                raise InvalidPort(_text(one), len(one.value), _DIRECT, origin=one.origin)
            return
        if any(_is_same(binding, other) for other in self.bindings):
            return
        elsewhere = (other for some in self.standing.others.values() for other in some)
        for other in (*self.bindings, *elsewhere):
            if _collide(binding, other):
                expected = f"another host port: {_where(other)} leads to port {other.port} already"
                raise InvalidPort(_text(one), 0, expected, origin=one.origin)
        self.bindings.append(binding)


def _proxied(key: str, nodes: tuple[str, ...]) -> ProxiedPort:
    port, _, protocol = key.partition(".")
    return ProxiedPort(port=int(port), protocol=protocol, nodes=nodes)


def _key(binding: PortBinding) -> str:
    return f"{binding.port.partition('/')[0]}.{binding.protocol}"


def _is_meant(each: Publication, binding: PortBinding) -> bool:
    """Say whether a mapping to be deleted means a binding: what it leaves open means any."""
    if _key(binding) != f"{each.container}.{each.protocol}":
        return False
    host = each.host
    if host is not None and (host.first, host.last) != (
        binding.host_port,
        binding.last_host_port or binding.host_port,
    ):
        return False
    return not each.host_ip or _address(each.host_ip) == _address(binding.host_ip)


def _is_published(each: Publication, binding: PortBinding) -> bool:
    """Say whether a mapping to be added is there already."""
    return _is_meant(each, binding) and (each.host is None) == (not binding.host_port)


def _is_same(one: PortBinding, other: PortBinding) -> bool:
    return _place(one) == _place(other)


def _place(one: PortBinding) -> tuple[str, str, int, int]:
    return _key(one), _address(one.host_ip), one.host_port, one.last_host_port


def _address(host_ip: str) -> str:
    return "" if host_ip in ANY_ADDRESS else host_ip


def _is_single(one: PortBinding) -> bool:
    return bool(one.host_port) and not one.last_host_port


def _collide(one: PortBinding, other: PortBinding) -> bool:
    """Say whether the engine could not bind both; of a range it takes another one."""
    return (
        _is_single(one)
        and _is_single(other)
        and (one.host_port, one.protocol) == (other.host_port, other.protocol)
        and one.shares_address(other)
    )


def _text(one: Filtered) -> str:
    """Return a mapping as it was typed."""
    filters = ";".join(each.text or str(each) for each in one.filters)
    return f"{one.value}@{filters}" if filters else one.value


def _where(one: PortBinding) -> str:
    return f"{one.host_ip}:{one.host_ports}" if one.host_ip else one.host_ports


def claims(after: Sequence[PortBinding], before: Sequence[PortBinding]) -> list[PortBinding]:
    """Return the host ports that are wanted and were not held before."""
    return [one for one in after if not any(_collide(one, other) for other in before)]


def api_binding(bindings: Sequence[PortBinding], host_port: int) -> PortBinding | None:
    """Return the one by which the API is published at that host port."""
    found = (one for one in bindings if _key(one) == f"{API_PORT}.tcp")
    return next((one for one in found if one.host_port == host_port), None)
