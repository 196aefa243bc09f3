"""What k3d keeps on the client for nodes with a limit of memory: a folder each, mounted into them.

k3d v5.9 puts them beside its kubeconfigs: a file `meminfo` and an empty folder `edac`.
"""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from k3dasync.life_errors import FolderNotRemoved

_NODE = re.compile(r"k3d-(.+)-(?:server|agent)-\d+")
_PARTS = frozenset({"meminfo", "edac"})


def folders() -> tuple[Path, ...]:
    """Return the folders that hold what k3d puts there, and nothing else."""
    return tuple(sorted({path for place in _places() for path in _found(place)}))


def node_of(folder: Path) -> str:
    """Return the node that such a folder is for."""
    return folder.name.removeprefix(".")


def cluster_of(node: str) -> str:
    """Return the cluster that a node belongs to by its name, nothing if that does not tell."""
    found = _NODE.fullmatch(node)
    return found[1] if found else ""


def remove(folder: Path) -> None:
    """Remove such a folder, and nothing that k3d has not put there.

    Raises FolderNotRemoved if there is something else in it, or it cannot be removed.
    """
    try:
        with suppress(FileNotFoundError):
            (folder / "meminfo").unlink()
        with suppress(FileNotFoundError):
            (folder / "edac").rmdir()
        with suppress(FileNotFoundError):
            folder.rmdir()
    except OSError as error:
        raise FolderNotRemoved(str(folder), error.strerror or str(error)) from error


def _places() -> Iterator[Path]:
    yield Path.home() / ".config" / "k3d"
    if named := os.environ.get("XDG_CONFIG_HOME"):
        yield Path(named)
        yield Path(named) / "k3d"


def _found(place: Path) -> Iterator[Path]:
    with suppress(OSError):
        for folder in place.glob(".k3d-*"):
            content = {one.name for one in folder.iterdir()} if folder.is_dir() else set()
            edac = folder / "edac"
            if content and content <= _PARTS and not (edac.is_dir() and any(edac.iterdir())):
                yield folder
