"""`delete`, also as `cluster delete`."""

from typing import Annotated

from cyclopts import Parameter

from k3dasync.commands._create_flags import EventsFlag, RuntimeFlag
from k3dasync.commands._parameters import ConfigFlag
from k3dasync.invalid import ConflictingFlags
from k3dasync.spec import DEFAULT_NAME


def delete(
    *names: str,
    all: Annotated[
        bool, Parameter(name=["--all", "-a"], negative="", help="All clusters.")
    ] = False,
    config: ConfigFlag = None,
    events: EventsFlag = None,
    runtime: RuntimeFlag = "docker",
) -> None:
    """Delete clusters: nodes, network, volumes and kubeconfig entries."""
    from k3dasync.commands._run import Session, run
    from k3dasync.operations import delete as operation
    from k3dasync.spec import check_name
    from k3dasync.verbosity import inform

    if all and names:
        raise ConflictingFlags("give names or --all, not both")
    # Nodes of clusters elsewhere are listed, and deleted, by the URL of theirs.
    given = names or (_usual_name(config),)
    wanted = None if all else tuple(one if "://" in one else check_name(one) for one in given)

    async def perform(session: Session) -> operation.Deleted:
        return await operation.delete(
            wanted, backend=session.backend, sinks=session.sinks, stop=session.stop
        )

    rest = "--all" if wanted is None else " ".join(wanted)
    result = run(
        perform,
        runtime=runtime,
        events=events,
        shows_progress=True,
        to_finish=f"k3dasync delete {rest}",
    )
    for name in result.deleted:
        inform(f"cluster {name} deleted")
    for name in result.absent:
        inform(f"cluster {name}: nothing to delete")
    if not result.deleted:
        inform("no clusters found")


def _usual_name(config: str | None) -> str:
    """Return the name that is meant where none is given: the config file's, else k3d's."""
    if not config:
        return DEFAULT_NAME
    from k3dasync.commands._config_file import name_in

    return name_in(config)
