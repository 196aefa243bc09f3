"""How much people are told on standard error: k3d's global flags and variables."""

import os
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from enum import IntEnum

from k3dasync.invalid import InvalidValue
from k3dasync.streams import say


class Level(IntEnum):
    """From what is an error to everything there is; each shows what the ones before it show."""

    ERROR = 0
    WARN = 1
    INFO = 2
    DEBUG = 3
    TRACE = 4


@dataclass(frozen=True, slots=True)
class Verbosity:
    """What is shown, and whether with the time of day; colors None: if the terminal has them."""

    level: Level = Level.INFO
    timestamps: bool = False
    colors: bool | None = None


_USUAL = Verbosity()
current: ContextVar[Verbosity] = ContextVar("verbosity", default=_USUAL)
"""For the command that is running."""

_FLAGS = ("--verbose", "--trace", "--timestamps")
_LEVELS = {
    "panic": Level.ERROR,
    "fatal": Level.ERROR,
    "error": Level.ERROR,
    "warn": Level.WARN,
    "warning": Level.WARN,
    "info": Level.INFO,
    "debug": Level.DEBUG,
    "trace": Level.TRACE,
}
_TRUE, _FALSE = {"1", "t", "true", "yes", "y"}, {"0", "f", "false", "no", "n"}


def take(
    arguments: Sequence[str], environ: Mapping[str, str] = os.environ
) -> tuple[Verbosity, list[str]]:
    """Return what is wished for, and the arguments without the global flags.

    They may stand anywhere before `--`. A flag wins over `LOG_LEVEL`, `--trace` over `--verbose`.
    Raises SpecError if a flag's value is neither true nor false.
    """
    given, rest, before = dict.fromkeys(_FLAGS, False), list[str](), ""
    for index, argument in enumerate(arguments):
        if argument == "--":
            rest += arguments[index:]
            break
        name, equals, value = argument.partition("=")
        # What follows --k3s-arg is k3s's, whatever it looks like.
        if name in _FLAGS and before != "--k3s-arg":
            given[name] = _is_true(value, argument) if equals else True
        else:
            rest.append(argument)
        before = argument
    level = _LEVELS.get(environ.get("LOG_LEVEL", "").lower(), Level.INFO)
    if given["--verbose"]:
        level = Level.DEBUG
    if given["--trace"]:
        level = Level.TRACE
    timestamps = given["--timestamps"] or bool(environ.get("LOG_TIMESTAMPS"))
    colors = environ.get("LOG_COLORS", "").lower()
    wished = True if colors in _TRUE else False if colors in _FALSE else None
    return Verbosity(level, timestamps, wished), rest


def _is_true(value: str, argument: str) -> bool:
    if value.lower() not in _TRUE | _FALSE:
        raise InvalidValue(f"{argument}: expected true or false")
    return value.lower() in _TRUE


def inform(text: str) -> None:
    """Tell people of what went well, unless they want to hear of the rest only."""
    if current.get().level >= Level.INFO:
        say(text)


def warn(text: str) -> None:
    """Tell people of what they should know, unless they want to hear of errors only."""
    if current.get().level >= Level.WARN:
        say(f"warning: {text}")
