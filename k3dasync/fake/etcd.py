"""Etcd membership of a simulated cluster, asked of one of its servers."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import anyio

from k3dasync.etcd import EtcdAbsent, EtcdRefused, EtcdUnreachable, Member
from k3dasync.fake.datastore import Datastore
from k3dasync.fake.engine import FakeRuntime
from k3dasync.fake.faults import Moment

CALL_SECONDS = 0.01
"""A unary call on an open connection of the same machine."""


class FakeEtcd:
    """The members of the cluster of which the container *server* is a part."""

    def __init__(self, runtime: FakeRuntime, server: str) -> None:
        self._runtime, self._server = runtime, server

    @property
    def way(self) -> str:
        return f"in the memory of {self._server}"

    async def members(self) -> Sequence[Member]:
        store = await self._store()
        return [member.shown() for member in store.members]

    async def promote(self, id: int) -> None:
        faults = self._runtime.faults
        hit = faults.arrive("promote", self._server)
        await faults.strike(hit, Moment.BEFORE)
        store = await self._store()
        store.promote(id, anyio.current_time())
        await faults.strike(hit, Moment.AFTER)

    async def remove(self, id: int) -> None:
        faults = self._runtime.faults
        hit = faults.arrive("remove_member", self._server)
        await faults.strike(hit, Moment.BEFORE)
        store = await self._store()
        store.remove(id, anyio.current_time())
        await faults.strike(hit, Moment.AFTER)

    async def _store(self) -> Datastore:
        self._runtime.faults.check_alive()
        await anyio.sleep(CALL_SECONDS if self._runtime.latency.engine.read.idle else 0)
        container = self._runtime.machine.inventory.containers.get(self._server)
        store = container.data if container is not None else None
        if not isinstance(store, Datastore) or self._server not in store.connected:
            raise EtcdRefused(f"cannot reach etcd of {self._server}: connection refused")
        if not store.has_etcd:
            raise EtcdAbsent(f"{self._server} has no etcd")
        return store


class EtcdConnector:
    """An EtcdConnect for the clusters of a fake engine; `connect_etcd` is its verb for faults."""

    def __init__(self, runtime: FakeRuntime) -> None:
        self._runtime = runtime

    @asynccontextmanager
    async def __call__(self, server: str) -> AsyncIterator[FakeEtcd]:
        faults = self._runtime.faults
        await faults.strike(faults.arrive("connect_etcd", server), Moment.BEFORE)
        etcd = FakeEtcd(self._runtime, server)
        try:
            await etcd.members()
        except EtcdAbsent:
            raise
        except EtcdRefused as error:
            raise EtcdUnreachable(str(error)) from error
        yield etcd
