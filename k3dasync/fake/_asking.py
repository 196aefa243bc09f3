"""What every part of the fake engine answers with: its rules, its times, its trouble on order."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from k3dasync.fake.calls import Calls
from k3dasync.fake.laboratory import Laboratory
from k3dasync.fake.latency import Cost, Latency
from k3dasync.fake.state import Container


class Asking(Laboratory):
    """An engine that takes its time for what it is asked."""

    def __init__(self, latency: Latency, calls: Calls) -> None:
        self.latency = latency
        self._calls = calls

    async def _spend(self, cost: Cost) -> None:
        await self._machine.cores.spend(cost)

    @asynccontextmanager
    async def _locked(self, operation: str, name: str) -> AsyncIterator[Container]:
        """Wait until nobody else starts, stops or removes the container; it may be gone then."""
        container = self._machine.inventory.container(operation, name)
        async with container.lock:
            yield self._machine.inventory.container(operation, container.id)
