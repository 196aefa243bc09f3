#!/usr/bin/env python3
"""Print the table of all error codes from the code: dev/errors.py >docs/errors.md."""

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Iterator

import k3dasync
from k3dasync.diagnosis import CAUSES, Cause
from k3dasync.errors import DeadlineExceeded, K3dAsyncError
from k3dasync.node_errors import NodeCrashed, NodeStuck

HEAD = """# Error codes

Made by `dev/errors.py` from the code. An error is told on standard error,
`error: … [CODE]`; events carry the same code. Codes are stable, words are not. A code can have
several causes, a line each. Some stand only in logs (`INTERNAL`, `ABANDONED`):
[events.md](events.md) has them, too. What is the matter with a
node: [wait.md](wait.md).

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
        if "code" in vars(kind) and kind is not NodeStuck
    }
    rows |= {of_cause(cause) for cause in CAUSES if cause.code != NodeCrashed.code}
    rows |= {
        f"| `{code}` | {DeadlineExceeded.exit_code} | {when} | {DeadlineExceeded.remedy} "
        f"| DeadlineExceeded |\n"
        for code, when in AT_A_DEADLINE.items()
    }
    return HEAD + "".join(sorted(rows))


AT_A_DEADLINE = {
    "NODE_NOT_READY": "Time was up while nodes were not Ready.",
    "API_UNREACHABLE": "Time was up before the API had answered.",
}
"""What `operations/_deadline.py` tells apart."""


def of_cause(cause: Cause) -> str:
    """Return the row of a code that only some errors of a class have."""
    kind = NodeStuck if cause.code == NodeStuck.code else NodeCrashed
    remedy = cause.hint[0].upper() + cause.hint[1:] + "."
    return f"| `{cause.code}` | {kind.exit_code} | {cause.when} | {remedy} | {kind.__name__} |\n"


def first_line(kind: type[K3dAsyncError]) -> str:
    """Return what the class says of itself."""
    return (inspect.getdoc(kind) or "").partition("\n")[0].replace("|", r"\|")


if __name__ == "__main__":
    sys.stdout.write(document())
