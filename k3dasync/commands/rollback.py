"""`rollback`."""

from k3dasync.commands._create_flags import EventsFlag, RuntimeFlag


def rollback(name: str, /, *, events: EventsFlag = None, runtime: RuntimeFlag = "docker") -> None:
    """Take back what a run that was killed, or that kept everything, has left."""
    from k3dasync.commands._run import Session, run
    from k3dasync.operations import rollback as operation
    from k3dasync.spec import check_name
    from k3dasync.verbosity import inform

    check_name(name)

    async def perform(session: Session) -> tuple[str, ...]:
        return await operation.rollback(name, backend=session.backend, sinks=session.sinks)

    runs = run(
        perform,
        runtime=runtime,
        events=events,
        shows_progress=True,
        to_finish=f"k3dasync rollback {name}",
    )
    for id in runs:
        inform(f"run {id} of cluster {name} rolled back")
    if not runs:
        inform(f"nothing to roll back for cluster {name}; a complete one: k3dasync delete {name}")
