"""`node list`."""

from typing import TYPE_CHECKING

from k3dasync.commands._create_flags import RuntimeFlag
from k3dasync.commands._node_rows import node_table
from k3dasync.commands._tables import NoHeadersFlag, OutputFlag, print_list, structured

if TYPE_CHECKING:
    from k3dasync.runtime import EngineReader


def list_nodes(
    *names: str,
    output: OutputFlag = "table",
    no_headers: NoHeadersFlag = False,
    runtime: RuntimeFlag = "docker",
) -> None:
    """List nodes of all clusters, load balancers and registries among them."""
    from k3dasync.operations import listing

    async def ask(engine: "EngineReader", how: str) -> str:
        nodes = await listing.list_nodes(engine, names)
        if how != "table":
            return structured(await listing.describe_nodes(engine, nodes), how)
        return node_table(nodes, no_headers=no_headers)

    print_list(output, runtime, ask)
