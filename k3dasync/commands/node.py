"""`node list`, `create`, `delete`, `start` and `stop`."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from k3dasync.commands._clusters import TimeoutFlag, limit
from k3dasync.commands._create_flags import EventsFlag, RuntimeFlag
from k3dasync.commands._node_flags import DEFAULT_FLAGS, NodeFlags, WaitNodesFlag, waits
from k3dasync.commands._node_rows import node_table
from k3dasync.commands._tables import NoHeadersFlag, OutputFlag, print_list, structured
from k3dasync.invalid import ConflictingFlags, MissingValue

if TYPE_CHECKING:
    from k3dasync.commands._run import Session
    from k3dasync.operations._several import Ends
    from k3dasync.runtime import EngineReader

NodeNames = Annotated[str, Parameter(help="Nodes; k3d- may be left out.", negative="")]
AllNodesFlag = Annotated[
    bool, Parameter(name=["--all", "-a"], negative="", help="Those of all clusters.")
]


def list_nodes(
    *names: str,
    output: OutputFlag = "table",
    no_headers: NoHeadersFlag = False,
    runtime: RuntimeFlag = "docker",
) -> None:
    """List nodes of all clusters, load balancers and registries among them."""
    from k3dasync.operations import listing

    async def ask(engine: "EngineReader", how: str) -> str:
        nodes = await listing.list_nodes(engine, names)
        if how != "table":
            return structured(await listing.describe_nodes(engine, nodes), how)
        return node_table(nodes, no_headers=no_headers)

    print_list(output, runtime, ask)


def create(
    name: str,
    /,
    flags: NodeFlags = DEFAULT_FLAGS,
    *,
    events: EventsFlag = None,
    runtime: RuntimeFlag = "docker",
) -> None:
    """Add nodes to a cluster: k3d-NAME-0, k3d-NAME-1 and so on, all of them or none."""
    from k3dasync.commands._run import run
    from k3dasync.operations.node_create import GrowOptions, create_nodes
    from k3dasync.operations.node_elsewhere import create_elsewhere
    from k3dasync.verbosity import inform

    names, spec = flags.names(name), flags.spec()
    options = GrowOptions(waits=flags.waits, seconds=flags.seconds)

    add = create_elsewhere if flags.is_remote else create_nodes

    async def perform(session: "Session") -> object:
        return await add(
            flags.cluster,
            names,
            spec,
            options,
            backend=session.backend,
            sinks=session.sinks,
            stop=session.stop,
        )

    run(
        perform,
        runtime=runtime,
        events=events,
        shows_progress=True,
        to_finish=f"k3dasync rollback {flags.cluster}",
    )
    for one in names:
        inform(f"node {one} created")


def delete(
    *names: NodeNames,
    all: AllNodesFlag = False,
    registries: Annotated[
        bool,
        Parameter(name=["--registries", "-r"], negative="", help="With --all, registries too."),
    ] = False,
    force: Annotated[
        bool,
        Parameter(
            name="--force", negative="", help="Although the cluster may not live on without them."
        ),
    ] = False,
    events: EventsFlag = None,
    runtime: RuntimeFlag = "docker",
) -> None:
    """Delete nodes: drained, out of etcd and the load balancer, and forgotten by their cluster."""
    from k3dasync.commands._run import run
    from k3dasync.operations import node_delete as operation
    from k3dasync.verbosity import inform

    _refuse_no_names(names, is_all=all)
    if registries and not all:
        raise ConflictingFlags("--registries is for --all; name a registry to delete one")

    async def perform(session: "Session") -> operation.NodesDeleted:
        backend, sinks, wish = session.backend, session.sinks, session.stop
        if all:
            return await operation.delete_all_nodes(
                registries=registries, backend=backend, sinks=sinks, stop=wish
            )
        return await operation.delete_nodes(
            names, forced=force, backend=backend, sinks=sinks, stop=wish
        )

    done = run(perform, runtime=runtime, events=events, shows_progress=True)
    for one in done.deleted:
        inform(f"node {one} deleted")
    for one in done.absent:
        inform(f"node {one}: nothing to delete")
    if not (done.deleted or done.absent):
        inform("no nodes found")


def start(
    *names: NodeNames,
    wait: WaitNodesFlag = None,
    timeout: TimeoutFlag = None,
    events: EventsFlag = None,
    runtime: RuntimeFlag = "docker",
) -> None:
    """Start nodes, and wait until each is Ready."""
    from k3dasync.commands._run import run
    from k3dasync.operations.node_run import NodeOptions, start_nodes
    from k3dasync.verbosity import inform

    _refuse_no_names(names)
    options = NodeOptions(waits=waits(wait), seconds=limit(timeout))

    async def perform(session: "Session") -> "Ends":
        return await start_nodes(
            names, options, backend=session.backend, sinks=session.sinks, stop=session.stop
        )

    for one in run(perform, runtime=runtime, events=events, shows_progress=True).done:
        inform(f"node {one} started")


def stop(
    *names: NodeNames,
    timeout: TimeoutFlag = None,
    events: EventsFlag = None,
    runtime: RuntimeFlag = "docker",
) -> None:
    """Stop nodes; a server is drained before."""
    from k3dasync.commands._run import run
    from k3dasync.operations.node_run import stop_nodes
    from k3dasync.verbosity import inform

    _refuse_no_names(names)
    seconds = limit(timeout)

    async def perform(session: "Session") -> "Ends":
        return await stop_nodes(
            names,
            backend=session.backend,
            seconds=seconds,
            sinks=session.sinks,
            stop=session.stop,
        )

    ends = run(perform, runtime=runtime, events=events, shows_progress=True)
    for one in ends.done:
        inform(f"node {one} stopped")
    for one in ends.absent:
        inform(f"node {one}: does not run")


def _refuse_no_names(names: tuple[str, ...], *, is_all: bool = False) -> None:
    if is_all and names:
        raise ConflictingFlags("give names or --all, not both")
    if not all(name.strip() for name in names):
        raise MissingValue("one of the nodes' names is empty; see: k3dasync node list")
    if not names and not is_all:
        raise MissingValue("give at least one node's name; see: k3dasync node list")
