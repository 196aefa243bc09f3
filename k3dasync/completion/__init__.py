"""Completion of command lines: what may stand next, and how shells ask for it."""
