"""The client's files which a datastore outside the cluster needs."""

from collections.abc import Mapping
from pathlib import Path

from k3dasync.invalid import FileUnreadable
from k3dasync.spec import Datastore


def read_files(store: Datastore | None) -> Mapping[str, bytes]:
    """Return the contents of a datastore's files, by path as it was given.

    Raises SpecError if one cannot be read.
    """
    if store is None:
        return {}
    given = {"cafile": store.cafile, "certfile": store.certfile, "keyfile": store.keyfile}
    return {path: _read(f"--datastore-{name}", path) for name, path in given.items() if path}


def _read(flag: str, path: str) -> bytes:
    try:
        return Path(path).expanduser().read_bytes()
    except OSError as error:
        raise FileUnreadable(f"{flag}: cannot read {path}: {error.strerror}") from error
