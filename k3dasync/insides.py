"""What we ask of the insides of containers: files, commands, what they write. Pure.

A part of the border that is `runtime`; what is said there of names and errors holds here.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from anyio.abc import AnyByteStream

from k3dasync.loglines import LogLine


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file to be put into a container; `path` is absolute, `mode` its permission bits."""

    path: str
    content: bytes
    mode: int = 0o644


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed:
    """How a command in a container ended, and what it said."""

    code: int
    out: bytes = b""
    err: bytes = b""

    @property
    def last_line(self) -> str:
        """The last line of its error output, where programs say why they failed."""
        return self.err.decode(errors="replace").strip().rpartition("\n")[2]


Take = Callable[[int, bytes], Awaitable[None]]
"""Takes what a command says: 1 is its output, 2 its error output. Slow, it slows the command."""


class Insides(Protocol):
    """The insides of an engine's containers."""

    async def write_files(self, name: str, files: Sequence[File]) -> None:
        """Put files into a container, running or not, in one call."""

    async def list_files(self, name: str, folder: str) -> Sequence[str]:
        """Return the paths of the files below a folder; raises NotFound if that is not there."""

    async def execute(
        self,
        name: str,
        command: Sequence[str],
        *,
        stdin: AsyncIterator[bytes] | None = None,
        take: Take | None = None,
    ) -> Executed:
        """Run a command as root in a running container and return how it ended.

        What *stdin* yields is its standard input, taken as fast as it reads, and no further once
        it has ended; the input's end is the iterator's. Whatever iteration raises is raised.
        What it says goes to *take* as it comes, and else into the result.
        Cancelled, it cuts the command's input and output, and stays a moment until it has ended.

        Raises NotFound if there is no such container, Conflict if it does not run.
        """

    def converse(
        self, name: str, command: Sequence[str]
    ) -> AbstractAsyncContextManager[AnyByteStream]:
        """Run a command as root in a running container and talk with it.

        What is sent it reads, what it writes to its standard output is received. Leaving cuts its
        input, at which it has to end.

        Raises NotFound if there is no such container, Conflict if it does not run.
        """

    async def logs(self, name: str, *, tail: int) -> Sequence[str]:
        """Return the last lines a container wrote."""

    def follow_logs(
        self, name: str, *, tail: int | None = None, since: int = 0, follow: bool = True
    ) -> AbstractAsyncContextManager[AsyncIterator[LogLine]]:
        """Read a container's log, or its last *tail* lines, and with *follow* what comes then.

        *since*: nothing older, in nanoseconds since 1970. Whoever reads slowly slows down nobody
        but the engine's answer. With *follow* it ends when the container does, or for no reason:
        that proves nothing. Raises NotFound while entering, EngineError if it cannot be read.
        """
