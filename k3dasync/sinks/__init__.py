"""Readers of the event stream: one file each, each with a `write`."""
