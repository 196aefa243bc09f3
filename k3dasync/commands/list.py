"""`list`, also as `cluster list`."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from k3dasync.commands._create_flags import RuntimeFlag
from k3dasync.commands._tables import NoHeadersFlag, OutputFlag, columns, form_of, structured

if TYPE_CHECKING:
    from collections.abc import Sequence

    from k3dasync.operations._existing import ExistingCluster


def list_clusters(
    *names: str,
    output: OutputFlag = "table",
    no_headers: NoHeadersFlag = False,
    token: Annotated[bool, Parameter(negative="", help="Show the clusters' secrets.")] = False,
    runtime: RuntimeFlag = "docker",
) -> None:
    """List clusters, whoever made them."""
    import anyio

    from k3dasync import backend
    from k3dasync.operations import listing
    from k3dasync.streams import show

    how = form_of(output)

    async def perform() -> str:
        async with backend.reading(runtime) as engine:
            clusters = await listing.list_clusters(engine, names)
            if how == "table":
                return table(clusters, no_headers=no_headers, token=token)
            return structured(await listing.describe(engine, clusters, with_token=token), how)

    text = anyio.run(perform)
    if text:
        show(text)


def table(clusters: "Sequence[ExistingCluster]", *, no_headers: bool, token: bool) -> str:
    """Return k3d's table of clusters: how many of each role run, of how many."""
    from k3dasync.cluster import Role

    rows = [] if no_headers else [["NAME", "SERVERS", "AGENTS", "LOADBALANCER"]]
    if rows and token:
        rows[0].append("TOKEN")
    for cluster in clusters:
        counts = [
            f"{cluster.running(role)}/{len(cluster.of_role(role))}"
            for role in (Role.SERVER, Role.AGENT)
        ]
        row = [cluster.name, *counts, "true" if cluster.has_loadbalancer else "false"]
        rows.append([*row, cluster.token] if token else row)
    return columns(rows)
