"""What we ask of the etcd members of a cluster with several servers. Pure.

The third seam, beside the engine and the Kubernetes API: whoever joins servers stands on it.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from k3dasync.errors import K3dAsyncError


class EtcdRefused(K3dAsyncError):
    """Etcd refused, in its own words: a learner not in sync, an unhealthy cluster."""

    code = "ETCD_UNHEALTHY"
    remedy = "Look at the servers' logs."


class EtcdUnreachable(EtcdRefused):
    """There is no way to that etcd from here."""

    remedy = "Nothing: k3s promotes its servers by itself, but more slowly."


class EtcdAbsent(EtcdUnreachable):
    """The server has no etcd: its cluster's datastore is another one."""

    remedy = "Nothing: servers need not join one."


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A member of the etcd cluster.

    Its name begins with its node's name and is empty before it has started for the first time.
    """

    id: int
    name: str
    is_learner: bool


class EtcdMembership(Protocol):
    """The membership of one etcd cluster; `way` says how it is reached, for people."""

    @property
    def way(self) -> str: ...

    async def members(self) -> Sequence[Member]:
        """Return all members, learners included; raises EtcdRefused if it does not answer."""

    async def promote(self, id: int) -> None:
        """Make a learner a voting member.

        Raises EtcdRefused if it is not in sync with the leader yet, or no learner.
        """

    async def remove(self, id: int) -> None:
        """Take a member out of the cluster.

        Raises EtcdRefused if there is none of that id, or the rest would be no quorum, or has not
        been connected for long enough to tell.
        """


class EtcdConnect(Protocol):
    """Makes a client for the etcd of a server, by the name of its container."""

    def __call__(self, server: str) -> AbstractAsyncContextManager[EtcdMembership]:
        """Connect to it.

        Raises EtcdAbsent if the server has none, EtcdUnreachable if there is no way to it, or the
        server is not there.
        """


def learner_of(members: Sequence[Member], node: str) -> Member | None:
    """Return the member of a joining server while it is a learner, None if it is not one.

    One that has no name yet is taken for it: etcd has one learner at a time, and nobody else is
    joining.
    """
    found = (one for one in members if one.is_learner)
    return next((one for one in found if not one.name or is_of(one, node)), None)


def joining_member(members: Sequence[Member], node: str) -> Member | None:
    """Return the member of a server that may be new, None if it is not one.

    One that has no name yet is taken for it, learner or not: a server tells its name only after its
    start, and may be promoted before. Nobody else is joining.
    """
    named = (one for one in members if is_of(one, node))
    return next(named, next((one for one in members if not one.name), None))


def is_voter(members: Sequence[Member], node: str) -> bool:
    """Say whether a server is a voting member."""
    return any(is_of(one, node) and not one.is_learner for one in members)


def is_of(member: Member, node: str) -> bool:
    """Say whether a member is that node's: k3s adds `-` and eight digits to the node's name."""
    return member.name.rpartition("-")[0] == node
