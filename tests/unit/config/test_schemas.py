"""The schemas are what they should be, and docs/config.md says what they say."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from k3dasync.commands import _create_flags, _datastore_flags, _registry_flags
from k3dasync.config import loading
from k3dasync.config.schemas import CURRENT, VERSIONS, Schema, schema
from k3dasync.config.wording import expected
from k3dasync.config.writing import document_of
from k3dasync.errors import ConfigInvalid
from k3dasync.spec import ClusterSpec, WaitLevel

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted((ROOT / "docs" / "examples").glob("*.yaml"))
DOCS = ROOT / "docs" / "config.md"
DOCUMENT = DOCS.read_text()


def fields(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Yield every field by its path, `ports[].port`."""
    for name, below in schema.get("properties", {}).items():
        yield f"{path}{name}", below
        yield from fields(below, f"{path}{name}.")
        if "items" in below:
            yield from fields(below["items"], f"{path}{name}[].")


def table() -> str:
    """Return the table of fields as it stands in docs/config.md."""
    rows = ["| field | type | default | flag | meaning |", "|---|---|---|---|---|"]
    for path, one in fields(schema(CURRENT)):
        kind = expected(one).removeprefix("a mapping of ")
        default = one.get("default", "")
        shown = f"`{str(default).lower() if isinstance(default, bool) else default}`"
        flag = f"`{one['x-flag']}`" if "x-flag" in one else ""
        cells = [f"`{path}`", kind, shown if default != "" else "", flag, one["description"]]
        rows.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(rows)


@pytest.mark.parametrize("version", VERSIONS)
def test_schemas_are_schemas(version: str) -> None:
    """Of draft 7, with a description of every field."""
    from jsonschema import Draft7Validator

    found = schema(version)
    Draft7Validator.check_schema(found)

    assert "http://json-schema.org/draft-07/schema#" == found["$schema"]
    assert [] == [path for path, one in fields(found) if not one.get("description")]
    assert ["apiVersion", "kind"] == found["required"]


def test_the_document_has_every_field() -> None:
    """With type, default, flag and meaning, as the schema has them; UPDATE_GOLDEN=1 writes it."""
    before, mark, rest = DOCUMENT.partition("<!-- the schema's -->\n")
    shown, _, after = rest.partition("\n\n")
    if "UPDATE_GOLDEN" in os.environ:
        DOCS.write_text(f"{before}{mark}{table()}\n\n{after}")
        return

    assert table() == shown


@pytest.mark.parametrize(
    "text", re.findall(r"```yaml\n(.*?)```", DOCUMENT, re.DOTALL), ids=lambda text: text[:20]
)
def test_examples_in_the_document_are_valid(text: str) -> None:
    """Each asks for a cluster."""
    spec = loading.interpret(text, "example", text_of=lambda given: given).spec

    assert spec != ClusterSpec()


@pytest.mark.parametrize(
    "path", sorted((ROOT / "docs" / "examples").glob("*.yaml")), ids=lambda path: path.stem
)
def test_examples_are_valid(path: Path) -> None:
    """Each file in docs/examples asks for a cluster, without a warning."""
    loaded = loading.load(str(path), {"K3S_SECRET": "hush"})

    assert (CURRENT, ()) == (loaded.version, loaded.warnings)


def test_the_examples_use_every_field() -> None:
    """So each can be seen in use somewhere."""
    texts = [path.read_text() for path in EXAMPLES]
    names = {re.split(r"[.\]]", path)[-1].strip("[]") for path, _ in fields(schema(CURRENT))}

    assert [] == sorted(
        name for name in names - {""} if not any(f"{name}:" in text for text in texts)
    )


def test_defaults_are_what_they_are() -> None:
    """Those in the schema and those of a spec."""
    document = document_of(ClusterSpec())
    known = {path: one.get("default") for path, one in fields(schema(CURRENT))}
    found = dict(_leaves(document))
    found["options.k3d.wait"] = str(found["options.k3d.wait"])

    assert {path: known[path] for path in found if known[path] is not None} == {
        path: value for path, value in found.items() if path not in {"apiVersion", "kind"}
    }


def _leaves(document: dict[str, object], path: str = "") -> Iterator[tuple[str, object]]:
    for name, value in document.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value


def test_wait_levels_are_those_there_are() -> None:
    """And k3d's booleans."""
    level = dict(fields(schema(CURRENT)))["options.k3d.wait"]["enum"]

    assert [True, False, *WaitLevel] == level


def test_flags_are_those_there_are() -> None:
    """Every flag that a field names; and every flag of create has its field."""
    names = [one.__file__ for one in (_create_flags, _datastore_flags, _registry_flags)]
    sources = "".join(Path(str(name)).read_text() for name in names)
    flags = set(re.findall(r'"(--[a-z][a-z0-9-]+)"', sources)) - {"--runtime", "--events"}
    named = {one["x-flag"] for _, one in fields(schema(CURRENT)) if "x-flag" in one}

    assert flags == named - {"NAME"}


@pytest.mark.parametrize(
    "text",
    [
        *("servers: 1.5", "servers: '1'", "agents: -1", "kubeAPI: {hostPort: 6550}", "foo: 1"),
        *("ports: [{port: 1}]", "ports: [{port: '80', removal: true}]", "env: {a: b}", "env:"),
        *("files: [{source: a}]", "registries: {create: {foo: 1}}", "registries: {create: true}"),
        *(
            "options: {foo: 1}",
            "options: {k3d: {foo: 1}}",
            "metadata: {name: a b}",
            "kind: Cluster",
        ),
        *("hostAliases: [{ip: 5}]", "kubeAPI: {hostIP: a}", "options: {kubeconfig: {foo: 1}}"),
    ],
)
def test_what_k3d_refuses_is_refused(text: str) -> None:
    """Wrong types, unknown fields, values out of bounds."""
    head = "apiVersion: k3d.io/v1alpha5\n" + ("" if "kind" in text else "kind: Simple\n")
    with pytest.raises(ConfigInvalid):
        loading.interpret(head + text, "c.yaml")
