"""A document against its schema: everything that is wrong, not only the first thing. Pure."""

import ipaddress
import re
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from k3dasync.config.places import Path, Violation
from k3dasync.config.schemas import (
    VERSIONS,
    Schema,
    api_version,
    is_open,
    properties,
)
from k3dasync.config.wording import expected, found, hint, nearest

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOSTNAME = rf"{_LABEL}(\.{_LABEL})*"


def version_of(document: object) -> str | Violation:
    """Return the version a document says it has, or what is wrong with what it says."""
    if not isinstance(document, dict):
        return Violation((), f"expected a mapping of fields, found {found(document)}")
    key = next((name for name in document if name.lower() == "apiversion"), "apiVersion")
    given = document.get(key)
    by_name = {api_version(version): version for version in VERSIONS}
    # Also one that is only written in another case: then its schema says what is wrong with it.
    version = by_name.get(given.lower()) if isinstance(given, str) else None
    if version is not None:
        return version
    names = ", ".join(by_name)
    if key not in document:
        return Violation((), f"apiVersion is missing: expected one of {names}")
    return Violation((key,), f"expected one of {names}, found {found(given)}")


def violations(document: object, schema: Schema) -> Iterator[Violation]:
    """Yield all that the schema says is wrong."""
    for error in _validator(schema).iter_errors(document):
        path: Path = tuple(error.absolute_path)
        if error.validator == "additionalProperties":
            yield from _unknown(error, path, schema)
        elif error.validator == "required":
            yield from _missing(error, path)
        else:
            yield Violation(path, _instead(error, path))


def ignored(document: object, schema: Schema) -> Iterator[Violation]:
    """Yield the fields that are not known where k3d lets any stand: nothing comes of them."""
    yield from _ignored(document, schema, schema, ())


def _ignored(value: object, here: Schema, root: Schema, path: Path) -> Iterator[Violation]:
    if isinstance(value, list):
        for index, one in enumerate(value):
            yield from _ignored(one, here.get("items", {}), root, (*path, index))
    if not isinstance(value, dict):
        return
    for name, one in value.items():
        if name in properties(here):
            yield from _ignored(one, properties(here)[name], root, (*path, name))
        elif is_open(here):
            yield Violation((*path, name), f"unknown field, ignored{nearest(name, here, root)}")


def _unknown(error: "ValidationError", path: Path, root: Schema) -> Iterator[Violation]:
    here: Any = error.schema
    for name in _mapping(error.instance):
        if name not in properties(here):
            yield Violation((*path, name), f"unknown field{nearest(name, here, root)}")


def _missing(error: "ValidationError", path: Path) -> Iterator[Violation]:
    here: Any = error.schema
    # The library reports each absent field by itself, and names it in its own sentence only.
    for name in here["required"]:
        if name not in _mapping(error.instance):
            yield Violation(path, f"{name} is missing: expected {expected(properties(here)[name])}")


def _mapping(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _instead(error: "ValidationError", path: Path) -> str:
    here: Any = error.schema
    value = error.instance
    return f"expected {expected(here)}, found {found(value, path)}{hint(value, here, path)}"


@cache
def _formats() -> Any:
    """Return the checks of formats that our schemas name; the library's own take other packages."""
    from jsonschema import FormatChecker

    checker = FormatChecker(())

    def address(version: int) -> Any:
        def is_one(value: object) -> bool:
            return not isinstance(value, str) or ipaddress.ip_address(value).version == version

        return is_one

    def is_hostname(value: object) -> bool:
        return not isinstance(value, str) or (
            len(value) < 256 and re.fullmatch(_HOSTNAME, value) is not None
        )

    checker.checks("hostname")(is_hostname)
    checker.checks("ipv4", raises=ValueError)(address(4))
    checker.checks("ipv6", raises=ValueError)(address(6))
    return checker


def _validator(schema: Schema) -> Any:
    from jsonschema import Draft7Validator

    return Draft7Validator(schema, format_checker=_formats())
