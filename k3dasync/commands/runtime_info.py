"""`runtime-info`: k3d's, for bug reports."""

from k3dasync.commands._create_flags import RuntimeFlag


def runtime_info(*, runtime: RuntimeFlag = "docker") -> None:
    """Print what the engine says of itself, as YAML."""
    from k3dasync.commands._run import Session, run
    from k3dasync.commands._tables import structured
    from k3dasync.operations.engine_info import engine_info
    from k3dasync.streams import show

    async def perform(session: Session) -> dict[str, str]:
        return await engine_info(session.backend.runtime)

    show(structured(run(perform, runtime=runtime), "yaml"))
