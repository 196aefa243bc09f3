"""Agents of clusters that are somewhere else: made, started, and asked themselves how they are."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat

from k3dasync.cluster import Node
from k3dasync.errors import Conflict, EngineError
from k3dasync.graph import Graph, TaskId
from k3dasync.kubernetes import node_status
from k3dasync.tasks import _ids, _node
from k3dasync.tasks._context import ClusterTask, Context
from k3dasync.tasks.grow import Attach
from k3dasync.tasks.image import EnsureImage
from k3dasync.undo import NOTHING, Undo

KUBELET_CONFIG = "/var/lib/rancher/k3s/agent/kubelet.kubeconfig"
"""A node's own credentials (k3s, pkg/agent/config): they let it read its own Node and no other."""
LOOK_PAUSE = 1.0
"""Between two questions: each starts a kubectl, half a second of CPU with real k3s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitReadyElsewhere:
    """Wait until an agent's Node is Ready, as the API says that it has joined.

    Nobody here has that cluster's credentials but the node itself. It counts only if the node has
    said so since its container has started.
    """

    node: str
    needs: frozenset[TaskId]

    @property
    def id(self) -> TaskId:
        return _ids.ready(self.node)

    @property
    def does(self) -> str:
        return "wait until the node is Ready"

    @property
    def undo(self) -> Undo:
        return NOTHING

    async def run(self, context: Context) -> None:
        lack = "the node to be accepted"
        since = await _node.started(context, self.node)

        async def is_ready() -> bool:
            nonlocal lack
            command = ["kubectl", "--kubeconfig", KUBELET_CONFIG, "get", "node", self.node]
            try:
                done = await context.runtime.execute(self.node, [*command, "-o", "json"])
                status = node_status(json.loads(done.out)) if done.code == 0 else None
            except Conflict:
                return False  # it is just being started again
            except (EngineError, ValueError, KeyError):
                return False
            if status is None or (status.heard is not None and status.heard < since):
                return False
            context.watch.note(status)
            lack = _node.what_node_lacks(status)
            _node.raise_if_full(status)
            return status.is_ready

        involved = (self.node,)

        def waiting() -> None:
            context.waiting(lack, involved)()

        pauses = repeat(LOOK_PAUSE)
        await context.watch.poll(is_ready, involved=involved, waiting=waiting, eager=pauses)


def waits(names: Iterable[str]) -> Iterator[AwaitReadyElsewhere]:
    """Yield what waits for these agents, each after its start."""
    for name in names:
        yield AwaitReadyElsewhere(node=name, needs=frozenset({_ids.start(name)}))


def plan(
    nodes: Sequence[Node], networks: Sequence[str], *, run: str, are_awaited: bool
) -> Graph[ClusterTask]:
    """Return what makes these agents, each in further *networks* too."""

    def tasks() -> Iterator[ClusterTask]:
        for image in dict.fromkeys(node.container.image for node in nodes):
            yield EnsureImage(image=image)
        for node in nodes:
            needs = frozenset({_ids.image(node.container.image)})
            yield _node.CreateContainer(node=node, run_id=run, has_own_network=False, needs=needs)
            created = frozenset({_ids.container(node.name)})
            for network in networks:
                yield Attach(node=node.name, network=network, run_id=run, needs=created)
            attached = frozenset(_ids.attach(node.name, network) for network in networks)
            yield _node.StartContainer(node=node, needs=created | attached)
        if are_awaited:
            yield from waits(node.name for node in nodes)

    return Graph(tasks())
