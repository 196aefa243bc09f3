"""From what is asked for to what is made: every name, address, label, command, file and port. Pure.

Equal inputs give equal output, so a plan can be printed, compared and tested without an engine.
"""

from k3dasync.resolve._addition import NodeSpec, Source, addition, files_of, grown, host_entries
from k3dasync.resolve._balancer import balancer_files, servers_alias, values_file
from k3dasync.resolve._cluster import resolve
from k3dasync.resolve._edit import PortEdit, Ports, Standing, api_binding, claims
from k3dasync.resolve._elsewhere import DEFAULT_NETWORK, Place, elsewhere
from k3dasync.resolve._own import mounted_volumes
from k3dasync.resolve._registries import HOSTING_PATH, hides, hosting, mirrors_of
from k3dasync.resolve._registry_node import lone_registry

__all__ = [
    "DEFAULT_NETWORK",
    "HOSTING_PATH",
    "NodeSpec",
    "Place",
    "PortEdit",
    "Ports",
    "Source",
    "Standing",
    "addition",
    "api_binding",
    "balancer_files",
    "claims",
    "elsewhere",
    "files_of",
    "grown",
    "hides",
    "host_entries",
    "hosting",
    "lone_registry",
    "mirrors_of",
    "mounted_volumes",
    "resolve",
    "servers_alias",
    "values_file",
]
