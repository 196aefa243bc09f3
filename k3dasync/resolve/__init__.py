"""From what is asked for to what is made: every name, address, label, command, file and port. Pure.

Equal inputs give equal output, so a plan can be printed, compared and tested without an engine.
"""

from k3dasync.resolve._balancer import balancer_files
from k3dasync.resolve._cluster import resolve

__all__ = ["balancer_files", "resolve"]
