"""`scale`, also as `cluster scale`."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from k3dasync.commands._clusters import TimeoutFlag
from k3dasync.commands._create_flags import EventsFlag, RuntimeFlag
from k3dasync.commands._node_flags import WaitNodesFlag, waits
from k3dasync.commands._parameters import whole
from k3dasync.invalid import InvalidCount, MissingValue
from k3dasync.spec import (
    DEFAULT_NAME,
    DEFAULT_TIMEOUT,
    MAX_NODES,
    check_name,
    parse_duration,
)

if TYPE_CHECKING:
    from k3dasync.commands._run import Session
    from k3dasync.operations.scale import Scaled


def _number(*names: str, help: str) -> Parameter:
    return Parameter(name=names, help=help, negative="", converter=whole, allow_repeating=True)


def scale(
    name: Annotated[str, Parameter(help="The cluster; k3s-default if none is given.")] = (
        DEFAULT_NAME
    ),
    /,
    *,
    servers: Annotated[int | None, _number("--servers", "-s", help="So many servers.")] = None,
    agents: Annotated[int | None, _number("--agents", "-a", help="So many agents.")] = None,
    wait: WaitNodesFlag = None,
    timeout: TimeoutFlag = None,
    events: EventsFlag = None,
    runtime: RuntimeFlag = "docker",
) -> None:
    """Give a cluster as many nodes as are asked for."""
    from k3dasync.cluster import Role
    from k3dasync.commands._run import run
    from k3dasync.operations.node_create import GrowOptions
    from k3dasync.operations.scale import scale as operation
    from k3dasync.verbosity import inform

    check_name(name)
    wanted = {Role.SERVER: servers, Role.AGENT: agents}
    asked = {role: count for role, count in wanted.items() if count is not None}
    if not asked:
        raise MissingValue("say how many: --agents N, --servers N, or both")
    for role, count in asked.items():
        least = 1 if role is Role.SERVER else 0
        if not least <= count <= MAX_NODES:
            raise InvalidCount(f"--{role}s {count}: expected {least} to {MAX_NODES}")
    seconds = DEFAULT_TIMEOUT if timeout is None else parse_duration(timeout)
    options = GrowOptions(waits=waits(wait), seconds=seconds, operation="scale")

    async def perform(session: "Session") -> "Scaled":
        return await operation(
            name, asked, options, backend=session.backend, sinks=session.sinks, stop=session.stop
        )

    done = run(
        perform,
        runtime=runtime,
        events=events,
        shows_progress=True,
        to_finish=f"k3dasync rollback {name}",
    )
    for one in done.added:
        inform(f"node {one} created")
    for one in done.removed:
        inform(f"node {one} deleted")
    if not (done.added or done.removed):
        inform(f"cluster {name} is of that size already")
