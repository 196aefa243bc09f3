"""Prints the Nodes of a cluster, where kubectl is missing: `dev/nodes.py KUBECONFIG`.

Asks the API that the kubeconfig names, with the certificate in it.
"""
# ruff: noqa: INP001, T201 - a script, which prints

import sys
from pathlib import Path
from urllib.parse import urlsplit

import anyio

from k3dasync import kubeconfig
from k3dasync.errors import K3dAsyncError
from k3dasync.kubernetes import Nodes, NodeStatus, credentials_of
from k3dasync.kubernetes_http import connect

SECONDS = 30.0
"""An API that is there answers in a hundredth of a second."""


def _status(node: NodeStatus) -> str:
    return "Ready" if node.is_ready else f"NotReady ({node.reason or 'no condition yet'})"


async def nodes_of(config: kubeconfig.Config) -> Nodes:
    """Return the Nodes as the API lists them now; raises K3dAsyncError if it cannot be asked."""
    server = urlsplit(config["clusters"][0]["cluster"]["server"])
    async with connect(server.hostname or "", server.port or 443, credentials_of(config)) as api:
        with anyio.fail_after(SECONDS):
            async with api.nodes() as snapshots:
                return await anext(snapshots)


def main() -> int:
    """Print one line a node."""
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        nodes = anyio.run(nodes_of, kubeconfig.load(Path(sys.argv[1])))
    except (K3dAsyncError, TimeoutError, LookupError) as error:
        print(f"error: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print(f"{'NAME':<28} STATUS")
    for name, node in sorted(nodes.items()):
        print(f"{name:<28} {_status(node)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
