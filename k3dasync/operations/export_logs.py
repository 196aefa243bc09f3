"""What a bug report needs of clusters, in one archive: concurrent, without secrets, honest."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from anyio import to_thread

from k3dasync.errors import EngineUnavailable, K3dAsyncError
from k3dasync.gather import gather
from k3dasync.journal import state_dir
from k3dasync.operations._existing import ExistingCluster
from k3dasync.operations._export_folder import Folder, pack
from k3dasync.operations._export_node import export_node
from k3dasync.operations._export_secrets import secrets_in
from k3dasync.operations._inspect import inspect_present
from k3dasync.operations.listing import describe, list_clusters
from k3dasync.operations.logs import chosen_nodes
from k3dasync.runtime import Runtime

NODES_AT_ONCE = 8
"""Nodes asked at a time: each runs some programs, which the others' answers must not wait for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which clusters (None: all) and nodes of them (none: all), and how old lines may be."""

    names: Sequence[str] | None
    nodes: Sequence[str] = ()
    since: int = 0


async def export_logs(
    wanted: Wanted, archive: Path, *, runtime: Runtime, beside: Mapping[str, str]
) -> tuple[str, ...]:
    """Write an archive and return what it lacks, a sentence each; *beside* are texts for it.

    Raises ClusterNotFound or NodeNotFound before anything is written, OutputError if that fails.
    """
    clusters = await list_clusters(runtime, wanted.names)
    chosen = {one.name: chosen_nodes(one, wanted.nodes) for one in clusters}
    with tempfile.TemporaryDirectory(prefix="k3dasync-") as place:
        folder = Folder(
            Path(place) / archive.name.removesuffix(".gz").removesuffix(".tar").removesuffix(".tgz")
        )
        everything = await gather(
            [partial(_cluster, one, chosen[one.name], wanted, runtime, folder) for one in clusters]
        )
        # What belongs to no cluster is scrubbed of all their secrets.
        top = folder.inside("", frozenset().union(*everything))
        for name, text in beside.items():
            top.write(name, text)
        top.write("problems.txt", _summary(folder))
        await to_thread.run_sync(pack, folder.path, archive)
    return tuple(folder.problems)


def _summary(folder: Folder) -> str:
    lines = [
        *(f"problem: {one}" for one in folder.problems),
        *(f"note: {one}" for one in folder.notes),
    ]
    return "\n".join(lines) or "nothing is missing"


async def _cluster(
    cluster: ExistingCluster,
    chosen: Sequence[str],
    wanted: Wanted,
    runtime: Runtime,
    folder: Folder,
) -> frozenset[str]:
    """Put a cluster into a folder and return its secrets."""
    details = await inspect_present(runtime, [one.name for one in cluster.containers])
    secrets = await secrets_in(cluster, details, runtime)
    into = folder.inside(cluster.name, secrets)
    shown = await describe(runtime, [cluster], with_token=False)
    into.write("cluster.json", json.dumps(shown, indent=2))
    _journals(cluster.name, into)

    async def export(name: str) -> None:
        node = next(one for one in cluster.containers if one.name == name)
        place = into.inside(f"nodes/{name}")
        try:
            await export_node(node, runtime=runtime, since=wanted.since, into=place)
        except EngineUnavailable:
            raise
        except K3dAsyncError as error:
            into.problems.append(f"{name}: {error}")

    await gather([partial(export, name) for name in chosen], at_once=NODES_AT_ONCE)
    return secrets


def _journals(name: str, into: Folder) -> None:
    """Copy the logs of the runs that have worked on a cluster."""
    for path in sorted((state_dir() / "runs" / name).glob("*.jsonl")):
        try:
            into.write(f"runs/{path.name}", path.read_text(errors="replace"))
        except OSError as error:
            into.problems.append(f"cannot read {path}: {error.strerror}")
