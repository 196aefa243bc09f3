"""`plan create`: what a create would do."""

from typing import Annotated, Literal

from cyclopts import Parameter

from k3dasync.commands._create_flags import DEFAULT_FLAGS, CreateFlags, RuntimeFlag

Format = Literal["text", "json", "mermaid", "dot"]


def plan_create(
    name: str | None = None,
    /,
    *,
    flags: CreateFlags = DEFAULT_FLAGS,
    output: Annotated[Format, Parameter(name=["--output", "-o"], help="How to print it.")] = "text",
    runtime: RuntimeFlag = "docker",
) -> None:
    """Print the graph of tasks which create would walk now; touches nothing."""
    from k3dasync import drawing
    from k3dasync.commands._run import Session, run
    from k3dasync.operations import create as operation
    from k3dasync.streams import show

    spec = flags.asked(name)

    async def perform(session: Session) -> str:
        decision = await operation.plan(spec, backend=session.backend)
        return drawing.draw(decision.plan, output)

    show(run(perform, runtime=runtime))
