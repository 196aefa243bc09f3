#!/usr/bin/env python3
"""Print the table of all error codes from the code: dev/errors.py >docs/errors.md."""

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Iterator

import k3dasync
from k3dasync.errors import K3dAsyncError

HEAD = """# Error codes

Made by `dev/errors.py` from the code. An error is told on standard error,
`error: … [CODE]`; events carry the same code. Codes are stable, words are not. A few stand only for
some cases (`NODE_OOM`) or only in logs (`INTERNAL`, `ABANDONED`):
[events.md](events.md) has them, too.

| code | exit code | when | what to do | class |
|---|---|---|---|---|
"""


def kinds(kind: type[K3dAsyncError] = K3dAsyncError) -> Iterator[type[K3dAsyncError]]:
    """Yield every class of error which the package has, parents first."""
    yield kind
    for child in kind.__subclasses__():
        if child.__module__.startswith("k3dasync"):
            yield from kinds(child)


def document() -> str:
    """Return the whole document."""
    for module in pkgutil.walk_packages(k3dasync.__path__, "k3dasync."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    rows = {
        f"| `{kind.code}` | {kind.exit_code} | {first_line(kind)} "
        f"| {kind.remedy} | {kind.__name__} |\n"
        for kind in kinds()
        if "code" in vars(kind)
    }
    return HEAD + "".join(sorted(rows))


def first_line(kind: type[K3dAsyncError]) -> str:
    """Return what the class says of itself."""
    return (inspect.getdoc(kind) or "").partition("\n")[0].replace("|", r"\|")


if __name__ == "__main__":
    sys.stdout.write(document())
