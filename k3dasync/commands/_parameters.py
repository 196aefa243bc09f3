"""The kinds of flags: how they are given, and how the environment gives them."""

import re
from collections.abc import Sequence
from typing import Annotated

from cyclopts import Parameter, Token


def flag(*names: str, env: str, help: str) -> Parameter:
    """Return a flag that is given once, and its environment variable."""
    # Given again it replaces what stands before: so scripts add to the command lines of others.
    return Parameter(name=names, help=help, env_var=env, negative="", allow_repeating=True)


def duration(*names: str, env: str | None, help: str) -> Parameter:
    """Return a flag for a time; one that is negative gets the error of a time, not of a flag."""
    return Parameter(
        name=names,
        help=help,
        env_var=env,
        negative="",
        allow_repeating=True,
        allow_leading_hyphen=True,
    )


def number(*names: str, env: str, help: str) -> Parameter:
    """Return a flag for a whole number."""
    return Parameter(
        name=names, help=help, env_var=env, negative="", converter=whole, allow_repeating=True
    )


def repeated(*names: str, env: str, help: str) -> Parameter:
    """Return a flag that is repeated, its values taken as they are and in their order."""
    return Parameter(
        name=names,
        help=help,
        env_var=env,  # its words, split at blanks: as k3d reads lists
        negative="",
        show_default=False,
        consume_multiple=False,
        allow_leading_hyphen=True,
    )


def whole(_type: object, tokens: Sequence[Token]) -> int:
    """Read a whole number; cyclopts itself would round 1.5 down."""
    text = tokens[0].value
    if not re.fullmatch(r"[+-]?[0-9]{1,9}", text):
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)


ConfigFlag = Annotated[
    str | None,
    Parameter(
        name=("--config", "-c"),
        env_var="K3D_CONFIG",
        allow_leading_hyphen=True,  # a lone - is standard input
        help="A config file; - is stdin, auto: k3dasync.yaml or k3d-default.yaml from here.",
    ),
]
