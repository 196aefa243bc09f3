"""What commands on clusters that are there have in common: which ones, and how long they wait."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from k3dasync.commands._parameters import duration
from k3dasync.grammar.names import check_given
from k3dasync.invalid import ConflictingFlags
from k3dasync.spec import (
    DEFAULT_NAME,
    DEFAULT_TIMEOUT,
    WaitLevel,
    parse_duration,
    parse_wait,
)

if TYPE_CHECKING:
    from k3dasync.operations.start import StartOptions

AllFlag = Annotated[bool, Parameter(name=["--all", "-a"], negative="", help="All clusters.")]
WaitFlag = Annotated[
    str | None,
    Parameter(
        name="--wait",
        negative="",
        allow_repeating=True,
        help="none, api, quorum, nodes (if not given, too), all; true: nodes, false: none.",
    ),
]
TimeoutFlag = Annotated[
    str | None,
    duration(
        "--timeout", env=None, help="Give up after that time; 15m if not given, 0s: no limit."
    ),
]


def wanted(names: Sequence[str], *, is_all: bool, usual: str = DEFAULT_NAME) -> list[str] | None:
    """Return the clusters that are meant, each once, None for all.

    Raises SpecError for names and all, and for an empty name.
    """
    if is_all and names:
        raise ConflictingFlags("give names or --all, not both")
    return None if is_all else list(dict.fromkeys(map(check_given, names or (usual,))))


def limit(timeout: str | None) -> float | None:
    """Return the seconds that `--timeout` gives, None: no limit; raises SpecError if it is none."""
    return DEFAULT_TIMEOUT if timeout is None else parse_duration(timeout)


def start_options(wait: str | None, timeout: str | None, *, operation: str) -> "StartOptions":
    """Return how far and how long a start waits; raises SpecError if a text is none."""
    from k3dasync.operations.start import StartOptions

    return StartOptions(
        wait=WaitLevel.NODES if wait is None else parse_wait(wait),
        seconds=limit(timeout),
        operation=operation,
    )
