"""Removes from the engine what certain runs have made, and prints what that was.

The ids of the runs are the lines of the file that is the only argument.
"""
# ruff: noqa: INP001, T201 - a script, which prints

import sys
from pathlib import Path

import anyio

from k3dasync.cluster import LABEL_RUN
from k3dasync.docker.runtime import DockerRuntime
from k3dasync.errors import K3dAsyncError


async def remove(runs: frozenset[str]) -> list[str]:
    """Remove containers, then what they used; raises K3dAsyncError if the engine refuses."""
    removed = []
    async with DockerRuntime() as engine:
        for container in await engine.containers():
            if container.labels.get(LABEL_RUN) in runs:
                await engine.remove_container(container.name, {})
                removed.append(f"container {container.name}")
        for network in await engine.networks():
            if (run := network.labels.get(LABEL_RUN)) in runs:
                await engine.remove_network(network.name, {LABEL_RUN: run or ""})
                removed.append(f"network {network.name}")
        for volume in await engine.volumes():
            if volume.labels.get(LABEL_RUN) in runs:
                await engine.remove_volume(volume.name, {})
                removed.append(f"volume {volume.name}")
    return removed


def main() -> int:
    """Remove, and tell."""
    runs = frozenset(Path(sys.argv[1]).read_text().split())
    try:
        print(", ".join(anyio.run(remove, runs)), end="")
    except K3dAsyncError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
