"""Port mappings, as docker has them: `[IP:][[HOST[-LAST]]:]CONTAINER[-LAST][/PROTOCOL]`."""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from k3dasync.errors import InvalidPort
from k3dasync.grammar.text import Text


class Protocol(StrEnum):
    """What is spoken below the application."""

    TCP = "tcp"
    UDP = "udp"
    SCTP = "sctp"


@dataclass(frozen=True, slots=True)
class PortRange:
    """Port numbers from `first` to `last`, both included."""

    first: int
    last: int

    def __len__(self) -> int:
        return self.last - self.first + 1

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """One container port, and where it is published.

    `host` None lets the engine choose a port, a range lets it choose one of those.
    """

    container: int
    protocol: Protocol
    host: PortRange | None
    host_ip: str

    @property
    def port(self) -> str:
        """The container's port as the engine writes it: `80/tcp`."""
        return f"{self.container}/{self.protocol}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PortMapping:
    """What a user writes for one port or a range of them."""

    container: PortRange
    protocol: Protocol = Protocol.TCP
    host: PortRange | None = None
    host_ip: str = ""

    def __str__(self) -> str:
        ip = f"[{self.host_ip}]" if ":" in self.host_ip else self.host_ip
        host = "" if self.host is None else str(self.host)
        before = f"{ip}:{host}:" if ip else f"{host}:" if host else ""
        return f"{before}{self.container}/{self.protocol}"

    def publications(self) -> Iterator[Publication]:
        """Yield one publication a container port; ranges are of equal length, pair by pair."""
        single = len(self.container) == 1
        for offset, port in enumerate(range(self.container.first, self.container.last + 1)):
            host = self.host
            if host is not None and not single:
                host = PortRange(host.first + offset, host.first + offset)
            yield Publication(
                container=port, protocol=self.protocol, host=host, host_ip=self.host_ip
            )


def parse(text: str) -> PortMapping:
    """Read a mapping. Raises InvalidPort if it is none."""
    reader = Text(text, error=InvalidPort)
    host_ip = _address(reader)
    start = reader.at
    host: PortRange | None = None
    # No port before the colon, or 0: the engine chooses one.
    is_open = bool(reader.take("0?:"))
    container = _range(reader)
    if not is_open and reader.take(":"):
        host, container = container, _range(reader)
    elif not is_open and host_ip:
        reader.fail("':' and the port in the container")
    protocol = Protocol.TCP
    if reader.take("/"):
        protocol = Protocol(reader.need(r"(tcp|udp|sctp)$", "tcp, udp or sctp"))
    reader.end("the end, ':' and a port, or '/' and a protocol")
    if host is not None and len(container) > 1 and len(host) != len(container):
        reader.at = start
        reader.fail(f"{len(container)} host ports for as many in the container")
    return PortMapping(container=container, protocol=protocol, host=host, host_ip=host_ip)


def _address(reader: Text) -> str:
    """Read an address and the colon behind it, if one stands here."""
    start = reader.at
    found = reader.take(r"\[[0-9A-Fa-f:.]*\]|[0-9.]*\.[0-9.]*|[A-Za-z][\w.-]*").strip("[]")
    if not found:
        return ""
    try:
        address = str(ipaddress.ip_address(found))
    except ValueError:
        reader.at = start
        reader.fail("a port, or an IP address of the host")
    reader.need(":", "':' behind the address")
    return address


def _range(reader: Text) -> PortRange:
    first = read_port(reader)
    if not reader.take("-"):
        return PortRange(first, first)
    start = reader.at
    last = read_port(reader)
    if last < first:
        reader.at = start
        reader.fail(f"a port of at least {first}")
    return PortRange(first, last)


def read_port(reader: Text, expected: str = "a port, 1 to 65535") -> int:
    """Read a port's number from where the reader stands; InvalidSyntax says what was *expected*."""
    start = reader.at
    digits = reader.need(r"\d+", expected)
    if not 0 < int(digits[:6]) < 65536 or len(digits) > 5:
        reader.at = start
        reader.fail(expected)
    return int(digits)
