"""`list`, also as `cluster list`."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from k3dasync.commands._create_flags import RuntimeFlag

if TYPE_CHECKING:
    from collections.abc import Sequence

    from k3dasync.operations._existing import ExistingCluster


def list_clusters(
    *names: str,
    output: Annotated[
        str, Parameter(name=["--output", "-o"], help="table, json or yaml.")
    ] = "table",
    no_headers: Annotated[bool, Parameter(negative="", help="Rows only.")] = False,
    token: Annotated[bool, Parameter(negative="", help="Show the clusters' secrets.")] = False,
    runtime: RuntimeFlag = "docker",
) -> None:
    """List clusters, whoever made them."""
    import anyio

    from k3dasync import backend
    from k3dasync.errors import SpecError
    from k3dasync.operations import listing
    from k3dasync.streams import show

    how = output.lower()
    if how not in {"table", "json", "yaml"}:
        raise SpecError(f"--output {output!r}: expected table, json or yaml")

    async def perform() -> str:
        async with backend.reading(runtime) as engine:
            clusters = await listing.list_clusters(engine, names)
            if how == "table":
                return table(clusters, no_headers=no_headers, token=token)
            return _structured(await listing.describe(engine, clusters, with_token=token), how)

    text = anyio.run(perform)
    if text:
        show(text)


def _structured(value: object, how: str) -> str:
    if how == "json":
        import json

        return json.dumps(value, separators=(",", ":"))
    import yaml

    return str(yaml.safe_dump(value, sort_keys=True)).rstrip("\n")


def table(clusters: "Sequence[ExistingCluster]", *, no_headers: bool, token: bool) -> str:
    """Return k3d's table: cells padded to the widest and three blanks more."""
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
    if not rows:
        return ""
    widths = [max(6, max(len(row[i]) for row in rows) + 3) for i in range(len(rows[0]) - 1)]
    return "\n".join(
        "".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)) + row[-1]
        for row in rows
    )
