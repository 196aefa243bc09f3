"""`shell`: the user's own, in which kubectl uses a cluster."""

from typing import Annotated

from cyclopts import Parameter

from k3dasync.commands._create_flags import RuntimeFlag
from k3dasync.spec import DEFAULT_NAME


def shell(
    name: str = DEFAULT_NAME,
    /,
    *command: Annotated[
        str, Parameter(name="COMMAND", allow_leading_hyphen=True, help="Instead of it, behind --.")
    ],
    runtime: RuntimeFlag = "docker",
) -> int:
    """Open a shell with KUBECONFIG and K3DASYNC_CLUSTER set; ends with its exit code.

    The file that KUBECONFIG names is private, and removed at the end.
    """
    from k3dasync import children
    from k3dasync.commands._private import environment, usable

    config = usable(name, runtime)
    with environment(name, config) as environ:
        return children.run(command or [children.shell()], environ)
