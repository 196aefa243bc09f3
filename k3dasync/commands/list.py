"""`list`, also as `cluster list`."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from k3dasync.commands._create_flags import RuntimeFlag
from k3dasync.commands._tables import NoHeadersFlag, OutputFlag, columns, print_list, structured

if TYPE_CHECKING:
    from collections.abc import Sequence

    from k3dasync.operations._existing import ExistingCluster
    from k3dasync.runtime import EngineReader


def list_clusters(
    *names: str,
    output: OutputFlag = "table",
    no_headers: NoHeadersFlag = False,
    token: Annotated[bool, Parameter(negative="", help="Show the clusters' tokens.")] = False,
    runtime: RuntimeFlag = "docker",
) -> None:
    """List clusters, whoever made them."""
    from k3dasync.operations import listing

    async def ask(engine: "EngineReader", how: str) -> str:
        clusters = await listing.list_clusters(engine, names)
        if how == "table":
            return table(clusters, no_headers=no_headers, token=token)
        found = await listing.describe(engine, clusters, with_token=token, with_helpers=bool(names))
        return structured(found, how)

    print_list(output, runtime, ask)


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
