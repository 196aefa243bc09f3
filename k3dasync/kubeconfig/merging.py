"""Clusters into kubeconfigs and out of them, with regard to the files that are read as one."""

from pathlib import Path

from k3dasync.kubeconfig.document import (
    Config,
    KubeconfigError,
    contexts_of,
    has_entries,
    merged,
    without,
)
from k3dasync.kubeconfig.files import change, load
from k3dasync.kubeconfig.places import current_context, own_path, usual_paths


def merge_into(path: str, entries: Config, *, switch: bool, update: bool = True) -> None:
    """Merge *entries* into a file, which is created if absent.

    If it is one of several that kubectl reads as one, the context is switched where it is decided.
    """
    others = _beside(Path(path))
    has_current = current_context(others) is not None
    change(
        Path(path),
        lambda base: merged(base, entries, switch=switch, update=update, has_current=has_current),
    )
    if not switch:
        return
    for other in others:
        if other.absolute() == Path(path).absolute():
            break
        if load(other).get("current-context"):
            change(other, lambda base: {**base, "current-context": entries["current-context"]})
            break


def _beside(path: Path) -> list[Path]:
    """Return the files that kubectl reads as one with this, it among them; nothing if none."""
    usual = usual_paths()
    is_usual = path.absolute() in [one.absolute() for one in usual]
    return usual if is_usual and len(usual) > 1 else []


def remove_from(path: str, cluster: str, previous: str | None = None) -> bool:
    """Remove a cluster's entries from a file and say whether there were any.

    The cluster's own file goes as a whole. What is read as one with this file names the cluster's
    context no more, as the current one.
    """
    file = Path(path)
    if file == own_path(cluster).absolute():
        return _remove(file)
    if not file.is_symlink() and not file.exists():
        return False  # its lock would be made in vain
    found = False
    contexts = {one: _contexts(one) for one in _beside(file)}
    gone = contexts_of(load(file), cluster)
    elsewhere = {name for names in contexts.values() for name in names} - gone

    def remove(base: Config) -> Config:
        nonlocal found
        found = has_entries(base, cluster)
        return without(base, cluster, previous, elsewhere=elsewhere) if found else base

    def leave(base: Config) -> Config:
        if base.get("current-context") not in gone:
            return base
        return {**base, "current-context": previous if previous in elsewhere else ""}

    change(file, remove)
    for other in contexts:
        if other.absolute() != file.absolute() and other.exists():
            change(other, leave)
    return found


def _contexts(path: Path) -> set[str]:
    return {str(entry["name"]) for entry in load(path).get("contexts") or []}


def _remove(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise KubeconfigError(f"cannot remove {path}: {error.strerror}") from error
    return True
