"""Engines whose containers' addresses are not reached from here, for `--runtime`."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from anyio.abc import AnyByteStream

from k3dasync import etcd_reach
from k3dasync.backend import Backend
from k3dasync.docker import backend as docker_backend
from k3dasync.runtime import ContainerDetail, Runtime

NOBODY = "127.0.0.9"
"""Where nothing listens."""


class Elsewhere:
    """A runtime whose containers have addresses that lead nowhere, as on another host."""

    def __init__(self, runtime: Runtime, *, has_carrier: bool = True) -> None:
        self._runtime, self._has_carrier = runtime, has_carrier

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runtime, name)

    async def inspect_container(self, name: str) -> ContainerDetail:
        found = await self._runtime.inspect_container(name)
        addresses = dict.fromkeys(found.state.addresses, NOBODY)
        return replace(found, state=replace(found.state, addresses=addresses))

    @asynccontextmanager
    async def converse(self, name: str, command: Sequence[str]) -> AsyncIterator[AnyByteStream]:
        # An image without nc and without socat.
        wanted = command if self._has_carrier else ["sh", "-c", "exit 127"]
        async with self._runtime.converse(name, wanted) as stream:
            yield stream


@asynccontextmanager
async def tunnelled() -> AsyncIterator[Backend]:
    """Open an engine whose etcds are reached through the engine only."""
    async with docker_backend() as backend:
        seen: Any = Elsewhere(backend.runtime)
        yield replace(backend, etcd=partial(etcd_reach.connect, seen))


@asynccontextmanager
async def unreachable() -> AsyncIterator[Backend]:
    """Open an engine whose etcds are not reached at all."""
    async with docker_backend() as backend:
        seen: Any = Elsewhere(backend.runtime, has_carrier=False)
        yield replace(backend, etcd=partial(etcd_reach.connect, seen))
