"""`cluster edit` and `node edit`, also as `edit` and `update`."""

from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from k3dasync.commands._clusters import TimeoutFlag
from k3dasync.commands._create_flags import EventsFlag, RuntimeFlag

if TYPE_CHECKING:
    from k3dasync.commands._run import Session
    from k3dasync.grammar.filtered import Filtered
    from k3dasync.operations._edits import Changes
    from k3dasync.operations.edit import Outcome


def _list(name: str, help: str) -> Parameter:
    return Parameter(
        name=name,
        help=help,
        negative="",
        show_default=False,
        consume_multiple=False,
        allow_leading_hyphen=True,
    )


PortAdd = Annotated[
    tuple[str, ...],
    _list("--port-add", "[[IP:]HOST:]PORT[/PROTOCOL][@FILTER]: publish it too, as -p of create."),
]
PortDelete = Annotated[
    tuple[str, ...],
    _list("--port-delete", "The same: publish it no more; what is left out means any."),
]
EnvAdd = Annotated[
    tuple[str, ...], _list("--env-add", "KEY=VALUE: a variable of the load balancer.")
]
EnvDelete = Annotated[tuple[str, ...], _list("--env-delete", "KEY: not that variable any more.")]
LabelAdd = Annotated[
    tuple[str, ...],
    _list("--runtime-label-add", "KEY=VALUE: a label of the load balancer's container."),
]
LabelDelete = Annotated[
    tuple[str, ...], _list("--runtime-label-delete", "KEY: not that label any more.")
]


def cluster(
    name: str,
    /,
    *,
    port_add: PortAdd = (),
    port_delete: PortDelete = (),
    env_add: EnvAdd = (),
    env_delete: EnvDelete = (),
    runtime_label_add: LabelAdd = (),
    runtime_label_delete: LabelDelete = (),
    timeout: TimeoutFlag = None,
    events: EventsFlag = None,
    runtime: RuntimeFlag = "docker",
) -> None:
    """Change what a cluster publishes, by replacing its load balancer and nothing else."""
    from k3dasync.operations import edit as operation
    from k3dasync.operations._edits import Changes
    from k3dasync.spec import check_name

    changes = Changes(
        ports_added=_filtered("--port-add", port_add),
        ports_deleted=_filtered("--port-delete", port_delete),
        env_added=_filtered("--env-add", env_add),
        env_deleted=_filtered("--env-delete", env_delete),
        labels_added=_filtered("--runtime-label-add", runtime_label_add),
        labels_deleted=_filtered("--runtime-label-delete", runtime_label_delete),
    )
    check_name(name)
    _perform(name, operation.edit, changes, timeout, events, runtime)


def node(
    name: str,
    /,
    *,
    port_add: PortAdd = (),
    port_delete: PortDelete = (),
    timeout: TimeoutFlag = None,
    events: EventsFlag = None,
    runtime: RuntimeFlag = "docker",
) -> None:
    """Change what a load balancer publishes; a port that it forwards keeps its nodes."""
    from k3dasync.operations import edit as operation
    from k3dasync.operations._edits import Changes

    changes = Changes(
        ports_added=_filtered("--port-add", port_add),
        ports_deleted=_filtered("--port-delete", port_delete),
        keeps_targets=True,
    )
    _perform(name, operation.edit_node, changes, timeout, events, runtime)


def _filtered(origin: str, texts: Sequence[str]) -> "tuple[Filtered, ...]":
    """Read the values of a flag; raises InvalidSyntax with its name."""
    from dataclasses import replace

    from k3dasync.grammar import filtered, ports, words
    from k3dasync.spec import read

    found = tuple(replace(read(origin, filtered.parse, text), origin=origin) for text in texts)
    check: Callable[[str], object] = ports.parse
    if "port" not in origin:
        check = words.parse_pair if origin.endswith("-add") else words.parse_variable
    for one in found:
        read(origin, check, one.value)
    return found


def _perform(  # noqa: PLR0917 - of two commands, which have them in this order
    name: str,
    operation: "Callable[..., Coroutine[Any, Any, Outcome]]",
    changes: "Changes",
    timeout: str | None,
    events: str | None,
    runtime: str,
) -> None:
    from k3dasync.commands._run import run
    from k3dasync.spec import DEFAULT_TIMEOUT, parse_duration
    from k3dasync.verbosity import inform

    seconds = DEFAULT_TIMEOUT if timeout is None else parse_duration(timeout)

    async def perform(session: "Session") -> "Outcome":
        return await operation(
            name,
            changes,
            backend=session.backend,
            seconds=seconds,
            sinks=session.sinks,
            stop=session.stop,
        )

    outcome = run(perform, runtime=runtime, events=events, shows_progress=True)
    for text in outcome.unchanged:
        inform(text)
    if outcome.is_changed:
        inform(f"cluster {outcome.cluster} edited")
    else:
        inform(f"cluster {outcome.cluster}: nothing to change")
