"""What is in the containers of a Docker engine: files, commands, output."""

import posixpath
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from anyio.abc import AnyByteStream
from anyio.lowlevel import checkpoint_if_cancelled

from k3dasync.docker import archive
from k3dasync.docker._asking import Asking
from k3dasync.docker.execution import conversation, execute
from k3dasync.insides import Take
from k3dasync.runtime import Executed, File


class Insides(Asking):
    """That part of the Runtime."""

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
        target, resource = path, f"file {path} of {name}"
        for _ in range(archive.LONGEST_LINKS):
            with self._asking("read", resource):
                found = await container.get_archive(target)
            with found:
                content, target = archive.single_file(found, target, resource)
            if content is not None:
                return content
        raise archive.too_many_links(resource)

    async def list_files(self, name: str, folder: str) -> Sequence[str]:
        container = self._engine.docker.containers.container(name)
        with self._asking("list", f"folder {folder} of {name}"):
            found = await container.get_archive(folder)
        with found:
            return archive.file_paths(found, folder)

    async def execute(
        self,
        name: str,
        command: Sequence[str],
        *,
        stdin: AsyncIterator[bytes] | None = None,
        take: Take | None = None,
    ) -> Executed:
        await checkpoint_if_cancelled()
        with self._engine.mapped(f"run {command[0]} in", f"container {name}"):
            slot = self._limiters.slot("execute")
            return await execute(self._engine, name, command, stdin, slot, take=take)

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
