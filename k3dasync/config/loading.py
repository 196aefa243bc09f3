"""A config file as a whole: from its name or its text to a spec."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from k3dasync import registries_yaml
from k3dasync.config import validation
from k3dasync.config.environment import overlaid
from k3dasync.config.expansion import expand
from k3dasync.config.migration import Document, migrate
from k3dasync.config.places import Places, Violation
from k3dasync.config.pruning import besides, pruned
from k3dasync.config.reading import ReadText, spec_of
from k3dasync.config.schemas import CURRENT, api_version, schema
from k3dasync.config.source import read
from k3dasync.config.spelling import spelled
from k3dasync.config.tree import TWICE, parse
from k3dasync.spec import ClusterSpec

_NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A document of the current version, and what to tell its user.

    What was wrong in the file is among `violations`, and not in the document any more.
    """

    document: Document
    places: Places
    version: str
    odd: tuple[str, ...] = ()
    violations: tuple[Violation, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is odd in it, and whether it is old."""
        if self.version == CURRENT:
            return self.odd
        older, newest = api_version(self.version), api_version(CURRENT)
        text = f"{self.places.origin} is of the older version {older}"
        return (*self.odd, f"{text}; k3dasync config migrate writes it as {newest}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What a config file asks for, and what to tell its user."""

    spec: ClusterSpec
    origin: str
    version: str
    warnings: tuple[str, ...] = ()


def load(
    where: str,
    environ: Mapping[str, str] = os.environ,
    *,
    text_of: ReadText = registries_yaml.text_of,
) -> Loaded:
    """Read a config file: a path, `-` for standard input, `auto` for one of the usual names.

    *text_of* reads a registries.yaml that it names.

    Raises ConfigInvalid with everything that is wrong in it, SpecError if it cannot be read.
    """
    source = read(where)
    text = expand(source.text, environ)
    return interpret(text, source.origin, folder=source.folder, text_of=text_of, environ=environ)


def interpret(
    text: str,
    origin: str,
    *,
    folder: str = "/",
    text_of: ReadText = registries_yaml.text_of,
    environ: Mapping[str, str] = _NOTHING,
) -> Loaded:
    """Return what the text of a config file asks for, its variables replaced already.

    *folder* is where its paths start from; *text_of* reads a registries.yaml that it names;
    *environ* holds variables that win over its fields.

    Raises ConfigInvalid with everything that is wrong in it.
    """
    checked = check(text, origin, environ)
    return Loaded(
        spec=spec_of(
            checked.document,
            checked.places,
            folder=folder,
            text_of=text_of,
            known=checked.violations,
        ),
        origin=origin,
        version=checked.version,
        warnings=checked.warnings,
    )


def check(text: str, origin: str, environ: Mapping[str, str] = _NOTHING) -> Checked:
    """Return the document in a text, migrated to the current version.

    Raises ConfigInvalid if it is not known which schema it should follow.
    """
    tree = parse(text, origin)
    version = validation.version_of(tree.value)
    if isinstance(version, Violation):
        raise Places(origin=origin, lines=tree.lines).invalid([*tree.violations, version])
    tree = spelled(tree, schema(version))
    document = overlaid(tree.value, schema(version), environ)
    # What could not be read stands as nothing in the document, which follows no schema either.
    unread = {one.path for one in tree.violations if one.text != TWICE}
    wrong = validation.violations(document, schema(version))
    found = [*tree.violations, *(one for one in wrong if one.path not in unread)]
    migrated = migrate(pruned(document, found), version)
    places = Places(origin=origin, lines=tree.lines, moved=migrated.moved)
    # Where an older schema lets anything stand, something may stand that the current one knows.
    wrong = validation.violations(migrated.document, schema(CURRENT))
    found += (again := besides(wrong, found, places))
    document = pruned(migrated.document, again)
    return Checked(
        document=document,
        places=places,
        version=version,
        odd=(
            *([f"{origin}: only its first document is read"] if tree.has_more else []),
            *_odd(document, migrated.dropped, places),
        ),
        violations=tuple(found),
    )


def _odd(document: object, dropped: Sequence[str], places: Places) -> Iterator[str]:
    for one in validation.ignored(document, schema(CURRENT)):
        yield f"{places.at(one.path)}: {one.text}"
    for name in dropped:
        yield f"{places.origin}: {name} has no effect any more"
