"""What on an engine belongs to no cluster that is there. Pure.

A cluster is there as long as one of its servers is, running or not. What is missing all of them
cannot come back: its datastore went with them. While somebody makes a cluster there is a moment
without a server too, so nothing is stray of which a part is young.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from k3dasync.cluster import APP, LABEL_CLUSTER, LABEL_EXTERNAL, LABEL_NETWORK, LABEL_ROLE, Role
from k3dasync.operations._age import has_expired
from k3dasync.runtime import ContainerState, NetworkState, VolumeState, VolumeUsage

TOOLS = "noRole"
"""What k3d labels its tools container with."""
_REMOTE = "k3d.cluster.external"
"""On nodes that k3d has let join a cluster somewhere else: `true`."""
_OF_THE_ENGINE = frozenset({"bridge", "host", "none"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Stray:
    """A thing to be removed: what it is, of which cluster it was, in bytes, if that is known."""

    kind: str
    name: str
    cluster: str
    why: str
    size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """Everything on an engine, at one moment, in seconds since 1970.

    `mounts`: the volumes of containers, by the container's name, as far as they were asked for.
    """

    now: float
    containers: Sequence[ContainerState]
    networks: Sequence[NetworkState]
    volumes: Sequence[VolumeState]
    usage: Mapping[str, VolumeUsage] = field(default_factory=dict)
    mounts: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def ours(self) -> list[ContainerState]:
        """The containers of k3d's and ours."""
        return [one for one in self.containers if APP.items() <= one.labels.items()]

    @property
    def alive(self) -> frozenset[str]:
        """The clusters that are there, and those elsewhere that nodes here are in."""
        return frozenset(
            one.labels.get(LABEL_CLUSTER, "")
            for one in self.ours
            if one.labels.get(LABEL_ROLE) == Role.SERVER or one.labels.get(_REMOTE) == "true"
        )

    @property
    def expired(self) -> list[str]:
        """The clusters whose time is over."""
        return sorted(
            {
                one.labels[LABEL_CLUSTER]
                for one in self.ours
                if one.labels.get(LABEL_CLUSTER) and has_expired(one.labels, self.now)
            }
            & self.alive
        )


def cluster_of_network(network: NetworkState) -> str:
    """Return the cluster that a network was made for, nothing if it was for none.

    k3d labels its networks without the cluster's name; those that it names itself tell it.
    """
    if not APP.items() <= network.labels.items() or LABEL_EXTERNAL in network.labels:
        return ""
    named = network.name.removeprefix("k3d-") if network.name.startswith("k3d-") else ""
    return network.labels.get(LABEL_CLUSTER) or named


def strays(stock: Stock, older_than: float) -> Iterator[Stray]:
    """Yield what is stray and older than so many seconds, by cluster: containers first."""
    for name in sorted(_gone(stock)):
        parts = list(_of(name, stock))
        if all(_is_old(created, stock.now, older_than) for created, _ in parts):
            yield from (stray for _, stray in parts)
    yield from _tools(stock, older_than)


def external(stock: Stock, older_than: float) -> Iterator[Stray]:
    """Yield the volumes and networks of no cluster that nobody uses."""
    why = "made for several clusters, used by none"
    for network in stock.networks:
        is_used = any(network.name in one.addresses for one in stock.containers)
        is_old = _is_old(network.created, stock.now, older_than)
        if LABEL_EXTERNAL in network.labels and is_old and not is_used:
            yield Stray(kind="network", name=network.name, cluster="", why=why)
    for volume in stock.volumes:
        is_used = volume.name in stock.usage and stock.usage[volume.name].users > 0
        is_old = _is_old(volume.created, stock.now, older_than)
        if LABEL_EXTERNAL in volume.labels and is_old and not is_used:
            yield _volume(volume, "", why, stock)


def _gone(stock: Stock) -> set[str]:
    """Return the clusters of which something is there, but no server."""
    labels = [one.labels for one in stock.ours]
    labels += [one.labels for one in stock.volumes if APP.items() <= one.labels.items()]
    names = {one.get(LABEL_CLUSTER, "") for one in labels}
    names |= {cluster_of_network(one) for one in stock.networks}
    return names - stock.alive - {""}


def _of(name: str, stock: Stock) -> Iterator[tuple[float, Stray]]:
    """Yield what is stray of a cluster that is gone, and when it was made."""
    containers = list(_containers(name, stock))
    going = frozenset(one.name for one in containers)
    for one in containers:
        role = one.labels.get(LABEL_ROLE, "").replace(TOOLS, "tools container") or "container"
        why = f"{role} of a cluster without a server"
        yield one.created, Stray(kind="container", name=one.name, cluster=name, why=why)
    why = "its cluster is gone"
    for network in stock.networks:
        if cluster_of_network(network) == name and not _is_used(network, stock, going):
            stray = Stray(kind="network", name=network.name, cluster=name, why=why)
            yield network.created, stray
    for volume in stock.volumes:
        if volume.labels.get(LABEL_CLUSTER) != name or LABEL_EXTERNAL in volume.labels:
            continue
        if APP.items() <= volume.labels.items() and _users(volume, stock, going) <= 0:
            yield volume.created, _volume(volume, name, why, stock)


def _containers(name: str, stock: Stock) -> Iterator[ContainerState]:
    own = {one.name for one in stock.networks if cluster_of_network(one) == name}
    for one in stock.ours:
        if one.labels.get(LABEL_CLUSTER) != name:
            continue
        is_registry = one.labels.get(LABEL_ROLE) == Role.REGISTRY
        # A registry outlives its cluster where others use it.
        if not is_registry or not set(one.addresses) - own - _OF_THE_ENGINE:
            yield one


def _is_used(network: NetworkState, stock: Stock, going: frozenset[str]) -> bool:
    """Say whether somebody needs a network: who is in it, but for registries, or goes by it."""
    for one in stock.containers:
        if one.name in going:
            continue
        is_registry = APP.items() <= one.labels.items() and (
            one.labels.get(LABEL_ROLE) == Role.REGISTRY
        )
        if network.name in one.addresses and not is_registry:
            return True
        if one.labels.get(LABEL_NETWORK) == network.name:
            return True
    return False


def _users(volume: VolumeState, stock: Stock, going: frozenset[str]) -> int:
    """Return how many containers mount a volume that do not go themselves."""
    users = stock.usage[volume.name].users if volume.name in stock.usage else 0
    return users - sum(volume.name in stock.mounts.get(name, ()) for name in going)


def _volume(volume: VolumeState, cluster: str, why: str, stock: Stock) -> Stray:
    usage = stock.usage.get(volume.name)
    size = usage.size if usage else None
    return Stray(kind="volume", name=volume.name, cluster=cluster, why=why, size=size)


def _tools(stock: Stock, older_than: float) -> Iterator[Stray]:
    """Yield k3d's tools containers of clusters that are there: it makes one when it wants one."""
    for one in stock.ours:
        cluster = one.labels.get(LABEL_CLUSTER, "")
        if one.labels.get(LABEL_ROLE) != TOOLS or cluster not in stock.alive:
            continue
        if _is_old(one.created, stock.now, older_than):
            why = "tools container that was kept"
            yield Stray(kind="container", name=one.name, cluster=cluster, why=why)


def _is_old(created: float, now: float, older_than: float) -> bool:
    """Say whether something is old enough; what does not tell its age is young."""
    return not older_than or (created > 0 and now - created >= older_than)
