"""kubectl where the user has none: the one in a server."""

from collections.abc import AsyncIterator, Sequence
from typing import BinaryIO

from anyio import to_thread

from k3dasync.access_errors import ProgramUnusable
from k3dasync.cluster import KUBECONFIG_PATH, Role
from k3dasync.operations._existing import existing_cluster
from k3dasync.runtime import Executed, Runtime, Status

PIECE = 64 * 2**10
"""Bytes of standard input at a time."""
_NOT_THERE = frozenset({126, 127})
"""What runtimes and shells say of a program that is not in the image."""


async def kubectl_inside(
    name: str, arguments: Sequence[str], *, stdin: BinaryIO | None, runtime: Runtime
) -> Executed:
    """Run kubectl in a server that runs, and return how it ended.

    Raises ProgramUnusable if the image has none.
    """
    cluster = await existing_cluster(runtime, name)
    servers = cluster.of_role(Role.SERVER)
    server = next(one.name for one in servers if one.status is Status.RUNNING)
    # Before the arguments, whose own --kubeconfig wins.
    command = ["kubectl", f"--kubeconfig={KUBECONFIG_PATH}", *arguments]
    done = await runtime.execute(server, command, stdin=_pieces(stdin) if stdin else None)
    if done.code in _NOT_THERE:
        raise ProgramUnusable("kubectl", f"there is none on PATH, and none in {server}")
    return done


async def _pieces(source: BinaryIO) -> AsyncIterator[bytes]:
    while piece := await to_thread.run_sync(source.read, PIECE, abandon_on_cancel=True):
        yield piece
