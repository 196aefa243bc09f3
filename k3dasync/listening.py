"""Which ports a container's processes listen on, as its kernel says (proc(5)). Pure."""

from collections.abc import Sequence

FILES = ("/proc/net/tcp", "/proc/net/tcp6", "/proc/net/udp", "/proc/net/udp6")
"""Of the network that a process is in; those of IPv6 are not there if the kernel has it off."""
COMMAND: Sequence[str] = ("cat", *FILES)

_STATES = {"0A": "tcp", "07": "udp"}
"""Linux's TCP_LISTEN, and TCP_CLOSE, which is what an unconnected UDP socket shows."""


def sockets(text: bytes) -> frozenset[tuple[int, str]]:
    """Return port and protocol of every listening socket in these files' content."""
    found = set()
    for line in text.decode(errors="replace").splitlines():
        columns = line.split()
        if len(columns) > 3 and columns[0].endswith(":") and columns[3] in _STATES:
            found.add((int(columns[1].rpartition(":")[2], 16), _STATES[columns[3]]))
    return frozenset(found)
