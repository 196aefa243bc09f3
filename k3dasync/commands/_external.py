"""What commands on volumes and networks of no cluster have in common."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from k3dasync.invalid import MissingValue

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from k3dasync.commands._run import Session
    from k3dasync.runtime import Runtime

LabelFlag = Annotated[
    tuple[str, ...],
    Parameter(
        name=["--label", "-l"],
        negative="",
        consume_multiple=False,
        show_default=False,
        help="KEY=VALUE; repeat it for several.",
    ),
]


def labels_of(kind: str, name: str, given: Sequence[str]) -> Mapping[str, str]:
    """Return the user's labels; raises SpecError if one, or the *name*, cannot be."""
    from k3dasync.grammar.words import parse_runtime_label
    from k3dasync.spec import check_engine_name, read

    check_engine_name(kind, name)
    return dict(read("--label", parse_runtime_label, text) for text in given)


def remove_each(
    kind: str,
    names: Sequence[str],
    remove: "Callable[[str, Runtime], Awaitable[bool]]",
    *,
    runtime: str,
) -> None:
    """Remove everything of these names, and tell of each."""
    from k3dasync.commands._run import run
    from k3dasync.operations._several import Ends, each, merged
    from k3dasync.verbosity import inform

    if not names:
        raise MissingValue(f"name at least one {kind}; see: k3dasync {kind} list")

    async def perform(session: "Session") -> Ends:
        async def one(name: str) -> bool:
            return await remove(name, session.backend.runtime)

        return await each(list(dict.fromkeys(names)), one, stop=session.stop, undone="not deleted")

    ends = run(perform, runtime=runtime)
    for name in ends.done:
        inform(f"{kind} {name} deleted")
    for name in ends.absent:
        inform(f"{kind} {name}: nothing to delete")
    if ends.failures:
        raise merged(ends.failures)
