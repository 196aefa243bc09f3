"""Errors of the command line's grammar, in our words: code, what is wrong, what may be meant."""

from difflib import get_close_matches

from cyclopts import CycloptsError
from cyclopts.exceptions import (
    CoercionError,
    MissingArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)

from k3dasync.errors import SpecError


class UnknownCommand(SpecError):
    """A word names no command, and no plugin on PATH."""

    code = "UNKNOWN_COMMAND"


class UnknownFlag(SpecError):
    """The command has no such flag."""

    code = "UNKNOWN_FLAG"


class MissingValue(SpecError):
    """A flag or an argument lacks its value."""

    code = "MISSING_VALUE"


class InvalidValue(SpecError):
    """A flag's value is of another type, or none of its choices."""

    code = "INVALID_VALUE"


class UnexpectedArgument(SpecError):
    """More words than the command takes."""

    code = "UNEXPECTED_ARGUMENT"


class UsageError(SpecError):
    """The command line cannot be understood in another way."""

    code = "USAGE"


def of(error: CycloptsError) -> SpecError:
    """Return what *error* says as one of ours, in one line with where to look."""
    kind, words = _said(error)
    command = " ".join(["k3dasync", *(error.command_chain or ()), "--help"])
    return kind(f"{words}; see: {command}")


def _said(error: CycloptsError) -> tuple[type[SpecError], str]:
    if isinstance(error, UnknownCommandError) and error.unused_tokens:
        word = error.unused_tokens[0]
        known = [] if error.app is None else [name for name in error.app if name[0] != "-"]
        return UnknownCommand, f"unknown command {word!r}{_nearest(word, known)}"
    if isinstance(error, UnknownOptionError) and error.token is not None:
        flag = error.token.keyword or error.token.value
        return UnknownFlag, f"unknown flag {flag}{_nearest(flag, _flags(error))}"
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        return UnexpectedArgument, f"unexpected argument {error.unused_tokens[0]!r}"
    text = " ".join(str(error).split()).rstrip(".")
    for foreign, kind in ((MissingArgumentError, MissingValue), (CoercionError, InvalidValue)):
        if isinstance(error, foreign):
            return kind, text
    return UsageError, text


def _flags(error: UnknownOptionError) -> list[str]:
    return [name for one in error.argument_collection for name in one.names]


def _nearest(word: str, known: list[str]) -> str:
    found = get_close_matches(word, known, n=1)
    return f", did you mean {found[0]}?" if found else ""
