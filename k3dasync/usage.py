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
from k3dasync.invalid import (
    InvalidValue,
    MissingValue,
    UnexpectedArgument,
    UnknownCommand,
    UnknownFlag,
    UsageError,
)


def of(error: CycloptsError) -> SpecError:
    """Return what *error* says as one of ours, in one line with where to look."""
    kind, words = _said(error)
    command = " ".join(["k3dasync", *(error.command_chain or ()), "--help"])
    return kind(f"{words}; see: {command}")


def _said(error: CycloptsError) -> tuple[type[SpecError], str]:
    if isinstance(error, UnknownCommandError) and error.unused_tokens:
        word = error.unused_tokens[0]
        if word.startswith("-"):
            return UnknownFlag, f"unknown flag {word}"
        known = [] if error.app is None else [name for name in error.app if name[0] != "-"]
        return UnknownCommand, f"unknown command {word!r}{_nearest(word, known)}"
    if isinstance(error, UnknownOptionError) and error.token is not None:
        flag = error.token.keyword or error.token.value
        return UnknownFlag, f"unknown flag {flag}{_nearest(flag, _flags(error))}"
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        return UnexpectedArgument, f"unexpected argument {error.unused_tokens[0]!r}"
    text = " ".join(str(error).split()).rstrip(".")
    if isinstance(error, MissingArgumentError):
        return MissingValue, f"{_name(error)} needs a value"
    if isinstance(error, CoercionError):
        return InvalidValue, _without_head(text)
    return UsageError, _without_head(text)


def _name(error: MissingArgumentError) -> str:
    """Return what the flag was written like, as far as it is known, or the argument's name."""
    if error.keyword:
        return error.keyword
    return error.argument.name if error.argument is not None else "an argument"


def _without_head(text: str) -> str:
    """Turn `Invalid value for -s: …` into `-s: …`, and let others begin in small letters."""
    _, head, rest = text.partition("Invalid value for ")
    return rest if head else text[:1].lower() + text[1:]


def _flags(error: UnknownOptionError) -> list[str]:
    return [name for one in error.argument_collection for name in one.names]


def _nearest(word: str, known: list[str]) -> str:
    found = get_close_matches(word, known, n=1)
    return f", did you mean {found[0]}?" if found else ""
