"""A container engine with k3s clusters in memory: for tests, rehearsals and benchmarks."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from k3dasync.backend import Backend
from k3dasync.fake.engine import FakeRuntime
from k3dasync.fake.etcd import EtcdConnector, FakeEtcd
from k3dasync.fake.faults import (
    Call,
    Delay,
    Fail,
    Fault,
    Faults,
    Hang,
    Kill,
    Moment,
    NodeFault,
    NodeTrouble,
    ProcessKilled,
    Stage,
)
from k3dasync.fake.host import HEALTHY, look_at
from k3dasync.fake.kubernetes import Connector, FakeKubernetes
from k3dasync.fake.latency import Cost, EngineLatency, Latency, NodeLatency
from k3dasync.fake.registry import Answers
from k3dasync.fake.state import Snapshot
from k3dasync.host import HostView
from k3dasync.invalid import InvalidSetting
from k3dasync.retrying import Retrying

__all__ = [
    "Call",
    "Connector",
    "Cost",
    "Delay",
    "EngineLatency",
    "EtcdConnector",
    "Fail",
    "FakeEtcd",
    "FakeKubernetes",
    "FakeRuntime",
    "Fault",
    "Faults",
    "Hang",
    "Kill",
    "Latency",
    "Moment",
    "NodeFault",
    "NodeLatency",
    "NodeTrouble",
    "ProcessKilled",
    "Snapshot",
    "Stage",
    "backend",
    "backend_of",
]


@asynccontextmanager
async def backend() -> AsyncIterator[Backend]:
    """Open a fresh fake engine: what `--runtime fake` rehearses on.

    `K3DASYNC_FAKE_SCALE` multiplies all its times: 0.1 is ten times as fast as real nodes.
    Raises SpecError if that is no number.
    """
    text = os.environ.get("K3DASYNC_FAKE_SCALE") or "1"
    try:
        scale = float(text)
    except ValueError:
        scale = -1.0
    if not 0 <= scale < float("inf"):
        raise InvalidSetting(f"K3DASYNC_FAKE_SCALE {text!r}: expected a number, for example 0.1")
    latency = Latency().scaled(scale) if scale else Latency.instant()
    async with FakeRuntime(latency=latency) as runtime:
        yield backend_of(runtime, is_rehearsal=True)


def backend_of(
    runtime: FakeRuntime, *, is_rehearsal: bool = False, host: HostView | None = None
) -> Backend:
    """Return a fake engine that is open already, with the APIs and etcds of its clusters."""
    return Backend(
        runtime=Retrying(runtime),
        kubernetes=Connector(runtime),
        etcd=EtcdConnector(runtime),
        is_rehearsal=is_rehearsal,
        look=look_at(HEALTHY if host is None else host),
        registry_answers=Answers(runtime),
    )
