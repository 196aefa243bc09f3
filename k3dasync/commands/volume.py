"""`volume create`, `delete` and `list`."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from k3dasync.commands._create_flags import RuntimeFlag
from k3dasync.commands._external import LabelFlag, labels_of, remove_each
from k3dasync.commands._tables import NoHeadersFlag, OutputFlag, columns, print_list, structured

if TYPE_CHECKING:
    from k3dasync.commands._run import Session
    from k3dasync.runtime import EngineReader

_Name = Annotated[str, Parameter(help="Volumes.", negative="")]


def create_volume(name: str, /, *, label: LabelFlag = (), runtime: RuntimeFlag = "docker") -> None:
    """Create a volume that no cluster's delete takes: `--volume NAME:/path` uses it."""
    from k3dasync.commands._run import run
    from k3dasync.operations import external as operation
    from k3dasync.verbosity import inform

    asked = operation.Asked(name=name, labels=labels_of("volume", name, label))

    async def perform(session: "Session") -> bool:
        return await operation.create_volume(asked, session.backend.runtime)

    is_new = run(perform, runtime=runtime)
    inform(f"volume {name} created" if is_new else f"volume {name} is there already")


def delete_volumes(*names: _Name, runtime: RuntimeFlag = "docker") -> None:
    """Delete volumes that were created so."""
    from k3dasync.operations import external as operation

    remove_each("volume", names, operation.delete_volume, runtime=runtime)


def list_volumes(
    *,
    output: OutputFlag = "table",
    no_headers: NoHeadersFlag = False,
    runtime: RuntimeFlag = "docker",
) -> None:
    """List volumes that were created so."""
    from k3dasync.operations import external as operation

    async def ask(engine: "EngineReader", how: str) -> str:
        found = await operation.external_volumes(engine)
        if how != "table":
            return structured(
                [{"name": one.name, "labels": dict(one.labels)} for one in found], how
            )
        rows = [] if no_headers else [["NAME"]]
        return columns([*rows, *([one.name] for one in found)])

    print_list(output, runtime, ask)
