"""What may stand next on a command line, worked out from the table of commands itself."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from cyclopts import App

from k3dasync.completion.meanings import (
    CHOICES,
    FORMS,
    VALUES,
    Kind,
    of_argument,
    words_of_argument,
)

GLOBAL = ("--help", "--verbose", "--trace", "--timestamps")
"""With every command."""

Names = Callable[[Kind], Sequence[str]]
"""Asks the engine for the names of what there is."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A word, and what it is."""

    word: str
    about: str = ""


def candidates(app: App, words: Sequence[str], names: Names) -> tuple[Candidate, ...]:
    """Return what may stand in place of the last of *words*, which may be empty.

    Nothing means that we do not know: files, then.
    """
    *before, current = words or [""]
    path, rest = _command(app, before)
    node = app
    for word in path:
        node = node[word]
    found = _Line(node, path, rest, names, _parameters(node)).next(current)
    return tuple(one for one in found if one.word.startswith(current))


def _command(app: App, words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the words that name the command, and those behind them, flags before them left out."""
    path: list[str] = []
    node = app
    for index, word in enumerate(words):
        if word in GLOBAL:
            continue
        if word.startswith("-") or word not in node:
            return path, list(words[index:])
        node = node[word]
        path.append(word)
    return path, []


def _parameters(app: App) -> list[Any]:
    if app.default_command is None:
        return []  # a group of commands
    return list(app.assemble_argument_collection())


@dataclass(frozen=True, slots=True)
class _Line:
    """A command and what stands behind it."""

    app: App
    path: Sequence[str]
    rest: Sequence[str]
    names: Names
    parameters: Sequence[Any]

    def next(self, current: str) -> Iterator[Candidate]:
        if "--" in self.rest:
            yield from self._arguments()
            return
        flag, equals, _ = current.partition("=")
        if equals and flag.startswith("--"):
            for one in self._values(flag):
                yield Candidate(f"{flag}={one.word}", one.about)
            return
        if self.rest and self._takes_value(self.rest[-1]):
            yield from self._values(self.rest[-1])
            return
        if current.startswith("-"):
            yield from self._flags()
            return
        yield from self._words()
        yield from self._arguments()

    def _words(self) -> Iterator[Candidate]:
        if self.rest:
            return
        for name in self.app:
            if not name.startswith("-") and self.app[name].show:
                yield Candidate(name, str(self.app[name].help or "").partition("\n")[0])

    def _parameter(self, flag: str) -> Any:
        return next((one for one in self.parameters if flag in one.names), None)

    def _flags(self) -> Iterator[Candidate]:
        given = {word.partition("=")[0] for word in self.rest}
        for one in self.parameters:
            if not one.show or one.index is not None:
                continue
            if given & set(one.names) and not _is_repeated(one.hint):
                continue
            about = str(one.parameter.help or "").partition("\n")[0]
            yield from (Candidate(name, about) for name in one.names)
        yield from (Candidate(name) for name in GLOBAL if name not in given)
        if not self.path:
            yield Candidate("--version")

    def _takes_value(self, word: str) -> bool:
        # The value of --wait stands behind an equals sign only.
        if not word.startswith("-") or "=" in word or word == "--wait":
            return False
        one = self._parameter(word)
        return one is not None and not _is_flag(one.hint)

    def _values(self, flag: str) -> Iterator[Candidate]:
        one = self._parameter(flag)
        known = next((name for name in one.names if name in VALUES), "") if one else ""
        if known:
            yield from self._named(VALUES[known])
            return
        if one is None:
            return
        for name in one.names:
            yield from map(Candidate, CHOICES.get(name, ()))
        if _is_flag(one.hint):
            yield from map(Candidate, ("true", "false"))
        if found := _literals(one.hint):
            yield from map(Candidate, found)
        elif "--output" in one.names and self.path[0] != "kubeconfig":
            yield from map(Candidate, FORMS.get(self.path[-1], ()))

    def _arguments(self) -> Iterator[Candidate]:
        given = self._given()
        places = [one for one in self.parameters if one.index is not None]
        repeated = [one for one in places if _is_repeated(one.hint)]
        one = next((one for one in places if one.index == len(given)), None)
        one = one or next(iter(repeated[-1:]), None)
        if one is None or not self.path:
            return
        yield from map(Candidate, _literals(one.hint))
        yield from map(Candidate, words_of_argument(self.path, len(given)))
        kind = of_argument(self.path, len(given))
        if kind == "node" and self.path[-1] == "logs":
            yield from self._nodes_of(given[0])
        elif kind is not None:
            yield from self._named(kind)

    def _named(self, kind: Kind) -> Iterator[Candidate]:
        given = {*self.rest, *(word.partition("=")[2] for word in self.rest)}
        yield from (Candidate(name, kind) for name in self.names(kind) if name not in given)

    def _nodes_of(self, cluster: str) -> Iterator[Candidate]:
        """Yield the nodes of one cluster by their short names."""
        prefix = f"k3d-{cluster}-"
        found = [name.removeprefix(prefix) for name in self.names("node") if prefix in name]
        yield from (Candidate(name, "node") for name in found if name not in self.rest)

    def _given(self) -> list[str]:
        """Return the arguments that stand there already."""
        found: list[str] = []
        for index, word in enumerate(self.rest):
            is_value = index > 0 and self._takes_value(self.rest[index - 1])
            if not word.startswith("-") and not is_value:
                found.append(word)
        return found


def _is_flag(hint: object) -> bool:
    return hint is bool or bool in get_args(hint)


def _is_repeated(hint: object) -> bool:
    return get_origin(hint) is tuple or any(get_origin(one) is tuple for one in get_args(hint))


def _literals(hint: object) -> tuple[str, ...]:
    """Return the words of a choice, which may be left out."""
    if get_origin(hint) is Literal:
        return get_args(hint)
    return next((found for one in get_args(hint) if (found := _literals(one))), ())
