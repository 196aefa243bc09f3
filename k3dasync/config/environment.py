"""Variables that win over what a config file says, as k3d reads them: `K3D_METADATA_NAME`. Pure."""

from collections.abc import Mapping
from typing import Any

from k3dasync.config.places import Path
from k3dasync.config.schemas import Schema, properties

_KEPT = frozenset({"apiVersion", "kind"})
"""They say how the rest is to be read."""


def overlaid(
    document: dict[str, Any], schema: Schema, environ: Mapping[str, str], path: Path = ()
) -> dict[str, Any]:
    """Return a document in which each text that the environment knows better is replaced.

    Only what stands in the document already: so it is with k3d. Numbers and booleans have flags,
    and those their own variables; an empty variable counts as not set.
    """
    found = dict(document)
    for name, value in document.items():
        below, here = properties(schema).get(name, {}), (*path, name)
        if isinstance(value, dict):
            found[name] = overlaid(value, below, environ, here)
        elif below.get("type") == "string" and name not in _KEPT:
            found[name] = environ.get(_variable(here)) or value
    return found


def _variable(path: Path) -> str:
    return "_".join(("K3D", *map(str, path))).upper()
