"""Nodes that leave a cluster which lives on: drained, taken out of etcd, removed, forgotten.

A server leaves etcd before its container goes: of two members none can go when one is dead. The
Node object goes last, as a kubelet that runs would make it anew.
"""

import re
import shlex
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import anyio

from k3dasync import kubeconfig, pauses
from k3dasync.cluster import APP, KUBECONFIG_PATH, ApiChoice, Node, Role
from k3dasync.errors import EngineError, K3dAsyncError, KubernetesError, NotFound
from k3dasync.etcd import (
    EtcdAbsent,
    EtcdConnect,
    EtcdMembership,
    EtcdRefused,
    is_of,
    joining_member,
)
from k3dasync.gather import gather
from k3dasync.graph import TaskId
from k3dasync.kubernetes import Credentials, Kubernetes, KubernetesConnect, credentials_of
from k3dasync.runtime import File, Runtime
from k3dasync.tasks import _ids
from k3dasync.tasks._context import SILENT, ClusterTask, Context, TaskReport
from k3dasync.undo import NOTHING, Uncordon, Undo

DRAIN_SECONDS = 30
"""For the pods of one node to end: what Kubernetes gives a pod that does not say how long it needs.
Those that need longer, or may not go, are killed with their node."""
DRAIN_EXTRA = 5.0
"""After which a kubectl that hangs is given up: it needs a second for itself on a busy machine."""
ETCD_SECONDS = 20.0
"""For etcd to let a member go. It refuses while one of the others has been connected for less than
its five seconds, and while it elects a leader, which takes k3s's etcd up to five more."""
GONE_SECONDS = 15.0
"""For a Node object to be gone: k3s keeps a server's until it has looked after its etcd."""
ETCD_PAUSE = 0.5
"""Between two tries: each reads three files from the server's container, some 50 ms of the engine's
time, and what they wait for takes seconds."""
SYSTEM = "kube-system"
CORDONED = "/var/lib/rancher/k3s/.k3dasync-cordoned"
"""A file in a node's container while it is cordoned because it is to be deleted."""
ASK_SECONDS = 5.0
"""For kubectl to say whether a node is cordoned: half a second with real k3s."""
PASSWORDS = "/var/lib/rancher/k3s/server/cred/node-passwd"
"""Where k3s before 1.20 keeps the passwords of nodes: `password,name,name,` in each line."""
_UNSCHEDULABLE = re.compile(rb'"unschedulable": *true')


@dataclass(frozen=True, slots=True, kw_only=True)
class Stayers:
    """Who can be asked about those who leave: servers that run and stay, and their API."""

    servers: tuple[str, ...]
    api: ApiChoice


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """Let a node's pods end and come up elsewhere, within a time; then it goes all the same."""

    node: str
    stayers: Stayers
    needs: frozenset[TaskId] = frozenset()

    @property
    def id(self) -> TaskId:
        return _ids.drain(self.node)

    @property
    def does(self) -> str:
        return f"drain, {DRAIN_SECONDS} s at most"

    @property
    def undo(self) -> Undo:
        return Uncordon(self.node, self.stayers.servers)

    async def run(self, context: Context) -> None:
        await self._mark(context)
        words = shlex.split(
            f"kubectl drain {self.node} --force --ignore-daemonsets --delete-emptydir-data"
            f" --timeout={DRAIN_SECONDS}s"
        )
        why = "no server to ask"
        for server in self.stayers.servers:
            context.report.waiting(f"the pods of {self.node}, by kubectl in {server}")
            with anyio.move_on_after(DRAIN_SECONDS + DRAIN_EXTRA):
                try:
                    done = await context.runtime.execute(server, words)
                except EngineError as error:
                    why = str(error)
                    continue
                if done.code == 0:
                    return
                why = done.last_line
                break
        context.report.progress(f"not drained: {why}")

    async def _mark(self, context: Context) -> None:
        """Note in the node that it is cordoned by us, unless somebody else has done it before.

        Before it is done, so that whoever takes it back finds it whatever happened meanwhile.
        """
        words = ["kubectl", "get", "node", self.node, "-o", "json"]
        for server in self.stayers.servers:
            with anyio.move_on_after(ASK_SECONDS):
                try:
                    done = await context.runtime.execute(server, words)
                except EngineError:
                    continue
                if done.code == 0 and not _UNSCHEDULABLE.search(done.out):
                    file = File(path=CORDONED, content=b"")
                    await context.runtime.write_files(self.node, [file])
                return


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaveEtcd:
    """Take a server's member out of etcd."""

    node: str
    stayers: Stayers
    needs: frozenset[TaskId] = frozenset()

    @property
    def id(self) -> TaskId:
        return _ids.leave(self.node)

    @property
    def does(self) -> str:
        return "take it out of etcd"

    @property
    def undo(self) -> Undo:
        return NOTHING

    async def run(self, context: Context) -> None:
        await leave_etcd(context.etcd, self.stayers.servers, self.node, report=context.report)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveNode:
    """Remove a node's container with its anonymous volumes."""

    node: str
    needs: frozenset[TaskId] = frozenset()

    @property
    def id(self) -> TaskId:
        return _ids.remove("container", self.node)

    @property
    def does(self) -> str:
        return "remove"

    @property
    def undo(self) -> Undo:
        return NOTHING

    async def run(self, context: Context) -> None:
        # Half removed it is of no use to anybody: so this is not stopped. The call has a deadline.
        with anyio.CancelScope(shield=True):
            await context.runtime.remove_container(self.node, APP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forget:
    """Delete a node's Node object and its password, so that another one may have its name."""

    node: str
    stayers: Stayers
    needs: frozenset[TaskId] = frozenset()

    @property
    def id(self) -> TaskId:
        return _ids.forget(self.node)

    @property
    def does(self) -> str:
        return "delete its Node object and password"

    @property
    def undo(self) -> Undo:
        return NOTHING

    async def run(self, context: Context) -> None:
        await forget(
            [self.node],
            self.stayers.servers,
            host=self.stayers.api.connect_host,
            port=self.stayers.api.port,
            runtime=context.runtime,
            kubernetes=context.kubernetes,
        )


async def leave_etcd(
    connect: EtcdConnect,
    servers: Sequence[str],
    node: str,
    *,
    may_be_new: bool = False,
    seconds: float = ETCD_SECONDS,
    before: Callable[[], Awaitable[None]] | None = None,
    report: TaskReport = SILENT,
) -> None:
    """Take a node's member out of etcd, if there is etcd and it is one; asked of these servers.

    One that *may be new* may have no name yet: nobody else is joining. *before* is
    called before each try.

    Raises EtcdRefused with etcd's words if it does not let it go in time.
    """
    refusal = EtcdRefused(f"no server can be asked to take {node} out of etcd")
    with anyio.move_on_after(seconds):
        while True:
            if before is not None:
                await before()
            for server in servers:
                try:
                    async with connect(server) as etcd:
                        await _let_go(etcd, node, may_be_new=may_be_new)
                except EtcdAbsent:
                    pass
                except EtcdRefused as error:
                    refusal = error
                    continue
                return
            report.waiting(f"etcd to let it go: {refusal}")
            await anyio.sleep(ETCD_PAUSE)
    raise refusal


async def _let_go(etcd: EtcdMembership, node: str, *, may_be_new: bool) -> None:
    members = await etcd.members()
    leaving = [one for one in members if is_of(one, node)]
    if not leaving and may_be_new and (joining := joining_member(members, node)):
        leaving = [joining]
    for member in leaving:
        await etcd.remove(member.id)


async def forget(
    nodes: Sequence[str],
    servers: Sequence[str],
    *,
    host: str,
    port: int,
    runtime: Runtime,
    kubernetes: KubernetesConnect,
) -> None:
    """Delete nodes' Node objects and passwords, by the API at *host*, *port*.

    Raises KubernetesError if that does not do it.
    """
    found = await credentials(servers, runtime)
    await gather([partial(_strike_out, runtime, server, nodes) for server in servers])
    async with kubernetes(host, port, found) as api:
        await gather([partial(_delete, api, node) for node in nodes])


async def credentials(servers: Sequence[str], runtime: Runtime) -> Credentials:
    """Return the API's credentials as the first of these servers has them that can be asked.

    Raises K3dAsyncError if none can.
    """
    refusal: K3dAsyncError = KubernetesError("no server has a kubeconfig to ask its API with")
    for server in servers:
        try:
            content = await runtime.read_file(server, KUBECONFIG_PATH)
            return credentials_of(kubeconfig.parse(content, server))
        except K3dAsyncError as error:
            refusal = error
    raise refusal


async def _delete(api: Kubernetes, node: str) -> None:
    """Delete a node's password and the Node object, and return when that is gone.

    The Node goes last: as long as it is there, another delete finds out that there is more to do.
    An API in trouble is asked again: etcd elects a leader when the one that it had has just left.
    """
    refusal = KubernetesError(f"node {node} is still there after {GONE_SECONDS:g} s")
    with anyio.move_on_after(GONE_SECONDS):
        for pause in pauses.growing():
            try:
                await api.delete_secret(SYSTEM, f"{node}.node-password.k3s")
                if not await api.delete_node(node):
                    return
            except KubernetesError as error:
                refusal = error
            await anyio.sleep(pause)
    raise refusal


async def _strike_out(runtime: Runtime, server: str, nodes: Sequence[str]) -> None:
    """Take nodes out of the file in which k3s before 1.20 keeps passwords."""
    try:
        before = await runtime.read_file(server, PASSWORDS)
    except NotFound:
        return
    lines, gone = before.splitlines(keepends=True), [[node.encode()] for node in nodes]
    kept = [line for line in lines if line.split(b",")[1:2] not in gone]
    if kept != lines:
        file = File(path=PASSWORDS, content=b"".join(kept), mode=0o600)
        await runtime.write_files(server, [file])


def steps(node: str) -> tuple[TaskId, TaskId, TaskId]:
    """Return the ids of what cannot be taken back: out of etcd, removed, forgotten."""
    return _ids.leave(node), _ids.remove("container", node), _ids.forget(node)


def drained(node: str) -> TaskId:
    """Return the id of the task after which a node is drained."""
    return _ids.drain(node)


def tasks(
    leaving: Sequence[Node],
    *,
    stayers: Stayers | None,
    running: Collection[str],
    balanced: TaskId | None,
    has_etcd: bool,
    gone: Collection[str] = (),
) -> Iterator[ClusterTask]:
    """Yield what takes these nodes out of their cluster; without *stayers* it is not told.

    Those *running* are drained; of those *gone* the containers went before. *balanced*: the load
    balancer forwards nothing to them any more.
    """
    if stayers is None:
        yield from (RemoveNode(node=node.name) for node in leaving)
        return
    told = frozenset({balanced} if balanced else ())
    previous: frozenset[TaskId] = frozenset()
    for name in gone:
        needs = told
        if has_etcd:
            # One at a time: each changes how many make a quorum.
            yield LeaveEtcd(node=name, stayers=stayers, needs=needs | previous)
            needs = previous = frozenset({_ids.leave(name)})
        yield Forget(node=name, stayers=stayers, needs=needs)
    for node in leaving:
        if node.role not in {Role.SERVER, Role.AGENT}:
            yield RemoveNode(node=node.name)
            continue
        needs = told
        if node.name in running:
            yield Drain(node=node.name, stayers=stayers)
            needs |= {_ids.drain(node.name)}
        if node.role is Role.SERVER and has_etcd:
            yield LeaveEtcd(node=node.name, stayers=stayers, needs=needs | previous)
            needs = previous = frozenset({_ids.leave(node.name)})
        yield RemoveNode(node=node.name, needs=needs)
        removed = frozenset({_ids.remove("container", node.name)})
        yield Forget(node=node.name, stayers=stayers, needs=removed)
