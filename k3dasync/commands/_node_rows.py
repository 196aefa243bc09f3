"""k3d's table of nodes, registries among them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from k3dasync.runtime import ContainerState


def node_table(nodes: "Sequence[ContainerState]", *, no_headers: bool) -> str:
    """Return a row for each node: name, role, cluster, status."""
    from k3dasync.cluster import LABEL_CLUSTER, LABEL_ROLE, Role
    from k3dasync.commands._tables import columns

    rows = [] if no_headers else [["NAME", "ROLE", "CLUSTER", "STATUS"]]
    for node in nodes:
        role = node.labels.get(LABEL_ROLE, "").replace("noRole", "")
        # k3d's own intention; its registries always have the label, and an empty cell.
        cluster = node.labels.get(LABEL_CLUSTER) or "*" * (role == Role.REGISTRY)
        rows.append([node.name, role, cluster, str(node.status)])
    return columns(rows)
