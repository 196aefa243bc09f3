"""Reading a config file for a command, and telling people about it."""

from k3dasync.config import loading
from k3dasync.config.loading import Loaded
from k3dasync.config.schemas import api_version
from k3dasync.verbosity import inform, warn


def load(where: str) -> Loaded:
    """Read a config file; what is odd in it is told.

    Raises ConfigInvalid if it is wrong, SpecError if it cannot be read.
    """
    return _told(loading.load(where))


def name_in(where: str) -> str:
    """Return the cluster's name in a config file, without reading what else the file names.

    Raises ConfigInvalid if it is wrong, SpecError if it cannot be read.
    """
    return _told(loading.load(where, text_of=lambda _given: "")).spec.name


def _told(loaded: Loaded) -> Loaded:
    inform(f"using config file {loaded.origin} ({api_version(loaded.version)})")
    for text in loaded.warnings:
        warn(text)
    return loaded
