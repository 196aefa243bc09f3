"""`rollback`."""

from k3dasync.commands._create_flags import EventsFlag, RuntimeFlag


def rollback(name: str, /, *, events: EventsFlag = None, runtime: RuntimeFlag = "docker") -> None:
    """Take back what a run that was killed, or that kept everything, has left.

    NAME: of a cluster, or of a registry that was made by itself.
    """
    from k3dasync.commands._run import Session, run
    from k3dasync.operations import rollback as operation
    from k3dasync.operations.rollback import RolledBack
    from k3dasync.spec import check_name
    from k3dasync.verbosity import inform

    check_name(name)

    async def perform(session: Session) -> tuple[RolledBack, ...]:
        return await operation.rollback(name, backend=session.backend, sinks=session.sinks)

    runs = run(
        perform,
        runtime=runtime,
        events=events,
        shows_progress=True,
        to_finish=f"k3dasync rollback {name}",
    )
    for one in runs:
        inform(f"run {one.run} of {one.kind} {one.name} rolled back")
    if not runs:
        inform(f"nothing to roll back for {name}; a complete cluster: k3dasync delete {name}")
