"""Where something is published on the engine's host: `[HOST:]PORT`, `random` lets us choose."""

import ipaddress
from dataclasses import dataclass

from k3dasync.grammar.ports import read_port
from k3dasync.grammar.text import Text


@dataclass(frozen=True, slots=True)
class Exposure:
    """An address or a name of the host, and a port; None leaves the choice to us."""

    host: str | None = None
    port: int | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in (self.host or "") else self.host
        port = "random" if self.port is None else str(self.port)
        return f"{host}:{port}" if host else port


def parse(text: str) -> Exposure:
    """Read an exposure, IPv6 addresses in brackets. Raises InvalidSyntax if it is none."""
    reader = Text(text)
    exposure = read(reader)
    reader.end("the end")
    return exposure


def read(reader: Text) -> Exposure:
    """Read an exposure from where the reader stands."""
    host = _host(reader)
    if reader.take(r"random\b"):
        return Exposure(host, None)
    return Exposure(host, read_port(reader, "a port, 1 to 65535, or random"))


def _host(reader: Text) -> str | None:
    """Read a host and the colon behind it, if one stands here."""
    start = reader.at
    if found := reader.take(r"\[[^\]]*\](?=:)|[0-9.]+(?=:)"):
        try:
            # Libraries would take 6550 for the address 0.0.25.150.
            found = str(ipaddress.ip_address(found.strip("[]")))
        except ValueError:
            reader.at = start
            reader.fail("an address or a name of the host, and a port")
    else:
        found = reader.take(r"[A-Za-z0-9][\w.-]*(?=:)")
    if found:
        reader.need(":", "':' and a port")
    return found or None
