"""`node list`."""

from k3dasync.commands._create_flags import RuntimeFlag
from k3dasync.commands._tables import NoHeadersFlag, OutputFlag, columns, form_of, structured


def list_nodes(
    *names: str,
    output: OutputFlag = "table",
    no_headers: NoHeadersFlag = False,
    runtime: RuntimeFlag = "docker",
) -> None:
    """List nodes of all clusters, load balancers and registries among them."""
    import anyio

    from k3dasync import backend
    from k3dasync.cluster import LABEL_CLUSTER, LABEL_ROLE
    from k3dasync.operations import listing
    from k3dasync.streams import show

    how = form_of(output)

    async def perform() -> str:
        async with backend.reading(runtime) as engine:
            nodes = await listing.list_nodes(engine, names)
            if how != "table":
                return structured(await listing.describe_nodes(engine, nodes), how)
        rows = [] if no_headers else [["NAME", "ROLE", "CLUSTER", "STATUS"]]
        for node in nodes:
            role = node.labels.get(LABEL_ROLE, "").replace("noRole", "")
            rows.append([node.name, role, node.labels.get(LABEL_CLUSTER, ""), str(node.status)])
        return columns(rows)

    text = anyio.run(perform)
    if text:
        show(text)
