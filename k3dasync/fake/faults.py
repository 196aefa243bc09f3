"""What goes wrong on order: calls that fail, hang or are slow, and nodes that die.

The orders are plain data; `Faults` holds them and counts. Without orders nothing goes wrong and
the counting tells a test how many calls there were to break.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase

import anyio

from k3dasync.errors import EngineUnavailable

CALL_SECONDS = 60.0
"""The deadline of a call that hangs: ten times the slowest measured, a removal among 14."""


class ProcessKilled(BaseException):
    """The process that called the engine has died: nothing it says reaches the engine any more.

    No Exception, so that no handler of the code under test takes it for a refusal.
    """


@dataclass(frozen=True, slots=True)
class Fail:
    """The call raises this."""

    error: BaseException


@dataclass(frozen=True, slots=True)
class Hang:
    """The call does not return before its deadline; then the engine counts as unavailable."""


@dataclass(frozen=True, slots=True)
class Delay:
    """The call takes so many seconds more."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Kill:
    """The caller's process dies: this call and all after it raise ProcessKilled."""


@dataclass(frozen=True, slots=True)
class Call:
    """Something of the test's happens, say a cancel scope is cancelled; then the call goes on."""

    function: Callable[[], object]


Trouble = Fail | Hang | Delay | Kill | Call


class Moment(StrEnum):
    """When a call goes wrong: before it takes effect, or after, when only the answer is lost."""

    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One call that goes wrong.

    `verb` is a glob over the names of the runtime's methods, `name` one over what they are
    called with (a container, network, volume or image name, or empty). Of the calls that match,
    the *nth* and the following *times* - 1 are hit; the first is 1.
    """

    trouble: Trouble
    verb: str = "*"
    name: str = "*"
    nth: int = 1
    times: int = 1
    moment: Moment = Moment.BEFORE


class Stage(StrEnum):
    """What a node reaches, in this order; agents skip the servers' own.

    AVAILABLE is the init server's: it has applied its manifests, and what they run may come.
    """

    STARTED = "started"
    SUPERVISOR = "supervisor"
    JOINED = "joined"
    UP = "up"
    REGISTERED = "registered"
    READY = "ready"
    AVAILABLE = "available"


class NodeTrouble(StrEnum):
    """What a node does instead of reaching a stage."""

    CRASH = "crash"
    OOM = "oom"
    STALL = "stall"
    DISK_PRESSURE = "disk pressure"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFault:
    """Nodes whose name matches the glob *node* do not reach *stage*, the first *times* times.

    None is for ever. A node that stalls before READY runs and is never ready; one with disk
    pressure goes on, and its Node says so in the words of *says* from REGISTERED on.
    """

    node: str
    stage: Stage
    trouble: NodeTrouble = NodeTrouble.CRASH
    times: int | None = None
    says: str = "fault on order"


@dataclass(slots=True)
class Faults:
    """The orders of one test, and what has been counted so far.

    `calls` lists every call to the engine as (verb, name), in the order of arrival: a sweep reads
    from it what there is to break. After a Kill, `revive` lets a new process talk to the engine.
    """

    orders: tuple[Fault | NodeFault, ...] = ()
    calls: list[tuple[str, str]] = field(default_factory=list)
    is_killed: bool = False
    _counts: dict[int, int] = field(default_factory=dict)

    def revive(self) -> None:
        """Let calls through again: they come from a new process."""
        self.is_killed = False

    def arrive(self, verb: str, name: str) -> tuple[Fault, ...]:
        """Count a call and return what is to go wrong with it."""
        self.check_alive()
        self.calls.append((verb, name))
        found = []
        for index, order in enumerate(self.orders):
            if (
                isinstance(order, Fault)
                and fnmatchcase(verb, order.verb)
                and fnmatchcase(name, order.name)
            ):
                count = self._count(index)
                if order.nth <= count < order.nth + order.times:
                    found.append(order)
        return tuple(found)

    def check_alive(self) -> None:
        """Raise ProcessKilled if the calling process is dead."""
        if self.is_killed:
            raise ProcessKilled

    async def strike(self, faults: tuple[Fault, ...], moment: Moment) -> None:
        """Let the faults of that moment happen to the call that is running."""
        for fault in faults:
            if fault.moment is moment:
                await self._strike(fault.trouble)
        self.check_alive()

    async def _strike(self, trouble: Trouble) -> None:
        match trouble:
            case Fail(error):
                raise error
            case Hang():
                await anyio.sleep(CALL_SECONDS)
                raise EngineUnavailable(f"the engine did not answer within {CALL_SECONDS:g} s")
            case Delay(seconds):
                await anyio.sleep(seconds)
            case Kill():
                self.is_killed = True
            case Call(function):
                function()

    def at_stage(self, node: str, stage: Stage) -> NodeFault | None:
        """Return what goes wrong with a node at a stage, if anything does; it is counted."""
        for index, order in enumerate(self.orders):
            if (
                isinstance(order, NodeFault)
                and order.stage is stage
                and fnmatchcase(node, order.node)
                and (order.times is None or self._count(index) <= order.times)
            ):
                return order
        return None

    def _count(self, index: int) -> int:
        self._counts[index] = self._counts.get(index, 0) + 1
        return self._counts[index]
