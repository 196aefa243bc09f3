"""Reading the files that nodes are to get, before anything is made."""

import errno
import os
import stat
from dataclasses import replace
from pathlib import Path

import msgspec

from k3dasync.grammar.node_files import NodeFile
from k3dasync.invalid import FileUnreadable
from k3dasync.spec import ClusterSpec


def with_contents(spec: ClusterSpec) -> ClusterSpec:
    """Return the spec with the content of each of its files.

    Raises SpecError if one cannot be read.
    """
    return msgspec.structs.replace(spec, files=tuple(map(_read, spec.files)))


def _read(file: NodeFile) -> NodeFile:
    if file.is_inline:
        return replace(file, content=file.source.encode())
    try:
        return replace(file, content=_content(Path(file.source)))
    except OSError as error:
        where = f"{file.origin}: " if file.origin else ""
        raise FileUnreadable(f"{where}cannot read {file.source}: {error.strerror}") from error


def _content(path: Path) -> bytes:
    """Read a regular file: a pipe could hang, and a device never end."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        number = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
        words = os.strerror(number) if stat.S_ISDIR(mode) else "not a regular file"
        raise OSError(number, words, str(path))
    return path.read_bytes()
