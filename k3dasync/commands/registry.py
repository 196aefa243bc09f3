"""`registry create`, `delete`, `list`, `start`, `stop`, `connect` and `disconnect`."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from k3dasync.commands._create_flags import EventsFlag, RuntimeFlag
from k3dasync.commands._new_registry import DEFAULT_FLAGS, NewRegistryFlags
from k3dasync.commands._node_rows import node_table
from k3dasync.commands._tables import NoHeadersFlag, OutputFlag, print_list, structured
from k3dasync.grammar.names import PREFIX
from k3dasync.invalid import ConflictingFlags, MissingValue

if TYPE_CHECKING:
    from k3dasync.cluster import Registry
    from k3dasync.commands._run import Session
    from k3dasync.operations._several import Ends
    from k3dasync.operations.registry_connect import Connected
    from k3dasync.operations.registry_create import LoneRegistry
    from k3dasync.runtime import EngineReader

_Names = Annotated[str, Parameter(help="Registries; k3d- may be left out.", negative="")]
_Clusters = Annotated[
    tuple[str, ...],
    Parameter(
        name=["--cluster", "-c"],
        negative="",
        consume_multiple=False,
        help="Clusters; repeat it for several.",
    ),
]


def create(
    name: str = "registry",
    /,
    *,
    flags: NewRegistryFlags = DEFAULT_FLAGS,
    events: EventsFlag = None,
    runtime: RuntimeFlag = "docker",
) -> None:
    """Create a registry by itself, and wait until it answers."""
    from k3dasync.operations.registry_create import LoneRegistry
    from k3dasync.spec import check_name

    clusters = tuple(dict.fromkeys(map(check_name, flags.cluster)))
    whole = f"{PREFIX}{name}"
    asked = LoneRegistry(name=whole, spec=flags.spec(whole), network=flags.default_network)
    _create(asked, clusters, no_help=flags.no_help, events=events, runtime=runtime)


def _create(
    asked: "LoneRegistry",
    clusters: tuple[str, ...],
    *,
    no_help: bool,
    events: str | None,
    runtime: str,
) -> None:
    from k3dasync.commands._run import run
    from k3dasync.operations import registry_connect, registry_create
    from k3dasync.streams import show
    from k3dasync.verbosity import inform

    async def perform(session: "Session") -> "Registry":
        await registry_connect.refuse_unknown(clusters, session.backend.runtime)
        return await registry_create.create(
            asked, backend=session.backend, sinks=session.sinks, stop=session.stop
        )

    made = run(
        perform,
        runtime=runtime,
        events=events,
        shows_progress=True,
        to_finish=f"k3dasync rollback {asked.name}",
    )
    inform(f"registry {made.name} created: {made.published}")
    if clusters:
        connect(asked.name, cluster=clusters, runtime=runtime)
    if not no_help and runtime != "fake":
        show(how_to(made, is_used=bool(clusters)))


def how_to(made: "Registry", *, is_used: bool) -> str:
    """Return how to use a registry: make a cluster with it, push an image, run it."""
    lines = (
        []
        if is_used
        else [
            "# a cluster that uses it; or, for one that runs:",
            f"#   k3dasync registry connect {made.name} -c CLUSTER",
            f"k3dasync create --registry-use {made.name}",
            "",
        ]
    )
    inside = f"{made.name}:{made.port}"
    if made.remote:
        lines += ["# it hands on the images of", f"#   {made.remote}", "# under their own names"]
    else:
        lines += [
            "# push an image",
            f"docker tag nginx:latest {made.published}/nginx:mine",
            f"docker push {made.published}/nginx:mine",
            "",
            "# run it",
            f"kubectl run mine --image {inside}/nginx:mine",
        ]
    return "\n".join(lines)


def delete(
    *names: _Names,
    all: Annotated[
        bool, Parameter(name=["--all", "-a"], negative="", help="All registries.")
    ] = False,
    keep_volume: Annotated[
        bool,
        Parameter(negative="", help="Keep what it has stored, also where that has no name."),
    ] = False,
    events: EventsFlag = None,
    runtime: RuntimeFlag = "docker",
) -> None:
    """Delete registries; volumes that have a name stay."""
    from k3dasync.commands._run import run
    from k3dasync.operations import registry_delete as operation
    from k3dasync.verbosity import inform

    wanted = _wanted(names, is_all=all)

    async def perform(session: "Session") -> operation.Deleted:
        return await operation.delete(
            wanted,
            keeps_volume=keep_volume,
            backend=session.backend,
            sinks=session.sinks,
            stop=session.stop,
        )

    ends = run(perform, runtime=runtime, events=events, shows_progress=True)
    for name in ends.deleted:
        inform(f"registry {name} deleted")
        if name in ends.kept:
            inform(f"  its content: registry create -v {ends.kept[name]}:{operation.DATA}")
    for name in ends.absent:
        inform(f"registry {name}: nothing to delete")
    if not (ends.deleted or ends.absent):
        inform("no registries found")


def list_registries(
    *names: _Names,
    output: OutputFlag = "table",
    no_headers: NoHeadersFlag = False,
    runtime: RuntimeFlag = "docker",
) -> None:
    """List registries; CLUSTER is the one that they were made with, * for none."""
    from k3dasync.operations import listing
    from k3dasync.operations._registry_look import find_registries

    async def ask(engine: "EngineReader", how: str) -> str:
        found = await find_registries(names or None, engine)
        if how != "table":
            return structured(await listing.describe_nodes(engine, found), how)
        return node_table(found, no_headers=no_headers)

    print_list(output, runtime, ask)


def start(*names: _Names, events: EventsFlag = None, runtime: RuntimeFlag = "docker") -> None:
    """Start registries, and wait until each answers."""
    from k3dasync.operations import registry_start as operation

    _each("started", names, operation.start, events=events, runtime=runtime)


def stop(*names: _Names, events: EventsFlag = None, runtime: RuntimeFlag = "docker") -> None:
    """Stop registries; nothing is lost."""
    from k3dasync.operations import registry_start as operation

    _each("stopped", names, operation.stop_registries, events=events, runtime=runtime)


def connect(
    *names: _Names,
    cluster: _Clusters = (),
    events: EventsFlag = None,
    runtime: RuntimeFlag = "docker",
) -> None:
    """Let clusters that are there use registries."""
    from k3dasync.commands._run import run
    from k3dasync.operations import registry_connect as operation

    registries, clusters = _both(names, cluster)

    async def perform(session: "Session") -> operation.Connected:
        return await operation.connect(
            registries,
            clusters,
            backend=session.backend,
            sinks=session.sinks,
            stop=session.stop,
        )

    _tell_connected(run(perform, runtime=runtime, events=events, shows_progress=True))


def disconnect(
    *names: _Names,
    cluster: _Clusters = (),
    events: EventsFlag = None,
    runtime: RuntimeFlag = "docker",
) -> None:
    """Let clusters use registries no more."""
    from k3dasync.commands._run import run
    from k3dasync.operations import registry_connect as operation
    from k3dasync.verbosity import inform

    registries, clusters = _both(names, cluster)

    async def perform(session: "Session") -> operation.Connected:
        return await operation.disconnect(
            registries,
            clusters,
            backend=session.backend,
            sinks=session.sinks,
            stop=session.stop,
        )

    done = run(perform, runtime=runtime, events=events, shows_progress=True)
    for name in done.clusters:
        inform(f"cluster {name} uses {', '.join(done.registries)} no more")
    _tell_restarts(done)


def _tell_connected(done: "Connected") -> None:
    from k3dasync.verbosity import inform

    for name in done.clusters:
        inform(f"cluster {name} uses {', '.join(done.registries)}")
    _tell_restarts(done)


def _tell_restarts(done: "Connected") -> None:
    from k3dasync.verbosity import inform

    for name in done.to_restart:
        inform(f"its k3s reads that at its start only: k3dasync restart {name}")


def _each(
    done: str, names: tuple[str, ...], operation: object, *, events: str | None, runtime: str
) -> None:
    from k3dasync.commands._run import run
    from k3dasync.verbosity import inform

    wanted = _wanted(names, is_all=False)

    async def perform(session: "Session") -> "Ends":
        ends: Ends = await operation(  # type: ignore[operator]
            wanted, backend=session.backend, sinks=session.sinks, stop=session.stop
        )
        return ends

    ends = run(perform, runtime=runtime, events=events, shows_progress=True)
    for name in ends.done:
        inform(f"registry {name} {done}")
    for name in ends.absent:
        inform(f"registry {name} does not run")


def _wanted(names: tuple[str, ...], *, is_all: bool) -> tuple[str, ...] | None:
    if is_all and names:
        raise ConflictingFlags("give names or --all, not both")
    if not is_all and not names:
        raise MissingValue("name at least one registry; see: k3dasync registry list")
    return None if is_all else tuple(dict.fromkeys(names))


def _both(names: tuple[str, ...], clusters: tuple[str, ...]) -> tuple[list[str], list[str]]:
    from k3dasync.spec import check_name

    if not names:
        raise MissingValue("name at least one registry; see: k3dasync registry list")
    if not clusters:
        raise MissingValue("name the cluster with --cluster; see: k3dasync list")
    return list(dict.fromkeys(names)), list(dict.fromkeys(map(check_name, clusters)))
