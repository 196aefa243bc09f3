"""What a schema expects and what was found instead, in words. Pure."""

import difflib
from collections.abc import Iterator, Sequence

from k3dasync.config.places import Path, shown
from k3dasync.config.schemas import Schema, properties

_SECRETS = frozenset({"token", "password", "endpoint"})
"""Fields whose values are not quoted."""
_LONGEST_QUOTE = 40
_TYPES = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping of fields",
}
_FORMATS = {"hostname": "a hostname", "ipv4": "an IPv4 address", "ipv6": "an IPv6 address"}


def expected(schema: Schema) -> str:
    """Return what may stand where that schema holds."""
    if "enum" in schema:
        return _one_of([_literal(one) for one in schema["enum"]])
    if "anyOf" in schema:
        return _one_of([expected(one) for one in schema["anyOf"]])
    if "format" in schema:
        return _FORMATS[schema["format"]]
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    least = f" of at least {schema['minimum']}" if "minimum" in schema else ""
    return _one_of([_TYPES[kind] for kind in kinds]) + least


def found(value: object, path: Path = ()) -> str:
    """Return what a value is; that of a secret field is not told."""
    if isinstance(value, dict):
        return _TYPES["object"]
    if isinstance(value, list):
        return _TYPES["array"]
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return _literal(value)
    kind = "the text" if isinstance(value, str) else "the number"
    if is_secret(path):
        return kind.replace("the", "a")
    literal = _literal(value)
    short = literal if len(literal) <= _LONGEST_QUOTE else f"{literal[:_LONGEST_QUOTE]}…"
    return f"{kind} {short!r}" if isinstance(value, str) else f"{kind} {short}"


def is_secret(path: Path) -> bool:
    """Say whether the value at a path is not to be told."""
    return bool(path) and path[-1] in _SECRETS


def hint(value: object, schema: Schema, path: Path) -> str:
    """Return how to write what was probably meant, behind a semicolon, or nothing."""
    if schema.get("type") != "string":
        return ""
    if value is None:
        return '; an empty text is ""'
    if not is_secret(path) and isinstance(value, int | float):
        return f'; a text stands in quotes: "{_literal(value)[:_LONGEST_QUOTE]}"'
    return ""


def nearest(name: str, here: Schema, root: Schema) -> str:
    """Return `; …` with the known field that was probably meant, or nothing."""
    words = name.lower()
    elsewhere = [path for path in field_paths(root) if str(path[-1]).lower() == words]
    if elsewhere:
        return f"; it belongs to {shown(elsewhere[0][:-1]) or 'the top level'}"
    names = {known.lower(): known for known in properties(here)}
    close = difflib.get_close_matches(words, names, n=1)
    if close:
        return f"; did you mean {names[close[0]]}?"
    return f"; expected one of {', '.join(properties(here))}"


def field_paths(schema: Schema, path: Path = ()) -> Iterator[Path]:
    """Yield the paths of all fields, outer ones first; what is in lists is left out."""
    for name in properties(schema):
        yield (*path, name)
    for name, below in properties(schema).items():
        yield from field_paths(below, (*path, name))


def _one_of(texts: Sequence[str]) -> str:
    if len(texts) < 2:
        return "".join(texts)
    return f"{', '.join(texts[:-1])} or {texts[-1]}"


def _literal(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
