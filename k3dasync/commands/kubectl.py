"""`kubectl`: one on PATH, or else the one in a node."""

import shutil
import sys
from collections.abc import Sequence
from typing import Annotated

from cyclopts import Parameter

from k3dasync.commands._create_flags import RuntimeFlag
from k3dasync.spec import DEFAULT_NAME


def kubectl(
    name: str = DEFAULT_NAME,
    /,
    *arguments: Annotated[
        str, Parameter(name="ARGUMENTS", allow_leading_hyphen=True, help="kubectl's, behind --.")
    ],
    runtime: RuntimeFlag = "docker",
) -> int:
    """Run kubectl on a cluster, whatever the current context is; ends with its exit code.

    Where there is no kubectl on PATH, the one of the cluster's first server is run.
    """
    from k3dasync import children
    from k3dasync.commands._private import environment, usable

    config = usable(name, runtime)
    program = shutil.which("kubectl")
    if program is None:
        return _inside(name, arguments, runtime)
    with environment(name, config) as environ:
        return children.run([program, *arguments], environ)


def _inside(name: str, arguments: Sequence[str], runtime: str) -> int:
    import anyio

    from k3dasync import backend
    from k3dasync.commands._input import pieces
    from k3dasync.commands._output import Output
    from k3dasync.operations.kubectl import kubectl_inside

    streams = {1: Output(), 2: Output(sys.stderr)}

    async def take(number: int, said: bytes) -> None:
        await streams[number].write(said)

    async def perform() -> int:
        async with backend.find(runtime)() as opened:
            stdin = None if sys.stdin.isatty() else pieces()
            return await kubectl_inside(
                name, arguments, stdin=stdin, take=take, runtime=opened.runtime
            )

    return anyio.run(perform)
