"""The Runtime of a Docker engine, by its HTTP API."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
)
from dataclasses import replace
from os import environ as process_environ
from pathlib import Path
from sys import platform
from types import TracebackType
from typing import Self

from k3dasync.build import BuildSpec
from k3dasync.docker import building, credentials, elsewhere, images, translate
from k3dasync.docker.connection import connect
from k3dasync.docker.containers import Containers
from k3dasync.docker.endpoint import resolve
from k3dasync.docker.events import Events
from k3dasync.errors import ImageUnavailable, NotFound
from k3dasync.limits import Limiters, Limits
from k3dasync.runtime import (
    ContainerEvent,
    EngineFacts,
    ImageState,
    PullProgress,
)


class DockerRuntime(Containers):
    """A Docker engine, found as docker's own command finds it when this is entered."""

    def __init__(
        self, limits: Limits | None = None, *, environ: Mapping[str, str] | None = None
    ) -> None:
        self._environ = process_environ if environ is None else environ
        if limits is None:
            limits = Limits.parse(self._environ.get("K3DASYNC_LIMITS", ""))
        super().__init__(Limiters(limits))
        self._home = Path(self._environ.get("HOME") or Path.home())
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        endpoint = resolve(self._environ, self._home)
        self._connection = await self._open.enter_async_context(connect(endpoint))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._open.__aexit__(kind, error, traceback)

    async def facts(self) -> EngineFacts:
        endpoint = self._engine.endpoint
        with self._asking("ask", "the engine about itself"):
            info = await self._engine.docker.system.info()
        found = translate.facts(
            info,
            endpoint=endpoint.shown,
            host=await elsewhere.host(endpoint, self._environ),
            is_foreign_kernel=platform == "darwin",
        )
        self._limiters.fit(found.cpus)
        return replace(found, api_version=self._engine.docker.api_version.removeprefix("v"))

    # ---- images

    async def has_image(self, image: str) -> bool:
        try:
            with self._asking("look for", f"image {image}"):
                await self._engine.docker.images.inspect(image)
        except NotFound:
            return False
        return True

    async def pull_image(self, image: str, progress: PullProgress) -> None:
        async with self._limiters.slot("pull"):
            await self._pull(image, progress)
        # A stream that just ends has proved nothing.
        if not await self.has_image(image):
            raise ImageUnavailable("pull", f"image {image}", "the engine's answer ended early")

    async def _pull(self, image: str, progress: PullProgress) -> None:
        auth = await credentials.registry_auth(image, self._environ, self._home)
        await images.pulled(self._engine, image, auth, progress)

    async def images(self) -> Sequence[ImageState]:
        with self._asking("list", "images"):
            return await images.listed(self._engine)

    def export_images(
        self, tags: Sequence[str]
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        return images.exported(self._engine, tags)

    async def build_image(
        self, context: AsyncIterator[bytes] | None, spec: BuildSpec, say: Callable[[str], None]
    ) -> None:
        headers = await building.build_headers(spec, self._environ, self._home)
        await building.built(self._engine, context, spec, headers, say)

    @asynccontextmanager
    async def container_events(
        self, labels: Mapping[str, str]
    ) -> AsyncIterator[AsyncIterator[ContainerEvent]]:
        # No task of its own reads ahead: whoever iterates reads, and leaving closes the stream.
        # So there is nothing to cancel, and no task group is left open at the `yield`.
        wanted = translate.filters(labels, type="container")
        async with AsyncExitStack() as stack:
            with self._asking("follow", "container events"):
                documents = await stack.enter_async_context(self._engine.events(wanted))
            yield Events(self._engine, documents)
