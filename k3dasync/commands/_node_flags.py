"""What `node create` is told."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from cyclopts import Parameter

from k3dasync.commands._parameters import whole
from k3dasync.grammar.words import parse_label, parse_runtime_label, parse_size, parse_ulimit
from k3dasync.images import K3S
from k3dasync.invalid import InvalidCount, InvalidName, InvalidValue, InvalidWait
from k3dasync.spec import (
    DEFAULT_NAME,
    DEFAULT_TIMEOUT,
    LEAST_MEMORY,
    WaitLevel,
    check_image,
    check_name,
    parse_duration,
    parse_wait,
    read,
)

if TYPE_CHECKING:
    from k3dasync.resolve import NodeSpec

ValueT = TypeVar("ValueT")
REMOTE = "https://"
"""How the URL of a cluster begins which is somewhere else."""
MOST_REPLICAS = 1000
"""A Linux bridge takes 1023 members."""
LONGEST_NAME = 63
"""A hostname's limit, and a Node's."""


def _flag(*names: str, help: str) -> Parameter:
    return Parameter(name=names, help=help, negative="", allow_repeating=True)


def _list(*names: str, help: str) -> Parameter:
    return Parameter(
        name=names, help=help, negative="", consume_multiple=False, allow_leading_hyphen=True
    )


WaitNodesFlag = Annotated[
    str | None,
    _flag("--wait", help="nodes (if not given, too): until each is Ready; false: do not wait."),
]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class NodeFlags:
    """What new nodes are like; None is not given."""

    replicas: Annotated[
        int,
        Parameter(
            name="--replicas", help="How many.", negative="", converter=whole, allow_repeating=True
        ),
    ] = 1
    role: Annotated[Literal["agent", "server"], _flag("--role", help="What they are.")] = "agent"
    cluster: Annotated[
        str,
        _flag("--cluster", "-c", help="The cluster, or the https:// URL of one elsewhere."),
    ] = DEFAULT_NAME
    image: Annotated[
        str | None,
        _flag("--image", "-i", help=f"The k3s image; the cluster's own, elsewhere {K3S}."),
    ] = None
    memory: Annotated[str | None, _flag("--memory", help="Of each node, such as 2g.")] = None
    wait: WaitNodesFlag = None
    timeout: Annotated[
        str | None,
        _flag("--timeout", help="Take all back after that time; 15m if not given, 0s: no limit."),
    ] = None
    runtime_label: Annotated[
        tuple[str, ...], _list("--runtime-label", help="KEY=VALUE for the containers.")
    ] = ()
    runtime_ulimit: Annotated[
        tuple[str, ...], _list("--runtime-ulimit", help="NAME=SOFT:HARD for the containers.")
    ] = ()
    k3s_node_label: Annotated[
        tuple[str, ...], _list("--k3s-node-label", help="KEY=VALUE for the Node objects.")
    ] = ()
    network: Annotated[
        tuple[str, ...], _list("--network", "-n", help="One more network of the engine.")
    ] = ()
    token: Annotated[
        str | None, _flag("--token", "-t", help="The cluster's secret; needed for one elsewhere.")
    ] = None
    k3s_arg: Annotated[tuple[str, ...], _list("--k3s-arg", help="ARG for k3s, as it stands.")] = ()

    @property
    def is_remote(self) -> bool:
        """Whether the cluster is somewhere else."""
        return self.cluster.startswith(REMOTE)

    @property
    def waits(self) -> bool:
        """Whether each node is waited for; raises SpecError for a level of clusters."""
        return waits(self.wait)

    @property
    def seconds(self) -> float | None:
        """How long the whole may take."""
        return DEFAULT_TIMEOUT if self.timeout is None else parse_duration(self.timeout)

    def names(self, name: str) -> tuple[str, ...]:
        """Return the names of the containers: k3d's."""
        if not 1 <= self.replicas <= MOST_REPLICAS:
            raise InvalidCount(f"--replicas {self.replicas}: expected 1 to {MOST_REPLICAS}")
        found = tuple(f"k3d-{name}-{index}" for index in range(self.replicas))
        if len(found[-1]) > LONGEST_NAME or not re.fullmatch(
            r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", name
        ):
            raise InvalidName(
                f"node name {name!r}: expected small letters and digits, between them also '-' "
                f"and '.', and at most {LONGEST_NAME} characters in {found[-1]}"
            )
        return found

    def spec(self) -> "NodeSpec":
        """Return what is asked of the nodes; raises SpecError if it cannot be understood."""
        from k3dasync.cluster import Role
        from k3dasync.resolve import NodeSpec

        if not self.is_remote:
            check_name(self.cluster)
        labels = _each("--runtime-label", parse_runtime_label, _words(self.runtime_label))
        nodes = _each("--k3s-node-label", parse_label, _words(self.k3s_node_label))
        return NodeSpec(
            role=Role(self.role),
            image=check_image(self.image, "--image") if self.image else None,
            memory=_memory(self.memory) if self.memory else None,
            labels=dict(labels),
            ulimits=_each("--runtime-ulimit", parse_ulimit, _words(self.runtime_ulimit)),
            node_labels=tuple(f"{key}={value}" for key, value in nodes),
            networks=_words(self.network),
            token=self.token or None,
            arguments=self.k3s_arg,
        )


def waits(text: str | None) -> bool:
    """Say whether nodes are waited for; raises SpecError for a level of clusters."""
    level = WaitLevel.NODES if text is None else parse_wait(text)
    if level not in {WaitLevel.NODES, WaitLevel.NONE}:
        raise InvalidWait(
            f"--wait={level}: nodes are waited for (true, nodes) or not (false, none)"
        )
    return level is WaitLevel.NODES


def _memory(text: str) -> int:
    found = read("--memory", parse_size, text)
    if found < LEAST_MEMORY:
        raise InvalidValue(f"--memory {text}: no engine takes less than 6m")
    return found


def _words(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the values of a list which k3d splits at commas."""
    return tuple(word for text in texts for word in text.split(",") if word)


def _each(flag: str, parse: Callable[[str], ValueT], texts: Sequence[str]) -> tuple[ValueT, ...]:
    return tuple(read(flag, parse, text) for text in texts)


DEFAULT_FLAGS = NodeFlags()
