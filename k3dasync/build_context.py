"""The context of a build as a tar, as docker's own command sends it to an engine.

Without what .dockerignore names; https://docs.docker.com/build/concepts/context/.
"""

import io
import os
import sys
import tarfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import anyio
from anyio import from_thread, to_thread
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from k3dasync import local_archives
from k3dasync.build import DOCKERFILE, STDIN
from k3dasync.errors import SpecError

PIECE = local_archives.PIECE
AHEAD = 2
"""Pieces packed before they are sent: one is being sent while the next is read."""
_IGNORE = ".dockerignore"
_STRANGER = ".dockerfile.k3dasync"
"""What a Dockerfile from outside of its context is called inside."""
_PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00")
"""What engines unpack by themselves: gzip, bzip2, xz."""
_USTAR_AT = 257


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """A folder that is to be sent, and the Dockerfile in it, whose content is read already.

    `stranger` is the name of a Dockerfile that is not one of the folder's files.
    """

    root: Path
    dockerfile: str
    content: bytes
    ignored: tuple[str, ...] = ()
    stranger: str = ""

    @property
    def bases(self) -> tuple[str, ...]:
        """The images that its Dockerfile begins with; none if it cannot be understood."""
        return bases_of(self.content)


def refuse_missing(path: str, file: str) -> None:
    """Raise SpecError if there is no such folder, or the Dockerfile that is named is not there."""
    if not Path(path).is_dir():
        raise SpecError(f"cannot build from {path}: it is no folder")
    if file and file != STDIN:
        _read(Path(file))


def read_context(path: str, file: str) -> Context:
    """Return a folder's context; *file* is its Dockerfile, empty for the usual one.

    Raises SpecError if something of it cannot be read.
    """
    refuse_missing(path, file)
    root = Path(path)
    ignore = root / _IGNORE
    ignored = tuple(_read(ignore).decode(errors="replace").splitlines()) if ignore.exists() else ()
    if file == STDIN:
        return _with_stranger(root, sys.stdin.buffer.read(), ignored)
    chosen = Path(file) if file else root / DOCKERFILE
    content = _read(chosen)
    inside = os.path.relpath(chosen.resolve(), root.resolve())
    if inside.startswith(os.pardir):
        return _with_stranger(root, content, ignored)
    return Context(root=root, dockerfile=inside, content=content, ignored=ignored)


def _with_stranger(root: Path, content: bytes, ignored: tuple[str, ...]) -> Context:
    return Context(
        root=root, dockerfile=_STRANGER, content=content, ignored=ignored, stranger=_STRANGER
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SpecError(f"cannot read {path}: {error.strerror or error}") from error


def bases_of(dockerfile: bytes) -> tuple[str, ...]:
    """Return the images that are named in FROM, without stages, variables and scratch."""
    from e2b_dockerfile_utils import parse_dockerfile_ast

    try:
        instructions = parse_dockerfile_ast(dockerfile.decode(errors="replace")).instructions
    except ValueError:  # the engine says what is wrong with it
        return ()
    stages, bases = {"scratch"}, list[str]()
    for one in instructions:
        if one.name.lower() != "from" or not one.args:
            continue
        if one.args[0].lower() not in stages and "$" not in one.args[0]:
            bases.append(one.args[0])
        stages.update(name.lower() for name in one.args[2:3])
    return tuple(dict.fromkeys(bases))


@asynccontextmanager
async def packed(context: Context) -> AsyncIterator[AsyncIterator[bytes]]:
    """Read a context as a tar, packed in a thread no faster than it is taken.

    Iteration raises SpecError for what cannot be read.
    """
    send, receive = anyio.create_memory_object_stream[bytes](AHEAD)
    failures: list[SpecError] = []

    async def pack() -> None:
        try:
            await to_thread.run_sync(_pack, context, send)
        except SpecError as error:
            failures.append(error)
        except anyio.BrokenResourceError:
            pass  # nobody reads on
        finally:
            send.close()

    failure: Exception | None = None
    async with anyio.create_task_group() as group:
        group.start_soon(pack)
        try:
            with receive:
                yield _Pieces(receive, failures)
        except Exception as error:  # noqa: BLE001 - raised below, as it is and not in a group
            failure = error
    if failure is not None:
        raise failure


class _Pieces:
    """The pieces of a tar: no generator, which would have to be closed."""

    def __init__(
        self, receive: MemoryObjectReceiveStream[bytes], failures: list[SpecError]
    ) -> None:
        self._receive, self._failures = receive, failures

    def __aiter__(self) -> "_Pieces":
        return self

    async def __anext__(self) -> bytes:
        try:
            return await self._receive.receive()
        except anyio.EndOfStream:
            if self._failures:
                raise self._failures[0] from None
            raise StopAsyncIteration from None


class _Sender:
    """What a tar is written to, in a thread; when that is over, nothing is written any more."""

    def __init__(self, send: MemoryObjectSendStream[bytes]) -> None:
        self._send = send
        self.is_over = False

    def write(self, data: bytes) -> int:
        if not self.is_over:  # tarfile writes its end even when it is thrown away
            from_thread.run(self._send.send, bytes(data))
        return len(data)


def _pack(context: Context, send: MemoryObjectSendStream[bytes]) -> None:
    sender = _Sender(send)
    target: Any = sender
    try:
        # Closed only when all is in it: an end would make half of it look whole.
        tar = tarfile.open(mode="w|", fileobj=target, bufsize=PIECE)  # noqa: SIM115
        for name in files_of(context):
            _add(tar, context.root / name, name)
        if context.stranger:
            _add_content(tar, context.stranger, context.content)
        tar.close()
    except OSError as error:
        where = error.filename or context.root
        raise SpecError(f"cannot read {where}: {error.strerror or error}") from error
    finally:
        sender.is_over = True


def _add(tar: tarfile.TarFile, path: Path, name: str) -> None:
    info = tar.gettarinfo(path, arcname=name)
    if info is None:  # a socket
        return
    _disown(info)
    if info.isreg():
        with path.open("rb") as file:
            _add_file(tar, info, file)
    else:
        tar.addfile(info)


def _add_file(tar: tarfile.TarFile, info: tarfile.TarInfo, file: IO[bytes]) -> None:
    try:
        tar.addfile(info, file)
    except OSError as error:
        if error.filename is None:  # tarfile's own: it has become shorter meanwhile
            raise OSError(error.errno, str(error), info.name) from error
        raise


def _add_content(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def _disown(info: tarfile.TarInfo) -> None:
    """Let it be root's, as docker's command does: who built it is nothing to the image."""
    info.uid = info.gid = 0
    info.uname = info.gname = ""


def files_of(context: Context) -> Iterator[str]:
    """Yield what is sent of a folder, by paths from there, folders before what is in them.

    Raises SpecError for a pattern that is none.
    """
    from e2b_dockerfile_utils import PatternMatcher

    # The engine reads these two first, and then removes them by the same patterns.
    kept = [f"!{_IGNORE}"] if context.stranger else [f"!{_IGNORE}", f"!{context.dockerfile}"]
    try:
        matcher = PatternMatcher([*context.ignored, *(kept if context.ignored else ())])
    except ValueError as error:
        raise SpecError(f"cannot use {context.root / _IGNORE}: {error}") from error

    def walk(folder: str) -> Iterator[str]:
        for entry in sorted(os.scandir(context.root / folder), key=lambda one: one.name):
            name = f"{folder}/{entry.name}" if folder else entry.name
            is_out = matcher.matches(name)
            is_folder = entry.is_dir(follow_symlinks=False)
            if not is_out:
                yield name
            if is_folder and (not is_out or matcher.may_match_under(name)):
                yield from walk(name)

    return walk("")


@asynccontextmanager
async def from_stdin() -> AsyncIterator[AsyncIterator[bytes]]:
    """Read a context from standard input: a tar, or a Dockerfile alone, which is put into one."""
    async with local_archives.from_stdin() as pieces:
        head = b""
        while len(head) < tarfile.BLOCKSIZE and (piece := await anext(pieces, b"")):
            head += piece
        if head.startswith(_PACKED) or head[_USTAR_AT:].startswith(b"ustar"):
            yield _With(head, pieces)
            return
        content = b"".join([head, *[piece async for piece in pieces]])
        target = io.BytesIO()
        with tarfile.open(mode="w", fileobj=target) as tar:
            _add_content(tar, DOCKERFILE, content)
        yield _With(target.getvalue(), pieces)


class _With:
    """Some bytes, and then what follows."""

    def __init__(self, head: bytes, rest: AsyncIterator[bytes]) -> None:
        self._head, self._rest = head, rest

    def __aiter__(self) -> "_With":
        return self

    async def __anext__(self) -> bytes:
        head, self._head = self._head, b""
        return head or await anext(self._rest)
