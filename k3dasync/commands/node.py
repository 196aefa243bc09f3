"""`node list`."""

from typing import TYPE_CHECKING

from k3dasync.commands._create_flags import RuntimeFlag
from k3dasync.commands._tables import NoHeadersFlag, OutputFlag, columns, print_list, structured

if TYPE_CHECKING:
    from k3dasync.runtime import EngineReader


def list_nodes(
    *names: str,
    output: OutputFlag = "table",
    no_headers: NoHeadersFlag = False,
    runtime: RuntimeFlag = "docker",
) -> None:
    """List nodes of all clusters, load balancers and registries among them."""
    from k3dasync.cluster import LABEL_CLUSTER, LABEL_ROLE, Role
    from k3dasync.operations import listing

    async def ask(engine: "EngineReader", how: str) -> str:
        nodes = await listing.list_nodes(engine, names)
        if how != "table":
            return structured(await listing.describe_nodes(engine, nodes), how)
        rows = [] if no_headers else [["NAME", "ROLE", "CLUSTER", "STATUS"]]
        for node in nodes:
            role = node.labels.get(LABEL_ROLE, "").replace("noRole", "")
            # k3d's own intention; its registries always have the label, and an empty cell.
            cluster = node.labels.get(LABEL_CLUSTER) or "*" * (role == Role.REGISTRY)
            rows.append([node.name, role, cluster, str(node.status)])
        return columns(rows)

    print_list(output, runtime, ask)
