"""A Docker engine, or one that speaks its API. What is heavy is imported by who opens it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from k3dasync.backend import Backend
from k3dasync.host import look_here
from k3dasync.runtime import EngineReader

if TYPE_CHECKING:
    from k3dasync.docker.runtime import DockerRuntime


@asynccontextmanager
async def backend() -> AsyncIterator[Backend]:
    """Connect to the engine docker's own command would use; needs asyncio.

    Raises EngineUnavailable if there is none.
    """
    from k3dasync.docker.runtime import DockerRuntime  # 0.2 s, for those who connect

    async with DockerRuntime() as runtime:
        yield backend_of(runtime)


def backend_of(runtime: "DockerRuntime") -> Backend:
    """Return an engine that is connected already, with the APIs and etcds of its clusters."""
    from k3dasync import etcd_reach, kubernetes_http
    from k3dasync.retrying import Retrying

    return Backend(
        runtime=Retrying(runtime),
        kubernetes=kubernetes_http.connect,
        look=look_here,
        etcd=partial(etcd_reach.connect, runtime),
    )


@asynccontextmanager
async def open_reader(patience: float | None = None) -> AsyncIterator[EngineReader]:
    """Connect to the same engine only to look; without aiodocker if it is on this machine.

    *patience* is for one answer, in seconds, then; None is the usual one.

    Raises EngineUnavailable if there is none.
    """
    import os
    from pathlib import Path

    from k3dasync.docker.endpoint import resolve
    from k3dasync.docker.reader import SocketReader

    endpoint = resolve(os.environ, Path.home())
    if endpoint.url.startswith("unix://"):
        light = SocketReader(endpoint) if patience is None else SocketReader(endpoint, patience)
        await light.open()
        yield light
    else:
        async with backend() as opened:
            yield opened.runtime
