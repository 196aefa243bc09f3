"""A Docker engine, or one that speaks its API. Imports aiodocker, so import it only to use it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from k3dasync.backend import Backend


@asynccontextmanager
async def backend() -> AsyncIterator[Backend]:
    """Connect to the engine docker's own command would use; needs asyncio.

    Raises EngineUnavailable if there is none.
    """
    from k3dasync import kubernetes_http  # 0.2 s, for those who connect
    from k3dasync.docker.runtime import DockerRuntime

    async with DockerRuntime() as runtime:
        yield Backend(runtime=runtime, kubernetes=kubernetes_http.connect)
