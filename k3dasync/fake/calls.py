"""What every call to the fake engine goes through: limits, trouble on order, cancellation."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from anyio.lowlevel import checkpoint

from k3dasync.fake.faults import Faults, Moment
from k3dasync.limits import Limiters, Limits

SHIELD_SECONDS = 3600.0
"""A shield must end. Of 2000 containers started at once the last one runs after ten minutes, and
nothing here takes longer than that."""


class Calls:
    """The way in. Each call is counted by verb and name before anything else happens."""

    def __init__(self, faults: Faults, limits: Limits) -> None:
        self._faults, self._limiters = faults, Limiters(limits)
        self.fit, self.slot = self._limiters.fit, self._limiters.slot

    @asynccontextmanager
    async def read(self, verb: str, name: str = "", *, kind: str = "") -> AsyncIterator[None]:
        """Make a call that changes nothing, or whose effect ends with it: it can be cut."""
        async with self._limiters.slot(kind):
            await checkpoint()
            hit = self._faults.arrive(verb, name)
            await self._faults.strike(hit, Moment.BEFORE)
            yield
            await self._faults.strike(hit, Moment.AFTER)

    @asynccontextmanager
    async def change(self, verb: str, name: str, *, kind: str = "") -> AsyncIterator[None]:
        """Make a call that changes something: cut or not, the engine finishes it."""
        async with self._limiters.slot(kind):
            await checkpoint()
            hit = self._faults.arrive(verb, name)
            with anyio.fail_after(SHIELD_SECONDS, shield=True):
                await self._faults.strike(hit, Moment.BEFORE)
                yield
                await self._faults.strike(hit, Moment.AFTER)
