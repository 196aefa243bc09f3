"""Which files are kubeconfigs of the user's, and which one is changed: as kubectl has it."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from k3dasync.journal import xdg_directory
from k3dasync.kubeconfig.document import KubeconfigError, clusters_of, has_entries
from k3dasync.kubeconfig.files import load


@dataclass(frozen=True, slots=True)
class Target:
    """The file a create merges into, and what was current there before."""

    path: str
    current_context: str | None
    switch: bool


def default_path(cluster: str = "") -> Path:
    """Return the file that kubectl would change: of `KUBECONFIG`, or else `~/.kube/config`.

    Of several it is the one that knows the *cluster*; else the first that exists, else the last:
    so says `kubectl config --help`. Raises KubeconfigError if one of them is none.
    """
    named = usual_paths()
    knowing = (path for path in named if cluster and has_entries(load(path), cluster))
    existing = (path for path in named if path.exists())
    return next(knowing, None) or next(existing, None) or named[-1]


def usual_paths() -> list[Path]:
    """Return the files of `KUBECONFIG`, each once, or the default one."""
    named = filter(None, os.environ.get("KUBECONFIG", "").split(os.pathsep))
    return [Path(text) for text in dict.fromkeys(named)] or [Path.home() / ".kube" / "config"]


def current_context(paths: Iterable[Path]) -> str | None:
    """Return what is current for kubectl: the first file that names one decides."""
    return next((str(name) for path in paths if (name := load(path).get("current-context"))), None)


@dataclass(frozen=True, slots=True)
class Search:
    """The files that know a cluster, and why others could not be searched."""

    found: tuple[str, ...]
    problems: tuple[str, ...]


def search(cluster: str, also: Iterable[str] = ()) -> Search:
    """Look for a cluster: in the files of `KUBECONFIG` or the default one, its own, and *also*."""
    places = (*usual_paths(), own_path(cluster), *map(Path, also))
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


def known_clusters() -> list[str]:
    """Return the clusters that the user's kubeconfigs know, and those with files of their own.

    Raises KubeconfigError if one of the user's is none.
    """
    own = (path.stem.removeprefix("kubeconfig-") for path in _folder().glob("kubeconfig-*.yaml"))
    found = [name for path in usual_paths() for name in clusters_of(load(path))]
    return sorted({*found, *own})


def own_path(cluster: str) -> Path:
    """Return the file that holds one cluster alone, where k3d has it."""
    return _folder() / f"kubeconfig-{cluster}.yaml"


def _folder() -> Path:
    return xdg_directory("XDG_CONFIG_HOME", ".config") / "k3d"


def target(cluster: str, *, switch: bool) -> Target:
    """Return the user's kubeconfig as it is now; raises KubeconfigError if it is unusable."""
    path = default_path(cluster)
    return Target(str(path.absolute()), current_context([*usual_paths(), path]), switch)
