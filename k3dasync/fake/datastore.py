"""What the servers of one simulated cluster share: etcd's members, Node objects, passwords.

Lives as long as one of the containers that have it in their volumes. Nothing here takes time.
"""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from k3dasync.etcd import EtcdRefused, Member
from k3dasync.fake.changed import Changed
from k3dasync.fake.latency import NodeLatency
from k3dasync.kubernetes import NodeStatus
from k3dasync.workloads import Kind, Workload, Workloads

TOO_MANY_LEARNERS = "etcdserver: too many learner members in cluster"
UNHEALTHY = "etcdserver: unhealthy cluster"
NOT_IN_SYNC = "etcdserver: can only promote a learner member which is in sync with leader"
NO_LEARNER = "etcdserver: can only promote a learner member"
NO_MEMBER = "etcdserver: member not found"
NO_ANSWER = "context deadline exceeded"

PASSWORD_SUFFIX = ".node-password.k3s"  # noqa: S105 - part of a secret's name
NOT_READY = "container runtime network not ready: cni plugin not initialized"
LOST = "Kubelet stopped posting node status."


@dataclass(slots=True)
class EtcdMember:
    """One member, a learner until it is promoted. `connected_since` None: it is not there."""

    id: int
    node: str
    address: str
    added: float
    is_learner: bool = True
    has_started: bool = False
    connected_since: float | None = None

    def shown(self) -> Member:
        """Return it as etcd lists it: with the name that it tells itself, when it has started.

        k3s adds a random part to the node's name.
        """
        name = f"{self.node}-{self.id * 2654435761 % 2**32:08x}" if self.has_started else ""
        return Member(id=self.id, name=name, is_learner=self.is_learner)


@dataclass(slots=True)
class Datastore:
    """The state of one cluster. Without etcd (SQLite) it can never have a second server."""

    name: str
    token: str
    has_etcd: bool
    latency: NodeLatency
    changed: Changed
    members: list[EtcdMember] = field(default_factory=list)
    nodes: dict[str, NodeStatus] = field(default_factory=dict)
    system: dict[Kind, Workloads] = field(default_factory=lambda: {kind: {} for kind in Kind})
    passwords: dict[str, str] = field(default_factory=dict)
    connected: set[str] = field(default_factory=set)
    apis: set[str] = field(default_factory=set)
    kubelets: set[str] = field(default_factory=set)
    drained: set[str] = field(default_factory=set)
    cordoned: set[str] = field(default_factory=set)
    version: int = 0
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    # --- etcd -------------------------------------------------------------------------------

    def add_first(self, node: str, address: str) -> None:
        """Make the init server the only member, healthy from the beginning."""
        first = EtcdMember(next(self._ids), node, address, 0.0, is_learner=False, has_started=True)
        self.members.append(first)

    def add_learner(self, node: str, address: str, now: float) -> EtcdMember:
        """Add a joining server; raises EtcdRefused if it does not fit just now."""
        if any(member.is_learner for member in self.members):
            raise EtcdRefused(TOO_MANY_LEARNERS)
        if not self.has_quorum or not self._are_healthy(now):
            raise EtcdRefused(UNHEALTHY)
        member = EtcdMember(next(self._ids), node, address, now)
        self.members.append(member)
        self.tell()
        return member

    def promote(self, id: int, now: float) -> None:
        """Give a learner its vote; raises EtcdRefused if it is none or not in sync yet."""
        member = next((one for one in self.members if one.id == id), None)
        if member is None:
            raise EtcdRefused(NO_MEMBER)
        if not member.is_learner:
            raise EtcdRefused(NO_LEARNER)
        if not self.is_in_sync(member, now):
            raise EtcdRefused(NOT_IN_SYNC)
        member.is_learner = False
        self.tell()

    def remove(self, id: int, now: float) -> None:
        """Take a member away; raises EtcdRefused if there is none, or too few would be left.

        As etcd's `--strict-reconfig-check` has it (mayRemoveMember of its server): who is not there
        may go, and of those who are only as many as leave a quorum that has been healthy for long.
        """
        member = next((one for one in self.members if one.id == id), None)
        if member is None:
            raise EtcdRefused(NO_MEMBER)
        if not self.has_quorum:
            raise EtcdRefused(NO_ANSWER)
        if not member.is_learner and member.node in self.connected:
            rest = [one for one in self.members if not one.is_learner and one is not member]
            there = [one for one in rest if self._has_long_been_there(one, now)]
            if not rest or 2 * len(there) <= len(rest):
                raise EtcdRefused(UNHEALTHY)
        self.members = [one for one in self.members if one is not member]
        self.tell()

    def _has_long_been_there(self, one: EtcdMember, now: float) -> bool:
        if one is self.members[0]:  # the one that is asked
            return one.node in self.connected
        since = one.connected_since
        return since is not None and since + self.latency.healthy_after <= now

    def _are_healthy(self, now: float) -> bool:
        """Say whether all voters but the oldest, who is asked, have been connected for long.

        As measured on etcd 3.4: from when they connected, be that as a learner.
        """
        others = [one for one in self.members if not one.is_learner][1:]
        since = [one.connected_since for one in others]
        return all(one is not None and one + self.latency.healthy_after <= now for one in since)

    def is_in_sync(self, member: EtcdMember, now: float) -> bool:
        """Say whether a learner has caught up with the leader."""
        return member.node in self.connected and now >= member.added + self.latency.sync

    def member(self, node: str) -> EtcdMember | None:
        """Return the member of that node, if it is one."""
        return next((one for one in self.members if one.node == node), None)

    @contextmanager
    def linked(self, node: str, now: float) -> Iterator[None]:
        """Let the member of a node be connected to the others."""
        member = self.member(node)
        if member is not None:
            member.connected_since, member.has_started = now, True
        try:
            with self.present(self.connected, node):
                yield
        finally:
            if member is not None:
                member.connected_since = None

    @property
    def has_quorum(self) -> bool:
        """Whether more than half of the voters are there."""
        voters = [one.node for one in self.members if not one.is_learner]
        return not self.has_etcd or 2 * len(self.connected & set(voters)) > len(voters)

    @property
    def leader(self) -> str | None:
        """The member that promotes: the oldest voter which is there."""
        found = (one.node for one in self.members if not one.is_learner)
        return next((node for node in found if node in self.connected), None)

    # --- nodes ------------------------------------------------------------------------------

    def accepts(self, node: str, password: str) -> bool:
        """Say whether a node may use that name: the first one to do so sets its password."""
        return self.passwords.setdefault(node, password) == password

    def report(
        self,
        node: str,
        *,
        is_ready: bool,
        reason: str = "",
        disk_pressure: str = "",
        heard: float | None = None,
    ) -> None:
        """Set what a Node object says, and make it if it is not there."""
        status = NodeStatus(
            name=node, is_ready=is_ready, reason=reason, disk_pressure=disk_pressure, heard=heard
        )
        if self.nodes.get(node) != status:
            self.nodes = {**self.nodes, node: status}
            self.tell()

    def lose(self, node: str) -> None:
        """Note that a kubelet has been silent for too long; a controller must run to note it."""
        status = self.nodes.get(node)
        if self.apis and node not in self.kubelets and status is not None and status.is_ready:
            self.nodes = {**self.nodes, node: replace(status, is_ready=False, reason=LOST)}
            self.tell()

    def delete_node(self, node: str) -> bool:
        """Delete a Node object with its password; k3s takes a server's member away with it."""
        if node not in self.nodes:
            return False
        self.nodes = {name: status for name, status in self.nodes.items() if name != node}
        self.passwords.pop(node, None)
        self.cordoned.discard(node)
        self.members = [one for one in self.members if one.node != node]
        self.tell()
        return True

    def delete_secret(self, name: str) -> bool:
        """Delete a secret of kube-system; there are only nodes' passwords."""
        node = name.removesuffix(PASSWORD_SUFFIX)
        return name != node and self.passwords.pop(node, None) is not None

    def drain(self, node: str) -> None:
        """Let nothing run on a node any more."""
        self.drained.add(node)
        self.cordoned.add(node)

    def note(self, workload: Workload) -> None:
        """Set what an object of k3s's own namespace says, and make it if it is not there.

        One that has been available stays so: no pods are simulated.
        """
        found = self.system[workload.kind]
        before = found.get(workload.name)
        if before is None or not (before.is_available or before == workload):
            self.system[workload.kind] = {**found, workload.name: workload}
            self.tell()

    @contextmanager
    def present(self, group: set[str], node: str) -> Iterator[None]:
        """Let a node be in one of `connected`, `apis` and `kubelets`."""
        group.add(node)
        self.tell()
        try:
            yield
        finally:
            group.discard(node)
            self.tell()

    def tell(self) -> None:
        """Wake all who wait for a change."""
        self.version += 1
        self.changed.tell()
