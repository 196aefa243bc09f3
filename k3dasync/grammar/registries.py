"""How users name registries.

One that is used: `[http(s)://]HOST[:PORT[:PORT]]`; one that is made: `NAME[:[HOST:]PORT]`.
"""

from dataclasses import dataclass

from k3dasync.grammar import exposure
from k3dasync.grammar.exposure import Exposure
from k3dasync.grammar.ports import read_port
from k3dasync.grammar.text import Text
from k3dasync.grammar.words import HOSTNAME

LONGEST = 63
"""A registry's name is its container's hostname, which DNS limits to that; RFC 1035 2.3.4."""


@dataclass(frozen=True, slots=True)
class RegistryReference:
    """A registry that is there; only its name counts, as the container knows the rest."""

    name: str
    scheme: str = ""
    ports: tuple[int, ...] = ()

    def __str__(self) -> str:
        begin = f"{self.scheme}://" if self.scheme else ""
        return begin + ":".join((self.name, *map(str, self.ports)))


@dataclass(frozen=True, slots=True)
class NewRegistry:
    """A registry that is to be made, and where it is published."""

    name: str
    exposure: Exposure = Exposure()  # noqa: RUF009 - it is frozen

    def __str__(self) -> str:
        return self.name + (f":{self.exposure}" if self.exposure != Exposure() else "")


def parse_reference(text: str) -> RegistryReference:
    """Read a reference to a registry. Raises InvalidSyntax if it is none."""
    reader = Text(text)
    scheme = reader.take("https?://").removesuffix("://")
    name = _name(reader)
    ports: list[int] = []
    while len(ports) < 2 and reader.take(":"):
        ports.append(read_port(reader))
    reader.end("the end" if len(ports) == 2 else "the end, or ':' and a port")
    return RegistryReference(name, scheme, tuple(ports))


def parse_new(text: str) -> NewRegistry:
    """Read a registry to be made. Raises InvalidSyntax if it is none."""
    reader = Text(text)
    name, where = _name(reader), Exposure()
    if reader.take(":"):
        where = exposure.read(reader)
    reader.end("the end" if where != Exposure() else "the end, or ':' and [HOST:]PORT")
    return NewRegistry(name, where)


def parse_name(text: str) -> str:
    """Check a registry's name and return it. Raises InvalidSyntax if it can be none."""
    reader = Text(text)
    name = _name(reader)
    reader.end("the end")
    return name


def _name(reader: Text) -> str:
    # Not every name of a container: an image's name begins with that of its registry, and may
    # not hold, say, an underscore there.
    name = reader.need(HOSTNAME, "a host's name, as images have it before the first '/'")
    if len(name) > LONGEST:
        reader.at -= len(name) - LONGEST
        reader.fail(f"at most {LONGEST} characters")
    return name
