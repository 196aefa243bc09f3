"""From what is asked for to what is made: every name, address, label, command, file and port. Pure.

Equal inputs give equal output, so a plan can be printed, compared and tested without an engine.
"""

from k3dasync.resolve._addition import NodeSpec, Source, addition, files_of, grown, host_entries
from k3dasync.resolve._balancer import balancer_files
from k3dasync.resolve._cluster import resolve
from k3dasync.resolve._elsewhere import DEFAULT_NETWORK, Place, elsewhere

__all__ = [
    "DEFAULT_NETWORK",
    "NodeSpec",
    "Place",
    "Source",
    "addition",
    "balancer_files",
    "elsewhere",
    "files_of",
    "grown",
    "host_entries",
    "resolve",
]
