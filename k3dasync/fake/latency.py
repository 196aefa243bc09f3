"""How long everything takes on the fake engine: plain numbers, each with its source. Pure.

The defaults describe real k3s v1.21 in Docker 20.10 on a machine of two cores. A test compares
the makespans they give with those measured there; seconds on a real machine vary by 30 %.
"""

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds that pass by themselves, and seconds that need a core to themselves.

    The second kind takes longer when more of it is wanted than there are cores.
    """

    idle: float = 0.0
    cpu: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLatency:
    """What the engine's calls cost. 14 containers: see the comments."""

    # `GET /info`: 80-220 ms.
    facts: Cost = Cost(0.1)
    # Lists, inspections and looking up an image: 1-2 ms.
    read: Cost = Cost(0.002)
    # A file travels as a tar through a helper process of the engine: 10-20 ms.
    copy: Cost = Cost(0.015)
    # Measured 0.2-0.3 s and 0.15-0.2 s.
    network_create: Cost = Cost(0.25)
    network_remove: Cost = Cost(0.17)
    # Measured 0.03-0.06 s, both ways.
    network_connect: Cost = Cost(0.04)
    # A directory is made: a few ms.
    volume: Cost = Cost(0.005)
    # 14 creates took 0.25-0.76 s one after the other and 0.05-0.09 s at once.
    create: Cost = Cost(0.022, 0.006)
    # 14 starts took 7.9-10.0 s one after the other and 3.6-6.7 s at once. So of 0.65 s most is
    # work (namespaces, mounts, the runtime's own processes) that shares the cores with whatever
    # runs, and little is a lock: the network's, while an endpoint is made.
    start: Cost = Cost(0.07, 0.5)
    start_serial: float = 0.08
    # k3s ends within half a second of its SIGTERM.
    stop: Cost = Cost(0.5)
    # 14 removals by force took 3.3-5.2 s at once and 0.2-0.4 s each alone: nearly all of it is
    # the engine taking mounts apart under one lock.
    remove: Cost = Cost(0.05)
    remove_serial: float = 0.28
    # A process in a running container, until it runs: 0.1-0.15 s.
    execute: Cost = Cost(0.1)
    # What an engine packs and sends: about 200 MB/s.
    export_megabyte: float = 0.005
    # A line of 160 Mbit/s: assumed, not measured. Three pulls share it.
    pull_megabyte: float = 0.05
    # The registry is asked for the manifest first; a few round trips.
    manifest: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeLatency:
    """What k3s needs from stage to stage: each cost is counted from the stage before.

    The sums on an idle machine: supervisor 3.0 s, up 8.5 s, registered 11.2 s, Ready 21.2 s
    (measured 3.0, 7-9, 9-12 and 19-24 s).
    """

    # A server until its datastore answers: 1.4 s.
    datastore: Cost = Cost(0.4, 1.0)
    # Until `Wrote kubeconfig`: 2.5 s.
    kubeconfig: Cost = Cost(0.3, 0.8)
    # The file is there a moment before its content is.
    kubeconfig_fill: Cost = Cost(0.02)
    # Until `/cacerts` answers 200: 3.0 s.
    supervisor: Cost = Cost(0.2, 0.28)
    # Until `k3s is up and running`: 8.5 s.
    up: Cost = Cost(2.0, 3.5)
    # The same for a joining server, which is up 5.5 s after it has noticed its promotion.
    joiner_up: Cost = Cost(1.4, 2.5)
    # Until the Node object exists; the kubelet looks for Docker for 5 s, partly before "up".
    register: Cost = Cost(1.7, 1.0)
    # Until Ready: the kubelet reports every 10 s, and the first report comes before its network.
    ready: Cost = Cost(9.2, 0.8)
    # More when there is data already: one server was up again after 14.7 s instead of 8.5 s.
    reopen: Cost = Cost(1.2, 5.0)
    # Members that find each other again: three were up 27-30 s after the first start.
    rejoin: Cost = Cost(5.0, 2.0)

    # A joining server until it asks to be a member, and until its own etcd runs.
    ask: Cost = Cost(0.4, 0.5)
    member: Cost = Cost(0.2, 0.3)
    # A promotion was accepted 1.2-2.4 s after the joiner's start.
    sync: float = 0.6
    # k3s: the joiner asks every 5 s whether it is promoted, the leader promotes every 15 s.
    joiner_poll: float = 5.0
    promotion_tick: float = 15.0
    # etcd: a member is healthy when it has been connected for 5 s; 5.2 s was enough.
    healthy_after: float = 5.0

    # What k3s deploys: its manifests are staged when its API is up, each is applied in turn, the
    # pods come when a node is Ready, and a chart is a job first. Assumed, not measured: with
    # images that are there. They cost no core, as what was measured has the work of pods in it.
    stage: Cost = Cost(0.5)
    apply: Cost = Cost(0.1)
    pods: Cost = Cost(8.0)
    chart: Cost = Cost(6.0)

    # An agent until it asks for the CA certificates, and again every 2 s in vain.
    agent_ask: Cost = Cost(0.2, 0.3)
    agent_retry: float = 2.0
    # While the server's API is not up its configuration is refused, and asked for every 5 s.
    agent_poll: float = 5.0
    # From the answer to `Successfully registered node`: 7-8 s; 5 of them look for Docker.
    agent_register: Cost = Cost(5.4, 1.8)
    agent_ready: Cost = Cost(9.6, 0.4)

    # The node controller calls a kubelet lost that has been silent for 40 s, its default.
    lost_after: float = 40.0
    # A registry reads its settings and listens: assumed, not measured.
    registry: Cost = Cost(0.1, 0.02)
    # nginx forks and listens.
    loadbalancer: Cost = Cost(0.05, 0.02)


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """All latencies; `cores` is what the engine and its nodes share."""

    cores: int = 2
    engine: EngineLatency = EngineLatency()
    node: NodeLatency = NodeLatency()
    # Docker's restart policy: 100 ms, doubled each time, at most a minute, and from the beginning
    # again after 10 s of peace.
    restart_first: float = 0.1
    restart_longest: float = 60.0
    restart_peace: float = 10.0

    def scaled(self, factor: float) -> "Latency":
        """Return the same with every duration multiplied by *factor*."""
        return _scaled(self, factor)

    @classmethod
    def instant(cls) -> "Latency":
        """Return latencies for tests in which time does not matter.

        All costs are zero. Pauses between repeated attempts are a millisecond: without any, a
        node that waits for something that never comes would keep the clock from moving.
        """
        tiny = 0.001
        none = cls().scaled(0.0)
        node = replace(
            none.node,
            joiner_poll=tiny,
            promotion_tick=tiny,
            agent_retry=tiny,
            agent_poll=tiny,
        )
        return replace(none, node=node, restart_first=tiny, restart_longest=tiny)


def _scaled(value: T, factor: float) -> T:
    changes: dict[str, Any] = {}
    for field in fields(value):  # type: ignore[arg-type]  # a dataclass, see the callers
        old = getattr(value, field.name)
        if isinstance(old, float):
            changes[field.name] = old * factor
        elif is_dataclass(old):
            changes[field.name] = _scaled(old, factor)
    return replace(value, **changes)  # type: ignore[type-var]  # same
