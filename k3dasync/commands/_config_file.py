"""Reading a config file for a command, and telling people about it."""

from k3dasync.config import loading
from k3dasync.config.loading import Loaded
from k3dasync.config.schemas import api_version
from k3dasync.verbosity import inform, warn


def load(where: str) -> Loaded:
    """Read a config file; what is odd in it is told.

    Raises ConfigInvalid if it is wrong, SpecError if it cannot be read.
    """
    loaded = loading.load(where)
    inform(f"using config file {loaded.origin} ({api_version(loaded.version)})")
    for text in loaded.warnings:
        warn(text)
    return loaded
