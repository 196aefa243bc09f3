"""Kubeconfigs: k3d's names in them, merging, removing, and the files they live in."""

from k3dasync.kubeconfig.document import (
    Config,
    KubeconfigError,
    clusters_of,
    context_name,
    dump,
    has_entries,
    is_complete,
    merged,
    parse,
    rewritten,
    user_name,
    without,
)
from k3dasync.kubeconfig.files import (
    load,
    refuse_if_not_writable,
    replace,
    write,
)
from k3dasync.kubeconfig.merging import (
    merge_into,
    remove_from,
)
from k3dasync.kubeconfig.places import (
    Search,
    Target,
    current_context,
    default_path,
    known_clusters,
    own_path,
    search,
    target,
    usual_paths,
)

__all__ = [
    "Config",
    "KubeconfigError",
    "Search",
    "Target",
    "clusters_of",
    "context_name",
    "current_context",
    "default_path",
    "dump",
    "has_entries",
    "is_complete",
    "known_clusters",
    "load",
    "merge_into",
    "merged",
    "own_path",
    "parse",
    "refuse_if_not_writable",
    "remove_from",
    "replace",
    "rewritten",
    "search",
    "target",
    "user_name",
    "usual_paths",
    "without",
    "write",
]
