"""Which nodes are meant: `server:0`, `agents[0,2-3]`, `all`, a node's name.

    filter := (group [":" subset] | group "[" subset "]" | name) [":" suffix]
    group  := "server" | "servers" | "agent" | "agents" | "loadbalancer" | "all"
    subset := "*" | part {"," part} [","]
    part   := NUMBER | [NUMBER] "-" [NUMBER]
    suffix := "proxy" | "direct", where a port is meant

The form with colons is k3d's since version 5, the one with brackets that of versions before.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from k3dasync.errors import InvalidFilter
from k3dasync.grammar.names import spellings
from k3dasync.grammar.text import Text


class Group(StrEnum):
    """Nodes of one kind."""

    SERVERS = "servers"
    AGENTS = "agents"
    LOADBALANCER = "loadbalancer"
    ALL = "all"


class Suffix(StrEnum):
    """How a port reaches the nodes: through the load balancer, or published by the node itself."""

    PROXY = "proxy"
    DIRECT = "direct"


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers from `first` to `last`, both included; None is the group's own end."""

    first: int | None
    last: int | None

    def __str__(self) -> str:
        if self.first is not None and self.first == self.last:
            return str(self.first)
        first, last = ("" if end is None else str(end) for end in (self.first, self.last))
        return f"{first}-{last}"


EVERY = (Range(None, None),)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFilter:
    """Members of a group, or the one node of that name.

    `is_bracket`: in the older spelling. `text`: as the user wrote it, if somebody did.
    """

    group: Group | None = None
    subset: tuple[Range, ...] = ()
    name: str = ""
    suffix: Suffix | None = None
    is_bracket: bool = False
    text: str = field(default="", compare=False)

    def __str__(self) -> str:
        suffix = f":{self.suffix}" if self.suffix else ""
        if self.group is None or not self.subset:
            return f"{self.group or self.name}{suffix}"
        subset = "*" if self.subset == EVERY else ",".join(map(str, self.subset))
        if self.is_bracket:
            return f"{self.group}[{subset}]{suffix}"
        return f"{self.group}:{subset}{suffix}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Members:
    """The nodes that filters choose from, by name, each group in the order of its numbers."""

    servers: Sequence[str]
    agents: Sequence[str]
    loadbalancer: str | None

    @property
    def all(self) -> tuple[str, ...]:
        """Every node."""
        return (*self.servers, *self.agents, *filter(None, [self.loadbalancer]))


_GROUPS = {
    "server": Group.SERVERS,
    "servers": Group.SERVERS,
    "agent": Group.AGENTS,
    "agents": Group.AGENTS,
    "loadbalancer": Group.LOADBALANCER,
    "all": Group.ALL,
}
_COUNTED = {Group.SERVERS, Group.AGENTS}
_NODE = r"k3d-.+|(.+-)?(server|agent)-[0-9]+"
"""A node's name; without its prefixes only as those of a cluster's first nodes, else each slip of
the finger in a group's name would be one."""
_WHAT = "server:INDEX, agent:INDEX (INDEX as in 0, 0,2-3 or *), loadbalancer, all or a node's name"


def parse(text: str) -> NodeFilter:
    """Read one filter. Raises InvalidFilter if it is none."""
    reader = Text(text, error=InvalidFilter)
    word = reader.need(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", _WHAT)
    group = _GROUPS.get(word)
    if group is None and not re.fullmatch(_NODE, word):
        reader.at = 0
        reader.fail(_WHAT)
    subset: tuple[Range, ...] = ()
    is_bracket = group is not None and bool(reader.take(r"\["))
    if is_bracket:
        subset = tuple(_subset(reader))
        reader.need("]", "']'")
    elif group is not None and reader.take(r":(?=[-*\d])"):
        subset = tuple(_subset(reader))
    elif group in _COUNTED:
        reader.fail(f"':' and an index, as in {word}:0 or {word}:*")
    suffix = None
    if reader.take(":"):
        suffix = Suffix(reader.need(r"(proxy|direct)$", "proxy or direct"))
    reader.end("the end, or ':' and proxy or direct")
    return NodeFilter(
        group=group,
        # Of what is one of a kind, or everything, no part can be meant: k3d accepts it too.
        subset=subset if group in _COUNTED else (),
        name="" if group else word,
        suffix=suffix,
        is_bracket=is_bracket and group in _COUNTED,
        text=text,
    )


def _subset(reader: Text) -> Iterator[Range]:
    if reader.take(r"\*"):
        yield from EVERY
        return
    while True:
        yield _range(reader)
        if not reader.take(",") or reader.is_over or reader.rest[0] in "]:":
            return


def _range(reader: Text) -> Range:
    first = reader.take(r"\d{1,6}")
    if not reader.take("-"):
        if not first:
            reader.fail("a number, a range such as 0-2, or *")
        return Range(int(first), int(first))
    last = reader.take(r"\d{1,6}")
    found = Range(int(first) if first else None, int(last) if last else None)
    if found.first is not None and found.last is not None and found.first > found.last:
        reader.at -= len(last)
        reader.fail(f"a number of at least {found.first}")
    return found


def select(filters: Sequence[NodeFilter], members: Members) -> tuple[str, ...]:
    """Return the names of the nodes that are meant, each once, in the order of the filters.

    Raises InvalidFilter if one names a node that the cluster will not have.
    """
    found: dict[str, None] = {}
    for one in filters:
        found.update(dict.fromkeys(_chosen(one, members)))
    return tuple(found)


def _chosen(one: NodeFilter, members: Members) -> Sequence[str]:
    match one.group:
        case Group.ALL:
            return members.all
        case Group.LOADBALANCER:
            if members.loadbalancer is None:
                text = one.text or str(one)
                raise InvalidFilter(text, 0, "another node: the cluster has no load balancer")
            return (members.loadbalancer,)
        case Group.SERVERS:
            return _numbered(one, members.servers)
        case Group.AGENTS:
            return _numbered(one, members.agents)
        case None:
            return (_called(one, members),)


def _called(one: NodeFilter, members: Members) -> str:
    """Return the node of that name, from which `k3d-` and the cluster's name may be left out."""
    for found in (
        [name for name in members.all if name in spellings(one.name)],
        [name for name in members.all if name.endswith(f"-{one.name}")],
    ):
        if len(found) == 1:
            return found[0]
    raise InvalidFilter(one.text or one.name, 0, f"one of {', '.join(members.all)}")


def _numbered(one: NodeFilter, names: Sequence[str]) -> list[str]:
    found: list[str] = []
    for part in one.subset:
        for end in (part.first, part.last):
            if end is not None and end >= len(names):
                text = one.text or str(one)
                limit = (
                    f"an index below {len(names)}"
                    if names
                    else f"another group: there are no {one.group}"
                )
                raise InvalidFilter(text, text.index(str(end)), limit)
        last = len(names) - 1 if part.last is None else part.last
        found += names[part.first or 0 : last + 1]
    return found
