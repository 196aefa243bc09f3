"""Files in and out of a container, as the tar archives the engine moves them in. Pure."""

import io
import posixpath
import tarfile
import time
from collections.abc import Iterable, Sequence

from k3dasync.errors import EngineError, NotFound
from k3dasync.runtime import File

_ALWAYS_THERE = frozenset(
    ("/", "/bin", "/etc", "/lib", "/opt", "/root", "/sbin", "/tmp", "/usr", "/usr/bin", "/var")  # noqa: S108
)
"""Folders that every image has, so that nobody must ask for them."""

LONGEST_LINKS = 8
"""Symbolic links followed to a file: more of them are a ring."""


def pack(files: Iterable[File], folders: Iterable[str] = ()) -> bytes:
    """Return an archive of *files*, all root's, to be unpacked at `/`, after new *folders*.

    Only folders which are not there may be named: one that is would get another mode, and one
    that is a symbolic link would be replaced.
    """
    packed = io.BytesIO()
    now = int(time.time())
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for folder in folders:
            entry = tarfile.TarInfo(folder.lstrip("/"))
            entry.type, entry.mode, entry.mtime = tarfile.DIRTYPE, 0o755, now
            archive.addfile(entry)
        for file in files:
            entry = tarfile.TarInfo(file.path.lstrip("/"))
            entry.size, entry.mode, entry.mtime = len(file.content), file.mode, now
            archive.addfile(entry, io.BytesIO(file.content))
    return packed.getvalue()


def folders_to_check(files: Iterable[File]) -> Sequence[str]:
    """Return the folders of *files* that an image may lack, outer ones first.

    The engine makes those that are absent itself, but with mode 0600, so that only root can look
    inside (20.10).
    """
    found: set[str] = set()
    for file in files:
        folder = posixpath.dirname(posixpath.normpath(file.path))
        while folder not in _ALWAYS_THERE and folder not in found:
            found.add(folder)
            folder = posixpath.dirname(folder)
    return sorted(found)


def packed_file(packed: bytes, path: str, resource: str) -> tuple[bytes | None, str]:
    """Return what `single_file` does for an archive that is still packed."""
    with tarfile.open(fileobj=io.BytesIO(packed)) as found:
        return single_file(found, path, resource)


def single_file(archive: tarfile.TarFile, path: str, resource: str) -> tuple[bytes | None, str]:
    """Return the content of the one file in *archive*, or where it points if it is a link.

    Raises EngineError of that *resource* if it is neither; NotFound if the archive is empty: the
    file was removed after the engine had found it, and before it was packed.
    """
    entry = archive.next()
    if entry is None:
        raise NotFound("read", resource, "it was removed meanwhile")
    if entry.issym():
        return None, posixpath.normpath(posixpath.join(posixpath.dirname(path), entry.linkname))
    if not entry.isfile():
        raise EngineError("read", resource, "it is no file")
    content = archive.extractfile(entry)
    return (b"" if content is None else content.read()), ""


def too_many_links(resource: str) -> EngineError:
    """Return the error for a link that leads to no file, however long it is followed."""
    return EngineError("read", resource, f"more than {LONGEST_LINKS} links lead to it")


def file_paths(archive: tarfile.TarFile, folder: str) -> Sequence[str]:
    """Return the paths of the files in the archive of a *folder*, whose name is their first part.

    Links count as files: whoever reads one finds what it points to.
    """
    inside = (entry.name for entry in archive if entry.isfile() or entry.issym() or entry.islnk())
    return sorted(posixpath.join(folder, name.partition("/")[2]) for name in inside)
