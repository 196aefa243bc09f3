"""Where an export is put together, and how it becomes an archive; every line is scrubbed."""

import os
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from k3dasync.errors import OutputError
from k3dasync.scrubbing import Scrubber


@dataclass(slots=True)
class Folder:
    """A part of an export. *problems* keep it from being whole, *notes* say what was left out."""

    path: Path
    secrets: frozenset[str] = frozenset()
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def inside(self, name: str, secrets: frozenset[str] | None = None) -> "Folder":
        """Return a part of this part, whose problems are of the whole."""
        known = self.secrets if secrets is None else secrets
        return Folder(self.path / name, known, self.problems, self.notes)

    def write(self, name: str, text: str) -> None:
        """Write a file without secrets."""
        with self.appending(name) as add:
            for line in text.removesuffix("\n").split("\n"):
                add.line(line)

    @contextmanager
    def appending(self, name: str) -> Iterator["Lines"]:
        """Open a file to which lines are added, each without secrets."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with path.open("w", encoding="utf-8", errors="replace") as file:
            yield Lines(file, Scrubber(self.secrets))


@dataclass(frozen=True, slots=True)
class Lines:
    """A file that grows."""

    file: IO[str]
    scrubber: Scrubber

    def line(self, text: str, front: str = "") -> None:
        """Add a line, with what stands in front of it."""
        self.file.write(f"{front}{self.scrubber.line(text)}\n")


def pack(folder: Path, archive: Path) -> None:
    """Make an archive of a folder, mode 0600; it is there as a whole or not at all.

    Raises OutputError if it cannot be written.
    """
    try:
        archive.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=archive.parent, prefix=f".{archive.name}.")
        try:
            with (
                os.fdopen(descriptor, "wb") as file,
                tarfile.open(fileobj=file, mode="w:gz", compresslevel=6) as tar,
            ):
                tar.add(folder, arcname=folder.name, filter=_anonymous)
            Path(temporary).replace(archive)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OutputError(error, str(archive)) from error


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Leave out who has made it: a bug report need not tell a user's name."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry
