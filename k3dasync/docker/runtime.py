"""The Runtime of a Docker engine, by its HTTP API."""

import posixpath
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import replace
from os import environ as process_environ
from pathlib import Path
from sys import platform
from types import TracebackType
from typing import Any, Self

import anyio
from anyio.abc import AnyByteStream
from anyio.lowlevel import checkpoint_if_cancelled

from k3dasync.docker import archive, credentials, elsewhere, images, membership, translate
from k3dasync.docker.connection import Connection, connect
from k3dasync.docker.endpoint import resolve
from k3dasync.docker.events import Events
from k3dasync.docker.execution import conversation, execute
from k3dasync.errors import Conflict, EngineError, ImageUnavailable, NotFound
from k3dasync.limits import Limiters, Limits
from k3dasync.runtime import (
    ContainerDetail,
    ContainerEvent,
    ContainerSpec,
    ContainerState,
    EngineFacts,
    Executed,
    File,
    ImageState,
    NetworkSpec,
    NetworkState,
    PullProgress,
    VolumeSpec,
    VolumeState,
)

CALL_TIMEOUT = 60.0
"""For a single call; the slowest of these, an `/info` on a busy engine, takes a second. Longer is
an engine that hangs."""
RUN_TIMEOUT = 180.0
"""For a start, stop or removal, where the engine's time goes: fourteen starts at once took up to
6.7 s on two cores, so a hundred take most of a minute, and on a slow disk several times that."""
STOP_GRACE = 10
"""Seconds the engine waits for a process to end by itself, if nobody says otherwise."""
_ENDING = frozenset({"SIGTERM", "SIGKILL"})


class DockerRuntime:
    """A Docker engine, found as docker's own command finds it when this is entered."""

    def __init__(
        self, limits: Limits | None = None, *, environ: Mapping[str, str] | None = None
    ) -> None:
        self._environ = process_environ if environ is None else environ
        if limits is None:
            limits = Limits.parse(self._environ.get("K3DASYNC_LIMITS", ""))
        self._limiters = Limiters(limits)
        self._home = Path(self._environ.get("HOME") or Path.home())
        self._open = AsyncExitStack()
        self._connection: Connection | None = None

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

    @property
    def _engine(self) -> Connection:
        if self._connection is None:
            raise RuntimeError("a DockerRuntime is usable inside `async with` only")
        return self._connection

    @contextmanager
    def _asking(
        self, operation: str, resource: str, *, seconds: float = CALL_TIMEOUT
    ) -> Iterator[None]:
        with self._engine.mapped(operation, resource), anyio.fail_after(seconds):
            yield

    @asynccontextmanager
    async def _changing(
        self, operation: str, resource: str, *, seconds: float = CALL_TIMEOUT
    ) -> AsyncIterator[None]:
        """Shield a call that changes something from cancellation, within its own deadline.

        A call cut in flight often takes effect after we have left, and then a rollback that looks
        for what is there comes too early. So we wait for its end first; whoever has cancelled us
        before it began is heard at once, everybody else right after.
        """
        await checkpoint_if_cancelled()
        with self._engine.mapped(operation, resource), anyio.fail_after(seconds, shield=True):
            yield

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

    # ---- networks and volumes

    async def create_network(self, spec: NetworkSpec) -> str:
        async with self._changing("create", f"network {spec.name}"):
            made = await self._engine.docker.networks.create(translate.network_body(spec))
            return str(made.id)

    async def networks(self, labels: Mapping[str, str] | None = None) -> Sequence[NetworkState]:
        with self._asking("list", "networks"):
            found = await self._engine.docker.networks.list(filters=translate.filters(labels))
        return [translate.network(entry) for entry in found]

    async def addresses_in_use(self, network: str) -> frozenset[str]:
        return frozenset((await self._members(network)).values()) - {""}

    async def _members(self, network: str) -> Mapping[str, str]:
        with self._asking("inspect", f"network {network}"):
            found = await (await self._engine.docker.networks.get(network)).show()
        return translate.members(found)

    async def connect_network(
        self, container: str, network: str, *, address: str | None, labels: Mapping[str, str]
    ) -> None:
        async with self._changing("connect", f"container {container}"):
            await membership.connect(self._engine, container, network, address, labels)

    async def disconnect_network(
        self, container: str, network: str, labels: Mapping[str, str]
    ) -> bool:
        try:
            async with self._changing("disconnect", f"container {container}"):
                return await membership.disconnect(self._engine, container, network, labels)
        except NotFound:
            return False

    async def remove_network(self, name: str, labels: Mapping[str, str]) -> bool:
        with self._asking("list", "networks"):
            # The engine's filter takes every name that contains this one.
            wanted = translate.filters(labels, name=name)
            found = await self._engine.docker.networks.list(filters=wanted)
        removed = False
        for state in map(translate.network, found):
            if state.name == name and await self._remove_network(state):
                removed = True
        return removed

    async def _remove_network(self, state: NetworkState) -> bool:
        try:
            async with self._changing("remove", f"network {state.name}"):
                await (await self._engine.docker.networks.get(state.id)).delete()
        except NotFound:
            return False
        except Conflict as error:
            names = ", ".join(sorted(await self._members(state.id)))
            words = f"{error.words}: {names}" if names else error.words
            raise Conflict("remove", f"network {state.name}", words) from error
        return True

    async def create_volume(self, spec: VolumeSpec) -> VolumeState:
        async with self._changing("create", f"volume {spec.name}"):
            body = {"Name": spec.name, "Driver": "local", "Labels": dict(spec.labels)}
            made = await self._engine.docker.volumes.create(body)  # type: ignore[no-untyped-call]
            return translate.volume(await made.show())

    async def volumes(self, labels: Mapping[str, str] | None = None) -> Sequence[VolumeState]:
        with self._asking("list", "volumes"):
            volumes = self._engine.docker.volumes
            found = await volumes.list(filters=translate.filters(labels))  # type: ignore[no-untyped-call]
        return [translate.volume(entry) for entry in found.get("Volumes") or []]

    async def remove_volume(self, name: str, labels: Mapping[str, str]) -> bool:
        try:
            async with self._changing("remove", f"volume {name}"):
                volume = await self._engine.docker.volumes.get(name)  # type: ignore[no-untyped-call]
                found = translate.volume(await volume.show())
                if not translate.carries(found.labels, labels):
                    return False
                await volume.delete()
        except NotFound:
            return False
        return True

    # ---- containers

    async def create_container(self, spec: ContainerSpec) -> str:
        containers = self._engine.docker.containers
        async with (
            self._limiters.slot("create"),
            self._changing("create", f"container {spec.name}"),
        ):
            made = await containers.create(translate.container_body(spec), name=spec.name)
        try:
            async with self._writing(spec.name):
                await self._put(made.id, spec.files)
        except BaseException:
            # Half a node is none, and its name must be free for the next try.
            with anyio.move_on_after(RUN_TIMEOUT, shield=True):
                await made.delete(force=True, v=True)
            raise
        return str(made.id)

    async def start_container(self, name: str) -> None:
        async with (
            self._limiters.slot("start"),
            self._changing("start", f"container {name}", seconds=RUN_TIMEOUT),
        ):
            await self._engine.docker.containers.container(name).start()

    async def signal_container(self, name: str, signal: str) -> None:
        resource = f"container {name}"
        async with self._limiters.slot("execute"), self._changing("signal", resource):
            if signal in _ENDING:
                await self._engine.docker.containers.container(name).kill(signal=signal)
                return
            # Not through the engine: it takes any signal for a wish to stop, so that the restart
            # policy is off from then on (moby#41302, all versions).
            short = signal.removeprefix("SIG")
            await self._engine.run_inside(name, ["kill", "-s", short, "1"])

    async def stop_container(self, name: str, *, grace: int | None = None) -> None:
        patience = RUN_TIMEOUT + (STOP_GRACE if grace is None else grace)
        async with self._changing("stop", f"container {name}", seconds=patience):
            await self._engine.docker.containers.container(name).stop(t=grace)

    async def remove_container(self, name: str, labels: Mapping[str, str]) -> bool:
        async with self._limiters.slot("remove"):
            try:
                detail = await self.inspect_container(name)
                if not translate.carries(detail.state.labels, labels):
                    return False
                await self._remove(name, detail.state.id)
            except NotFound:
                return False
            return True

    async def _remove(self, name: str, id: str) -> None:
        # By id: the name may belong to another one by now.
        container = self._engine.docker.containers.container(id)
        try:
            async with self._changing("remove", f"container {name}", seconds=RUN_TIMEOUT):
                await container.delete(force=True, v=True)
        except Conflict as error:
            if "already in progress" not in error.words:
                raise
            # Somebody else removes it; the name is free when that has ended.
            try:
                with self._asking("remove", f"container {name}", seconds=RUN_TIMEOUT):
                    await container.wait(condition="removed")
            except NotFound:
                pass

    async def containers(self, labels: Mapping[str, str] | None = None) -> Sequence[ContainerState]:
        containers = self._engine.docker.containers
        wanted = {key: list(values) for key, values in translate.filters(labels).items()}
        with self._asking("list", "containers"):
            found = await containers.list(all=True, filters=wanted)
        entries = [entry._container for entry in found]  # noqa: SLF001 - the whole answer
        names = await self._network_names(entries)
        return [translate.listed_container(entry, names) for entry in entries]

    async def inspect_container(self, name: str) -> ContainerDetail:
        with self._asking("inspect", f"container {name}"):
            found = await self._engine.docker.containers.container(name).show()
        return translate.inspected_container(found, await self._network_names([found]))

    async def _network_names(self, found: Sequence[Mapping[str, Any]]) -> Mapping[str, str]:
        """Return id → name of networks, if one of the containers shows an id for a name."""
        if not translate.shows_network_ids(found):
            return {}
        return {state.id: state.name for state in await self.networks()}

    async def write_files(self, name: str, files: Sequence[File]) -> None:
        async with self._writing(name):
            await self._put(name, files)

    @asynccontextmanager
    async def _writing(self, name: str) -> AsyncIterator[None]:
        resource = f"container {name}"
        async with self._limiters.slot("write"), self._changing("write files to", resource):
            yield

    async def _put(self, container: str, files: Sequence[File]) -> None:
        if not files:
            return
        absent: list[str] = []
        for folder in archive.folders_to_check(files):
            inside_absent = posixpath.dirname(folder) in absent
            if inside_absent or not await self._engine.path_exists(container, folder):
                absent.append(folder)
        packed = archive.pack(files, absent)
        target = self._engine.docker.containers.container(container)
        await target.put_archive("/", packed)  # type: ignore[no-untyped-call]

    async def read_file(self, name: str, path: str) -> bytes:
        container = self._engine.docker.containers.container(name)
        target = path
        for _ in range(archive.LONGEST_LINKS):
            with self._asking("read", f"file {path} of {name}"):
                found = await container.get_archive(target)
            with found:
                content, target = archive.single_file(found, target)
            if content is not None:
                return content
            if not target:
                break
        raise EngineError("read", f"file {path} of {name}", "it is no file")

    async def list_files(self, name: str, folder: str) -> Sequence[str]:
        container = self._engine.docker.containers.container(name)
        with self._asking("list", f"folder {folder} of {name}"):
            found = await container.get_archive(folder)
        with found:
            return archive.file_paths(found, folder)

    async def execute(
        self, name: str, command: Sequence[str], *, stdin: AsyncIterator[bytes] | None = None
    ) -> Executed:
        await checkpoint_if_cancelled()
        with self._engine.mapped(f"run {command[0]} in", f"container {name}"):
            return await execute(self._engine, name, command, stdin, self._limiters.slot("execute"))

    @asynccontextmanager
    async def converse(self, name: str, command: Sequence[str]) -> AsyncIterator[AnyByteStream]:
        operation, resource = f"run {command[0]} in", f"container {name}"
        async with AsyncExitStack() as stack:
            with self._asking(operation, resource):
                slot = self._limiters.slot("execute")
                talk = conversation(self._engine, name, command, slot)
                stream = await stack.enter_async_context(talk)
            yield stream

    async def logs(self, name: str, *, tail: int) -> Sequence[str]:
        with self._asking("read the log of", f"container {name}"):
            container = self._engine.docker.containers.container(name)
            frames = await container.log(stdout=True, stderr=True, tail=tail)
        return "".join(frames).splitlines()

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
