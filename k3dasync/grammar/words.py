"""The shorter grammars: variables, labels, ulimits, host aliases, sizes."""

import ipaddress
from dataclasses import dataclass

from k3dasync.errors import InvalidSyntax
from k3dasync.grammar.text import Text

ULIMITS = (
    *("core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc"),
    *("rss", "rtprio", "rttime", "sigpending", "stack"),
)
"""The kernel's names, without their `RLIMIT_`; setrlimit(2)."""
RESERVED = ("k3d.", "k3s.", "k3dasync.")
"""Labels from which the state of clusters is read."""
HOSTNAME = r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*"
_UNITS = {"": 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40, "p": 2**50}


@dataclass(frozen=True, slots=True)
class Ulimit:
    """A limit of the kernel for a container's processes."""

    name: str
    soft: int
    hard: int

    def __str__(self) -> str:
        return f"{self.name}={self.soft}:{self.hard}"


@dataclass(frozen=True, slots=True)
class HostAlias:
    """Names which nodes and pods resolve to an address."""

    address: str
    names: tuple[str, ...]

    def __str__(self) -> str:
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"{address}:{','.join(self.names)}"


def parse_variable(text: str) -> str:
    """Check `KEY[=VALUE]` and return it. Raises InvalidSyntax if there is no key."""
    Text(text).need(r"[^=\s\0]+", "KEY=VALUE")
    return text


def parse_pair(text: str) -> str:
    """Check `KEY=VALUE` and return it. Raises InvalidSyntax if it is none."""
    Text(text).need(r"[^=\s\0]+=", "KEY=VALUE")
    return text


def parse_label(text: str) -> tuple[str, str]:
    """Read `KEY[=VALUE]`. Raises InvalidSyntax if there is no key."""
    key = Text(text).need(r"[^=\s\0]+", "KEY=VALUE")
    return key, text.removeprefix(key).removeprefix("=")


def parse_runtime_label(text: str) -> tuple[str, str]:
    """Read a container's label. Raises InvalidSyntax if its key is reserved."""
    key, value = parse_label(text)
    if key == "app" or key.startswith(RESERVED):
        reserved = ", ".join(f"{prefix}*" for prefix in RESERVED)
        raise InvalidSyntax(text, 0, f"a key of your own: app, {reserved} are reserved")
    return key, value


def parse_ulimit(text: str) -> Ulimit:
    """Read `NAME=SOFT:HARD`. Raises InvalidSyntax if it is none, or a name is unknown."""
    reader = Text(text)
    name = reader.take("[a-z]+")
    if name not in ULIMITS:
        reader.at = 0
        reader.fail(f"one of {', '.join(ULIMITS)}")
    reader.need("=", "'='")
    soft = int(reader.need(r"-1|\d{1,19}", "the soft limit, a number"))
    reader.need(":", "':' and the hard limit")
    start = reader.at
    hard = int(reader.need(r"-1|\d{1,19}", "the hard limit, a number"))
    reader.end("the end")
    if hard != -1 and not 0 <= soft <= hard:  # -1 is no limit
        reader.at = start
        reader.fail("a hard limit that is not below the soft one")
    return Ulimit(name, soft, hard)


def parse_host_alias(text: str) -> HostAlias:
    """Read `IP:NAME{,NAME}`, IPv6 addresses in brackets. Raises InvalidSyntax if it is none."""
    reader = Text(text)
    found = reader.take(r"\[[^\]]*\]") or reader.take("[^:]*")
    try:
        address = str(ipaddress.ip_address(found.removeprefix("[").removesuffix("]")))
    except ValueError:
        reader.at = 0
        reader.fail("an IP address, one of IPv6 in brackets")
    reader.need(":", "':' and a name")
    names = [reader.need(HOSTNAME, "a host's name")]
    while reader.take(","):
        names.append(reader.need(HOSTNAME, "a host's name"))
    reader.end("the end, or ',' and another name")
    return HostAlias(address, tuple(names))


def parse_size(text: str) -> int:
    """Read docker's size of memory, `512m` or `1.5GiB`, and return bytes.

    Units are powers of 1024. Raises InvalidSyntax if it is none.
    """
    reader = Text(text.lower())
    # As many digits as a float holds exactly.
    number = reader.need(r"\d{1,15}(\.\d+)?|\.\d+", "a size, such as 512m or 1.5g")
    reader.take(" ")
    unit = reader.take("[bkmgtp]")
    reader.take("b" if unit == "b" else "i?b")
    reader.end("a unit: b, k, m, g, t or p")
    return int(float(number) * _UNITS[unit])


def size(number: int) -> str:
    """Return bytes as docker writes them, in the largest unit without a rest: `512m`."""
    unit = next(unit for unit in reversed(_UNITS) if number % _UNITS[unit] == 0 and unit != "")
    return f"{number // _UNITS[unit]}{unit}"
