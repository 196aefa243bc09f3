"""Finding and reading a config file: a path, standard input, or one of the usual names."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from k3dasync.errors import ConfigInvalid
from k3dasync.invalid import FileUnreadable

AUTO = "auto"
USUAL_NAMES = ("k3dasync.yaml", "k3d-default.yaml")
"""Looked for in this order; the second is what `config init` writes, as with k3d."""
LARGEST = 16 * 2**20
"""Bytes. A path may lead to a device that never ends; whole manifests fit in a thousand times."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file's text, its name for messages, and the folder that its paths start from."""

    text: str
    origin: str
    folder: str


def read(where: str) -> Source:
    """Read a config file: `-` is standard input, `auto` the one of the usual names that is here.

    Raises SpecError if there is none or it cannot be read; ConfigInvalid if it is no text.
    """
    if where == "-":
        return Source(_decoded(_from_stdin(), "standard input"), "standard input", str(Path.cwd()))
    path = _usual() if where == AUTO else Path(where)
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise FileUnreadable(f"cannot read config file {path}: {error.strerror}") from error
    folder = os.path.abspath(path.parent)  # noqa: PTH100 - no links: as the user sees it
    return Source(_decoded(content, str(path)), str(path), folder)


def _usual() -> Path:
    for name in USUAL_NAMES:
        if Path(name).exists():
            return Path(name)
    names = " nor ".join(USUAL_NAMES)
    raise FileUnreadable(
        f"--config auto: neither {names} is in {Path.cwd()}; see: k3dasync config init"
    )


def _from_stdin() -> bytes:
    try:
        return sys.stdin.buffer.read(LARGEST + 1)
    except OSError as error:
        raise FileUnreadable(f"cannot read standard input: {error.strerror}") from error


def _decoded(content: bytes, origin: str) -> str:
    if len(content) > LARGEST:
        raise ConfigInvalid(origin, [f"{origin}: more than {LARGEST >> 20} MiB"])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ConfigInvalid(origin, [f"{origin}:{line}: not UTF-8"]) from None
