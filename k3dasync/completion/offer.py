"""What may stand at the end of a command line: read off the application, without any engine."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cyclopts import App
from cyclopts.argument import Argument
from cyclopts.group_extractors import groups_from_app

from k3dasync.completion import values
from k3dasync.completion.values import Source, Values
from k3dasync.verbosity import FLAGS as GLOBAL_FLAGS

HELP = ("--help", "Print this command's help.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """Candidates that are known, and where more are; all as whole words behind *prefix*."""

    words: tuple[tuple[str, str], ...] = ()
    """Each with what it is for, or an empty text."""
    source: Source | None = None
    given: tuple[str, ...] = ()
    """What stands there already, of what the source has."""
    prefix: str = ""
    """`--flag=`, if the value stands in the flag's own word."""
    runtime: str = "docker"
    """The engine that is meant."""


_NOTHING = Offer()


def offer(app: App, words: Sequence[str]) -> Offer:
    """Return what may stand in place of the last word, however it begins."""
    *before, current = words or [""]
    if before[-1:] == ["--k3s-arg"]:
        return _NOTHING  # what is behind it is k3s's, whatever it looks like
    before = [word for word in before if word.partition("=")[0] not in GLOBAL_FLAGS]
    command, count = _command(app, before)
    if command.default_command is None:
        if count < len(before):
            return _NOTHING  # an unknown word: a plugin's, perhaps
        return Offer(words=_flags({}) if current.startswith("-") else _subcommands(command))
    line = _read(command, before[count:])
    return _at(line, current)


def _command(app: App, words: Sequence[str]) -> tuple[App, int]:
    """Return the command that is meant, and how many words name it."""
    count = 0
    for word in words:
        if word.startswith("-") or app.default_command is not None or word not in app:
            break
        app = app[word]
        count += 1
    return app, count


def _subcommands(app: App) -> tuple[tuple[str, str], ...]:
    """Return what `--help` shows; nothing is imported for it."""
    return tuple(
        (name, str(found.app.help))
        for _, commands in groups_from_app(app)
        for found in commands
        for name in found.names
        if found.app.show and not name.startswith("-")
    )


@dataclass(slots=True, kw_only=True)
class _Line:
    """What stands before the cursor, sorted."""

    command: Callable[..., object]
    flags: dict[str, Argument]
    arguments: list[Argument]
    waiting: Argument | None = None
    """The flag whose value comes next."""
    only_arguments: bool = False
    """Whether there was a `--`."""
    positional: list[str] = field(default_factory=list)
    values: dict[str, list[str]] = field(default_factory=dict)
    """Of each flag given, by its first name."""

    def give(self, argument: Argument, *given: str) -> None:
        self.values.setdefault(argument.names[0], []).extend(given)

    def read(self, word: str) -> None:
        """Sort in the next word."""
        if self.waiting is not None:
            self.give(self.waiting, word)
            self.waiting = None
        elif self.only_arguments or not word.startswith("-") or word == "-":
            self.positional.append(word)
        elif word == "--":
            self.only_arguments = True
        else:
            self._read_flag(word)

    def _read_flag(self, word: str) -> None:
        name, equals, value = word.partition("=")
        argument = self.flags.get(name)
        if argument is None:
            short = self.flags.get(word[:2])  # -s3
            if short is not None:
                self.give(short, word[2:])
            return
        self.give(argument, *([value] if equals else []))
        if not equals and not values.is_switch(argument):
            self.waiting = argument


def _read(command: App, words: Sequence[str]) -> _Line:
    found = [one for one in command.assemble_argument_collection() if one.show]
    function = command.default_command
    assert function is not None
    line = _Line(
        command=function,
        flags={name: one for one in found for name in one.names if name.startswith("-")},
        arguments=[one for one in found if not one.names[0].startswith("-")],
    )
    for word in words:
        line.read(word)
    return line


def _at(line: _Line, current: str) -> Offer:
    if line.waiting is not None:
        return _of_flag(line, line.waiting, "")
    name, equals, _ = current.partition("=")
    if equals and name in line.flags and not line.only_arguments:
        return _of_flag(line, line.flags[name], f"{name}=")
    if current.startswith("-") and not line.only_arguments:
        return Offer(words=_flags(line.flags, line.values))
    expected = _next_argument(line)
    wanted = Values() if expected is None else values.of_argument(expected, line.command)
    if wanted == Values() and not current and not line.only_arguments:
        return Offer(words=_flags(line.flags, line.values))  # a name is the user's to invent
    return _values(line, wanted, line.positional, "")


def _next_argument(line: _Line) -> Argument | None:
    """Return what the next argument is, None if there may be no more."""
    if not line.arguments:
        return None
    last = line.arguments[-1]
    if len(line.positional) < len(line.arguments):
        return line.arguments[len(line.positional)]
    return last if last.field_info.kind is last.field_info.VAR_POSITIONAL else None


def _of_flag(line: _Line, argument: Argument, prefix: str) -> Offer:
    wanted = values.of_flag(argument, line.command)
    return _values(line, wanted, line.values.get(argument.names[0], ()), prefix)


def _values(line: _Line, wanted: Values, given: Sequence[str], prefix: str) -> Offer:
    return Offer(
        words=tuple((prefix + word, "") for word in values.without(wanted.words, given)),
        source=wanted.source,
        given=tuple(given),
        prefix=prefix,
        runtime=(line.values.get("--runtime") or ["docker"])[-1],
    )


def _flags(
    flags: dict[str, Argument], given: dict[str, list[str]] | None = None
) -> tuple[tuple[str, str], ...]:
    """Return the long names of the flags that can still be given."""
    own = {
        one.names[0]: one.parameter.help or ""
        for one in flags.values()
        if one.names[0] not in (given or {}) or one.token_count()[1]
    }
    return (*own.items(), HELP, *GLOBAL_FLAGS.items())
