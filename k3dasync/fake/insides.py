"""What is in the containers of the fake engine: files, commands, output."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

from anyio.abc import AnyByteStream

from k3dasync.errors import NotFound
from k3dasync.fake._asking import Asking
from k3dasync.fake.ctr import GOOD
from k3dasync.fake.ctr import converse as converse_with
from k3dasync.fake.ctr import run as run_command
from k3dasync.fake.following import Following
from k3dasync.fake.process import KILLED
from k3dasync.fake.state import TMPFS
from k3dasync.insides import Take
from k3dasync.loglines import LogLine
from k3dasync.runtime import (
    Executed,
    File,
)


class Insides(Asking):
    """That part of the Runtime."""

    async def write_files(self, name: str, files: Sequence[File]) -> None:
        async with self._calls.change("write_files", name, kind="write"):
            await self._spend(self.latency.engine.copy)
            container = self._machine.inventory.container("write files to", name)
            for file in files:
                # In a container that runs, a tmpfs hides what is put under its path.
                if not (container.is_running and file.path.startswith(TMPFS)):
                    container.files[file.path] = file.content
            self._machine.changed.tell()

    async def read_file(self, name: str, path: str) -> bytes:
        async with self._calls.read("read_file", name):
            await self._spend(self.latency.engine.copy)
            container = self._machine.inventory.container("read", name)
            if path not in container.files:
                words = f"Could not find the file {path} in container {name}"
                raise NotFound("read", f"file {path} of {name}", words)
            return container.files[path]

    async def list_files(self, name: str, folder: str) -> Sequence[str]:
        async with self._calls.read("list_files", name):
            await self._spend(self.latency.engine.copy)
            container = self._machine.inventory.container("list", name)
            found = sorted(path for path in container.files if path.startswith(f"{folder}/"))
            if not found:
                words = f"Could not find the file {folder} in container {name}"
                raise NotFound("list", f"folder {folder} of {name}", words)
            return found

    async def execute(
        self,
        name: str,
        command: Sequence[str],
        *,
        stdin: AsyncIterator[bytes] | None = None,
        take: Take | None = None,
    ) -> Executed:
        async with self._calls.read("execute", name):
            async with self._calls.slot("execute"):
                await self._spend(self.latency.engine.execute)
            container, process = self._machine.running(f"run {command[0]} in", name)
            ctr = self._machine.ctr.get(name, GOOD)
            done = await process.beside(
                partial(run_command, container, command, stdin, ctr), Executed(code=KILLED)
            )
            if take is None:
                return done
            for number, said in ((1, done.out), (2, done.err)):
                if said:
                    await take(number, said)
            return Executed(code=done.code)

    @asynccontextmanager
    async def converse(self, name: str, command: Sequence[str]) -> AsyncIterator[AnyByteStream]:
        async with self._calls.read("converse", name):
            async with self._calls.slot("execute"):
                await self._spend(self.latency.engine.execute)
            self._machine.running(f"run {command[0]} in", name)
        async with converse_with(command) as stream:
            yield stream

    async def logs(self, name: str, *, tail: int) -> Sequence[str]:
        async with self._calls.read("logs", name):
            await self._spend(self.latency.engine.read)
            lines = self._machine.inventory.container("read the log of", name).log
            return tuple(lines)[-tail:] if tail else ()

    @asynccontextmanager
    async def follow_logs(
        self, name: str, *, tail: int | None = None, since: int = 0, follow: bool = True
    ) -> AsyncIterator[AsyncIterator[LogLine]]:
        async with self._calls.read("follow_logs", name):
            await self._spend(self.latency.engine.read)
            container = self._machine.inventory.container("read the log of", name)
        yield Following(container, tail=tail, since=since, follow=follow)
