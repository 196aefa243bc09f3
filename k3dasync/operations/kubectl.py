"""kubectl where the user has none: the one in a server."""

from collections.abc import AsyncIterator, Sequence

from k3dasync.access_errors import ProgramUnusable
from k3dasync.cluster import KUBECONFIG_PATH, Role
from k3dasync.insides import Take
from k3dasync.operations._existing import existing_cluster
from k3dasync.runtime import Runtime, Status

_NOT_THERE = frozenset({126, 127})
"""What runtimes and shells say of a program that is not in the image."""


async def kubectl_inside(
    name: str,
    arguments: Sequence[str],
    *,
    stdin: AsyncIterator[bytes] | None,
    take: Take,
    runtime: Runtime,
) -> int:
    """Run kubectl in a server that runs, hand what it says to *take*, and return its exit code.

    Raises ProgramUnusable if the image has none.
    """
    cluster = await existing_cluster(runtime, name)
    servers = cluster.of_role(Role.SERVER)
    server = next(one.name for one in servers if one.status is Status.RUNNING)
    # Before the arguments, whose own --kubeconfig wins.
    command = ["kubectl", f"--kubeconfig={KUBECONFIG_PATH}", *arguments]
    done = await runtime.execute(server, command, stdin=stdin, take=take)
    if done.code in _NOT_THERE:
        raise ProgramUnusable("kubectl", f"there is none on PATH, and none in {server}")
    return done.code
