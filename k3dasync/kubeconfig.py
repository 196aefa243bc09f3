"""Kubeconfigs: k3d's names in them, merging, removing, and the file they live in.

Everything above `merge_into` is pure. Files are replaced in one step, under a lock, mode 0600,
symlinks kept, so that parallel runs lose nothing and nobody reads half a file.
"""

import hashlib
import os
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from k3dasync.errors import K3dAsyncError
from k3dasync.journal import lock_file, state_dir, xdg_directory

Config = dict[str, Any]
"""A kubeconfig as its YAML says: `clusters`, `users`, `contexts`, `current-context`, …"""


class KubeconfigError(K3dAsyncError):
    """A kubeconfig cannot be read, understood or written."""

    code = "KUBECONFIG_ERROR"
    remedy = "Mend or move the file that is named."


@dataclass(frozen=True, slots=True)
class Target:
    """The file a create merges into, and what was current there before."""

    path: str
    current_context: str | None
    switch: bool


def context_name(cluster: str) -> str:
    """Return k3d's name for a cluster's context and cluster entries."""
    return f"k3d-{cluster}"


def user_name(cluster: str) -> str:
    """Return k3d's name for a cluster's user entry."""
    return f"admin@k3d-{cluster}"


def parse(content: bytes, origin: str) -> Config:
    """Read a kubeconfig; an empty one is an empty mapping.

    Raises KubeconfigError if it is none, naming *origin*.
    """
    import yaml

    try:
        config = yaml.load(content, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    except yaml.YAMLError as error:
        words = " ".join(str(error).split())
        raise KubeconfigError(f"cannot read {origin}: it is not YAML: {words}") from error
    if config is None:
        return {}
    if not isinstance(config, dict) or not _is_kubeconfig(config):
        raise KubeconfigError(f"cannot read {origin}: it is not a kubeconfig")
    return config


_PARTS = ("clusters", "contexts", "users")


def _is_kubeconfig(config: Config) -> bool:
    """Say whether it can be one: another kind of Kubernetes' documents looks the same otherwise."""
    kind, version = config.get("kind", "Config"), config.get("apiVersion", "v1")
    return (kind, version) == ("Config", "v1") and all(
        _has_names(config.get(part)) for part in _PARTS
    )


def _has_names(entries: object) -> bool:
    return entries is None or (
        isinstance(entries, list)
        and all(isinstance(entry, dict) and isinstance(entry.get("name"), str) for entry in entries)
    )


def dump(config: Config) -> bytes:
    """Return the YAML of a kubeconfig, keys sorted as kubectl does."""
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text = yaml.dump(config, Dumper=dumper, default_flow_style=False, sort_keys=True)
    return str(text).encode()


def is_complete(content: bytes) -> bool:
    """Say whether k3s has written the whole file: the user's key stands at its end."""
    return b"client-key-data:" in content and content.endswith(b"\n")


def rewritten(config: Config, *, cluster: str, url: str) -> Config:
    """Return a server's own kubeconfig with k3d's names and the published address."""
    try:
        entry = dict(config["clusters"][0]["cluster"], server=url)
        user = config["users"][0]["user"]
    except (KeyError, IndexError, TypeError) as error:
        raise KubeconfigError(f"the kubeconfig of cluster {cluster} has no entries") from error
    name, admin = context_name(cluster), user_name(cluster)
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "preferences": {},
        "clusters": [{"name": name, "cluster": entry}],
        "users": [{"name": admin, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": admin}}],
        "current-context": name,
    }


def merged(base: Config, entries: Config, *, switch: bool, update: bool = True) -> Config:
    """Return *base* with the clusters, users and contexts of *entries*, replacing same names.

    Raises KubeconfigError if a name is there already and *update* is false.
    """
    result: Config = {"apiVersion": "v1", "kind": "Config", "preferences": {}, **base}
    for part in _PARTS:
        by_name = {entry["name"]: entry for entry in base.get(part) or []}
        for entry in entries.get(part) or []:
            if entry["name"] in by_name and not update and by_name[entry["name"]] != entry:
                raise KubeconfigError(
                    f"{entry['name']} already exists in target KubeConfig; pass --update"
                )
            by_name[entry["name"]] = entry
        result[part] = list(by_name.values())
    if switch or not base.get("current-context"):
        result["current-context"] = entries["current-context"]
    return result


def without(base: Config, cluster: str, previous: str | None) -> Config:
    """Return *base* without a cluster's entries.

    If its context was the current one, *previous* becomes it again, if that still exists.
    """
    gone = {context_name(cluster), user_name(cluster)}
    result = dict(base)
    for part in _PARTS:
        result[part] = [entry for entry in base.get(part) or [] if entry.get("name") not in gone]
    if base.get("current-context") == context_name(cluster):
        names = [entry.get("name") for entry in result["contexts"]]
        result["current-context"] = previous if previous in names else ""
    return result


def has_entries(config: Config, cluster: str) -> bool:
    """Say whether a kubeconfig knows a cluster."""
    names = {context_name(cluster), user_name(cluster)}
    return any(entry.get("name") in names for part in _PARTS for entry in config.get(part) or [])


def default_path() -> Path:
    """Return the user's kubeconfig: `KUBECONFIG` if it names one file, else `~/.kube/config`.

    Raises KubeconfigError if it names several: which one to change is not ours to guess.
    """
    named = _usual_paths()
    if len(named) > 1:
        raise KubeconfigError(
            f"KUBECONFIG names {len(named)} files, and which one to change is not to be guessed; "
            "set it to one of them, or name a file (create: --kubeconfig-update-default=false, "
            "then k3dasync kubeconfig merge -o FILE)"
        )
    return named[0]


def _usual_paths() -> list[Path]:
    """Return the files of `KUBECONFIG`, each once, or the default one."""
    named = filter(None, os.environ.get("KUBECONFIG", "").split(os.pathsep))
    return [Path(text) for text in dict.fromkeys(named)] or [Path.home() / ".kube" / "config"]


@dataclass(frozen=True, slots=True)
class Search:
    """The files that know a cluster, and why others could not be searched."""

    found: tuple[str, ...]
    problems: tuple[str, ...]


def search(cluster: str, also: Iterable[str] = ()) -> Search:
    """Look for a cluster: in the files of `KUBECONFIG` or the default one, its own, and *also*."""
    places = (*_usual_paths(), own_path(cluster), *map(Path, also))
    paths = dict.fromkeys(path.absolute() for path in places)
    found, problems = [], []
    for path in paths:
        try:
            config = load(path)
        except KubeconfigError as error:
            problems.append(str(error))
            continue
        if has_entries(config, cluster):
            found.append(str(path))
    return Search(tuple(found), tuple(problems))


def own_path(cluster: str) -> Path:
    """Return the file that holds one cluster alone, where k3d has it."""
    directory = xdg_directory("XDG_CONFIG_HOME", ".config")
    return directory / "k3d" / f"kubeconfig-{cluster}.yaml"


def load(path: Path) -> Config:
    """Read a kubeconfig file; an absent one is empty. Raises KubeconfigError if it is none."""
    _refuse_special(path)
    try:
        return parse(path.read_bytes(), str(path))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise KubeconfigError(f"cannot read {path}: {error.strerror}") from error


def _refuse_special(path: Path) -> None:
    """Raise KubeconfigError if a device, pipe or directory is there.

    Reading a pipe can hang, and replacing a device would take it from the whole system.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise KubeconfigError(f"cannot use {path}: {error.strerror}") from error
    if not stat.S_ISREG(mode):
        kind = "a directory" if stat.S_ISDIR(mode) else "not a regular file"
        raise KubeconfigError(f"cannot use {path} as a kubeconfig: it is {kind}")


def refuse_if_not_writable(path: Path) -> None:
    """Raise KubeconfigError if the file could not be replaced; leaves no trace.

    For before a cluster is made: to find out at its end would cost minutes.
    """
    folder = path.resolve().parent
    while not folder.exists():
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise KubeconfigError(
            f"cannot write {path}: {error.strerror}; set KUBECONFIG to another file, "
            "or pass --kubeconfig-update-default=false"
        ) from error


def target(*, switch: bool) -> Target:
    """Return the user's kubeconfig as it is now; raises KubeconfigError if it is unusable."""
    path = default_path()
    current = load(path).get("current-context") or None
    return Target(str(path.absolute()), current, switch)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    _refuse_special(path)
    key = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
    with lock_file(state_dir() / "locks" / f"kubeconfig-{key}", wait=True):
        yield


def _change(path: Path, change: Callable[[Config], Config]) -> None:
    with _locked(path):
        before = load(path)
        after = change(before)
        if after != before:
            write(path, dump(after))


def write(path: Path, content: bytes) -> None:
    """Replace a file in one step, mode 0600; a symlink keeps pointing to the changed file."""
    _refuse_special(path)
    real = path.resolve()
    try:
        real.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=real.parent, prefix=f".{real.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:  # mkstemp made it 0600
                file.write(content)
            Path(temporary).replace(real)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise KubeconfigError(f"cannot write {path}: {error.strerror}") from error


def merge_into(path: str, entries: Config, *, switch: bool, update: bool = True) -> None:
    """Merge *entries* into a file, which is created if absent."""
    _change(Path(path), lambda base: merged(base, entries, switch=switch, update=update))


def remove_from(path: str, cluster: str, previous: str | None = None) -> bool:
    """Remove a cluster's entries from a file and say whether there were any.

    The cluster's own file goes as a whole.
    """
    if Path(path) == own_path(cluster).absolute():
        return _remove(Path(path))
    found = False

    def change(base: Config) -> Config:
        nonlocal found
        found = has_entries(base, cluster)
        return without(base, cluster, previous) if found else base

    if os.path.lexists(path):  # else its lock would be made in vain
        _change(Path(path), change)
    return found


def _remove(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise KubeconfigError(f"cannot remove {path}: {error.strerror}") from error
    return True
