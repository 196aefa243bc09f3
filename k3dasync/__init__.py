"""k3s clusters in Docker containers, made by a concurrent orchestrator with an event log."""

__version__ = "0.1.0"
