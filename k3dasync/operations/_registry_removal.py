"""What becomes of registries when a cluster is deleted: its own, and those that it used. Pure."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from k3dasync.cluster import APP, LABEL_CLUSTER, LABEL_NETWORK, LABEL_ROLE, Role
from k3dasync.operations._existing import ExistingCluster
from k3dasync.runtime import ContainerState

_OF_THE_ENGINE = frozenset({"bridge", "host", "none"})
"""Networks that are always there: to be in one of them is no use."""


@dataclass(frozen=True, slots=True)
class Fate:
    """A registry in a deleted cluster's network, or of its own: to be removed, or disconnected."""

    registry: ContainerState
    networks: tuple[str, ...]
    users: tuple[str, ...]
    is_removed: bool

    @property
    def labels(self) -> dict[str, str]:
        """What it carries as a part of its own cluster."""
        return {**APP, LABEL_CLUSTER: self.registry.labels.get(LABEL_CLUSTER, "")}

    def told(self, cluster: str) -> str:
        """Return what who deletes a cluster would not expect, or an empty text."""
        owner = self.registry.labels.get(LABEL_CLUSTER)
        if self.is_removed and owner != cluster:
            return (
                f"registry {self.registry.name} goes too: it was made with cluster {owner}, which "
                "is deleted, and nothing else uses it"
            )
        if not self.is_removed and owner == cluster:
            networks = ", ".join(self.users)
            return f"registry {self.registry.name} stays: it is in use in network {networks}"
        return ""


def fates(
    cluster: ExistingCluster,
    clusters: Collection[ExistingCluster],
    registries: Sequence[ContainerState],
    *,
    deleted: Collection[str],
) -> Iterator[Fate]:
    """Yield what becomes of each registry that has to do with a cluster which is deleted.

    A registry goes with its own cluster; where that is used in other networks too it stays, and
    goes with the last cluster that used it. One that was made by itself always stays. *deleted*
    are the names of all clusters that go now: their networks are no use any more.
    """
    alive = [each for each in clusters if each.nodes and each.name not in deleted]
    going = {net.name for each in clusters if each.name in deleted for net in each.networks}
    own = {one.name for one in cluster.networks}
    home = own | {cluster.label(LABEL_NETWORK)}
    # An existing network can be home to several clusters, and any of them may use the registry.
    shared = home & {each.label(LABEL_NETWORK) for each in alive}
    quiet = ((home | going) - shared) | _OF_THE_ENGINE
    for registry in registries:
        owner, attached = registry.labels.get(LABEL_CLUSTER, ""), set(registry.addresses)
        is_orphan = bool(owner) and owner not in {each.name for each in alive}
        users = tuple(sorted(attached - quiet))
        leaves = tuple(sorted(attached & own))
        is_removed = is_orphan and not users
        if owner == cluster.name or (attached & home and (leaves or is_removed)):
            yield Fate(registry, leaves, users, is_removed)


def registries_of(containers: Sequence[ContainerState]) -> list[ContainerState]:
    """Return the registries of k3d's and ours among containers."""
    return [
        one
        for one in containers
        if one.labels.get("app") == APP["app"] and one.labels.get(LABEL_ROLE) == Role.REGISTRY
    ]
