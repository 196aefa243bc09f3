"""`network create`, `delete` and `list`."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from k3dasync.commands._create_flags import RuntimeFlag
from k3dasync.commands._external import LabelFlag, labels_of, remove_each
from k3dasync.commands._tables import NoHeadersFlag, OutputFlag, columns, print_list, structured

if TYPE_CHECKING:
    from k3dasync.commands._run import Session
    from k3dasync.runtime import EngineReader

_Name = Annotated[str, Parameter(help="Networks.", negative="")]


def create_network(
    name: str,
    /,
    *,
    subnet: Annotated[
        str, Parameter(help="Its IPv4 range, 172.28.0.0/16; auto: one of our pool.")
    ] = "auto",
    label: LabelFlag = (),
    runtime: RuntimeFlag = "docker",
) -> None:
    """Create a network that no cluster's delete takes: `--network NAME` uses it."""
    from k3dasync.commands._run import run
    from k3dasync.operations import external as operation
    from k3dasync.spec import parse_subnet
    from k3dasync.verbosity import inform

    labels = labels_of("network", name, label)
    asked = operation.Asked(name=name, labels=labels, subnet=parse_subnet(subnet))

    async def perform(session: "Session") -> str:
        return await operation.create_network(asked, session.backend.runtime)

    inform(f"network {name} created: {run(perform, runtime=runtime)}")


def delete_networks(*names: _Name, runtime: RuntimeFlag = "docker") -> None:
    """Delete networks that were created so."""
    from k3dasync.operations import external as operation

    remove_each("network", names, operation.delete_network, runtime=runtime)


def list_networks(
    *,
    output: OutputFlag = "table",
    no_headers: NoHeadersFlag = False,
    runtime: RuntimeFlag = "docker",
) -> None:
    """List networks that were created so."""
    from k3dasync.operations import external as operation

    async def ask(engine: "EngineReader", how: str) -> str:
        found = await operation.external_networks(engine)
        if how != "table":
            return structured(
                [
                    {
                        "name": one.name,
                        "id": one.id,
                        "subnets": list(one.subnets),
                        "labels": dict(one.labels),
                    }
                    for one in found
                ],
                how,
            )
        rows = [] if no_headers else [["NAME", "SUBNET"]]
        return columns([*rows, *([one.name, ", ".join(one.subnets)] for one in found)])

    print_list(output, runtime, ask)
