"""A kubeconfig's content: reading, writing, k3d's names in it, merging, removing. Pure."""

from collections.abc import Collection
from typing import Any

from k3dasync.errors import K3dAsyncError

Config = dict[str, Any]
"""A kubeconfig as its YAML says: `clusters`, `users`, `contexts`, `current-context`, …"""


class KubeconfigError(K3dAsyncError):
    """A kubeconfig cannot be read, understood or written."""

    code = "KUBECONFIG_ERROR"
    remedy = "Mend or move the file that is named."


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
_MARK = "k3dasync"
"""The extension of contexts whose names do not say that they are ours. Clients keep extensions."""


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


def rewritten(config: Config, *, cluster: str, url: str, context: str | None = None) -> Config:
    """Return a server's own kubeconfig with k3d's names and the published address.

    A *context* of another name is marked as made here, so that it goes with the cluster.
    """
    try:
        entry = dict(config["clusters"][0]["cluster"], server=url)
        user = config["users"][0]["user"]
    except (KeyError, IndexError, TypeError) as error:
        raise KubeconfigError(f"the kubeconfig of cluster {cluster} has no entries") from error
    name, admin = context_name(cluster), user_name(cluster)
    leads: Config = {"cluster": name, "user": admin}
    if context is not None and context != name:
        leads["extensions"] = [{"name": _MARK, "extension": {"cluster": cluster}}]
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "preferences": {},
        "clusters": [{"name": name, "cluster": entry}],
        "users": [{"name": admin, "user": user}],
        "contexts": [{"name": context or name, "context": leads}],
        "current-context": context or name,
    }


def merged(
    base: Config,
    entries: Config,
    *,
    switch: bool,
    update: bool = True,
    has_current: bool = False,
) -> Config:
    """Return *base* with the clusters, users and contexts of *entries*, replacing same names.

    Their context becomes the current one with *switch*, or if there is none; *has_current*: there
    is one in another file. Raises KubeconfigError if a name is there already and *update* is false.
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
    if switch or not (has_current or base.get("current-context")):
        result["current-context"] = entries["current-context"]
    return result


def without(
    base: Config, cluster: str, previous: str | None, *, elsewhere: Collection[str] = ()
) -> Config:
    """Return *base* without a cluster's entries.

    If its context was the current one, *previous* becomes it again, if that still exists, here or
    *elsewhere*.
    """
    gone = {context_name(cluster), user_name(cluster)}
    contexts = contexts_of(base, cluster)
    result = dict(base)
    for part in _PARTS:
        leaving = contexts if part == "contexts" else gone
        result[part] = [one for one in base.get(part) or [] if one.get("name") not in leaving]
    if base.get("current-context") in contexts:
        names = {*(entry.get("name") for entry in result["contexts"]), *elsewhere}
        result["current-context"] = previous if previous in names else ""
    return result


def contexts_of(config: Config, cluster: str) -> set[str]:
    """Return the names of a cluster's contexts: k3d's, and those that were made here."""
    mark = {"name": _MARK, "extension": {"cluster": cluster}}
    marked = {
        str(entry["name"])
        for entry in config.get("contexts") or []
        if mark in ((entry.get("context") or {}).get("extensions") or [])
    }
    return {context_name(cluster), *marked}


def has_entries(config: Config, cluster: str) -> bool:
    """Say whether a kubeconfig knows a cluster, be it only as the one whose turn it is."""
    names = {context_name(cluster), user_name(cluster), *contexts_of(config, cluster)}
    return config.get("current-context") in contexts_of(config, cluster) or any(
        entry.get("name") in names for part in _PARTS for entry in config.get(part) or []
    )


def clusters_of(config: Config) -> list[str]:
    """Return the clusters that k3d or we have put into a kubeconfig."""
    users = {entry["name"] for entry in config.get("users") or []}
    found = [entry["name"] for entry in config.get("clusters") or []]
    names = [name.removeprefix("k3d-") for name in found if name.startswith("k3d-")]
    return [name for name in names if user_name(name) in users]
