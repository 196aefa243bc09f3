"""The JSON Schemas of the formats, which editors use too, and walking along them."""

import json
from functools import cache
from importlib.resources import files
from typing import Any

VERSIONS = ("v1alpha2", "v1alpha3", "v1alpha4", "v1alpha5")
CURRENT = VERSIONS[-1]
API_GROUP = "k3d.io"
KIND = "Simple"

Schema = dict[str, Any]
"""JSON Schema, draft 7; besides its keywords `x-flag` names the flag of create for the same."""


def text(version: str) -> str:
    """Return a schema as it is shipped."""
    return (files("k3dasync.config") / "schemas" / f"{version}.json").read_text("utf-8")


@cache
def schema(version: str) -> Schema:
    """Return the schema of one of VERSIONS; it is shared, so it is not to be changed."""
    found: Schema = json.loads(text(version))
    return found


def api_version(version: str) -> str:
    """Return what files say: `k3d.io/v1alpha5`."""
    return f"{API_GROUP}/{version}"


def properties(schema: Schema) -> Schema:
    """Return the schemas of an object's fields, none if it is no object."""
    found: Schema = schema.get("properties", {})
    return found


def is_open(schema: Schema) -> bool:
    """Say whether fields that are not known may stand here, as with k3d."""
    return bool(schema.get("additionalProperties", True))
