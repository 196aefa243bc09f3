"""What we ask of the etcd members of a cluster with several servers. Pure.

The third seam beside the engine and the Kubernetes API. Joins are gated by the Kubernetes API so
far; whoever promotes learners from outside stands on this.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from k3dasync.errors import K3dAsyncError


class EtcdRefused(K3dAsyncError):
    """Etcd refused, in its own words: a learner not in sync, an unhealthy cluster."""

    code = "ETCD_UNHEALTHY"
    remedy = "Look at the servers' logs."


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A member of the etcd cluster; its name begins with its node's name."""

    id: int
    name: str
    is_learner: bool


class EtcdMembership(Protocol):
    """The membership of one etcd cluster."""

    async def members(self) -> Sequence[Member]:
        """Return all members, learners included."""

    async def promote(self, id: int) -> None:
        """Make a learner a voting member.

        Raises EtcdRefused if it is not in sync with the leader yet, or no learner.
        """
