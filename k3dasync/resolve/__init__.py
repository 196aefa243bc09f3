"""From what is asked for to what is made: every name, address, label, command, file and port. Pure.

Equal inputs give equal output, so a plan can be printed, compared and tested without an engine.
"""

from k3dasync.resolve._balancer import balancer_files
from k3dasync.resolve._cluster import resolve
from k3dasync.resolve._registries import HOSTING_PATH, hides, hosting, mirrors_of
from k3dasync.resolve._registry_node import lone_registry

__all__ = [
    "HOSTING_PATH",
    "balancer_files",
    "hides",
    "hosting",
    "lone_registry",
    "mirrors_of",
    "resolve",
]
