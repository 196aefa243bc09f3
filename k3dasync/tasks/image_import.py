"""Images into nodes: one task reads each source, and one a node takes what all of them read.

They run beside each other, joined by a Fanout for each source: the slowest node sets the pace,
and one that goes away or stands still is left behind.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import anyio

from k3dasync.errors import ImportFailed, K3dAsyncError
from k3dasync.fanout import Broken, Fanout, Stalled
from k3dasync.graph import Graph, TaskId
from k3dasync.image_archive import NameScanner
from k3dasync.image_match import is_listed
from k3dasync.runtime import Runtime, Status
from k3dasync.tasks import _ids
from k3dasync.tasks._context import TaskReport
from k3dasync.undo import NOTHING, Undo

IMPORT = ("ctr", "image", "import", "--all-platforms", "-")
LIST = ("ctr", "image", "ls", "-q")
"""k3s's own ctr: it knows k3s's containerd and the namespace of Kubernetes."""
LAST_WORDS = 3
"""Lines of a ctr that failed: the reason is in the last one."""
BROKEN_OFF = "the stream broke off"
"""What is told of a node for which its source is to blame."""
KILLED = 137
"""The exit code of a command that got SIGKILL: its container has ended, or the kernel chose it."""
_CURES = {Status.PAUSED: "let it go on first", Status.RESTARTING: "look at its log"}
"""What to do about a node that does not run; about all others it is to start it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An archive to be read. `size` in bytes, None if nobody knows; `about` is a guess of it.

    `names` are the images that must be in it, by containerd's names, as far as known before.
    """

    name: str
    open: Callable[[], AbstractAsyncContextManager[AsyncIterator[bytes]]]
    size: int | None = None
    about: int = 0
    names: tuple[str, ...] = ()


@dataclass(slots=True)
class Passage:
    """What is known of a source while it is being read: its way to the nodes, and its names.

    `is_taken`: a node has said that it has all of it.
    """

    fanout: Fanout
    scanner: NameScanner
    is_taken: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportContext:
    """What both kinds of tasks share: the engine, the passages by source, a task's voice."""

    runtime: Runtime
    passages: Mapping[str, Passage]
    report: TaskReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """Read one source and hand it to all nodes."""

    source: Source
    needs: frozenset[TaskId] = frozenset()

    @property
    def id(self) -> TaskId:
        return _ids.export(self.source.name)

    @property
    def does(self) -> str:
        size = self.source.size or self.source.about
        return "read for all nodes" + (f", {size / 1e6:.1f} MB" if size else "")

    @property
    def undo(self) -> Undo:
        return NOTHING

    async def run(self, context: ImportContext) -> None:
        """Read to the end; raises ImportFailed if no node takes it any more."""
        passage = context.passages[self.source.name]
        failure: Exception | None = ImportFailed("it was not read to its end")
        try:
            await self._read(passage, context.report)
            failure = None
        except Exception as error:
            failure = error
            raise
        finally:
            passage.fanout.end(failure)

    async def _read(self, passage: Passage, report: TaskReport) -> None:
        done = 0
        report.waiting(f"the first bytes of {self.source.name}")
        async with self.source.open() as pieces:
            async for piece in pieces:
                if not passage.fanout.has_readers:
                    if passage.is_taken:  # an archive may have an end before that of its file
                        return
                    raise ImportFailed("no node takes it any more")
                passage.scanner.feed(piece)
                await passage.fanout.send(piece)
                done += len(piece)
                report.progress("read", done=done, total=self.source.size, unit="bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportInto:
    """Give everything that is read to one node's containerd, and see that it has it."""

    node: str
    status: Status
    sources: tuple[Source, ...]
    needs: frozenset[TaskId] = frozenset()

    @property
    def id(self) -> TaskId:
        return _ids.load(self.node)

    @property
    def does(self) -> str:
        return "import" if self.status is Status.RUNNING else f"import (it is {self.status})"

    @property
    def undo(self) -> Undo:
        return NOTHING

    async def run(self, context: ImportContext) -> None:
        """Take all sources at once; raises ImportFailed with what went wrong of each."""
        try:
            if self.status is not Status.RUNNING:
                cure = _CURES.get(self.status, "start it first")
                raise ImportFailed(f"it does not run, it is {self.status}; {cure}")
            await self._take_all(context)
            await self._verify(context)
        finally:
            for source in self.sources:
                context.passages[source.name].fanout.leave(self.node)

    async def _take_all(self, context: ImportContext) -> None:
        taken = dict.fromkeys((source.name for source in self.sources), 0)
        sizes = [source.size for source in self.sources]
        total = None if None in sizes else sum(size or 0 for size in sizes)
        failures: dict[str, str] = {}

        def tell(source: str, count: int) -> None:
            taken[source] += count
            context.report.progress(
                "importing", done=sum(taken.values()), total=total, unit="bytes"
            )

        async def take(source: Source) -> None:
            try:
                await self._take(source, context, partial(tell, source.name))
            except (K3dAsyncError, Stalled, Broken) as error:
                failures[source.name] = _reason(error)

        async with anyio.create_task_group() as group:
            for source in self.sources:
                group.start_soon(take, source)
        if failures:
            several = len(self.sources) > 1
            words = [f"{name}: {why}" if several else why for name, why in failures.items()]
            raise ImportFailed("; ".join(words))

    async def _take(
        self, source: Source, context: ImportContext, tell: Callable[[int], None]
    ) -> None:
        passage = context.passages[source.name]
        with passage.fanout.reading(self.node) as pieces:
            ended = await context.runtime.execute(self.node, IMPORT, stdin=_counted(pieces, tell))
            if ended.code:
                raise ImportFailed(_words(ended.err or ended.out, ended.code))
            passage.is_taken = True

    async def _verify(self, context: ImportContext) -> None:
        """Raise ImportFailed unless the node lists every image: an exit code proves little."""
        context.report.waiting("the node's list of images")
        ended = await context.runtime.execute(self.node, LIST)
        if ended.code:
            raise ImportFailed(f"cannot list its images: {_words(ended.err, ended.code)}")
        listed = frozenset(ended.out.decode(errors="replace").split())
        for source in self.sources:
            scanner = context.passages[source.name].scanner
            names = tuple(dict.fromkeys((*source.names, *scanner.names())))
            if scanner.is_archive and not names:
                raise ImportFailed(f"what it took of {source.name} names no image")
            absent = [name for name in names if not is_listed(name, listed)]
            if absent:
                raise ImportFailed(f"imported, but it does not have {', '.join(absent)}")


class _counted:  # noqa: N801 - used like a function, and no generator, which would have to be closed
    """The same pieces; each one is told when it is asked for the next."""

    def __init__(self, pieces: AsyncIterator[bytes], tell: Callable[[int], None]) -> None:
        self._pieces, self._tell, self._last = pieces, tell, 0

    def __aiter__(self) -> "_counted":
        return self

    async def __anext__(self) -> bytes:
        if self._last:
            self._tell(self._last)
            self._last = 0
        piece = await anext(self._pieces)
        self._last = len(piece)
        return piece


def _reason(error: Exception) -> str:
    if isinstance(error, Broken):
        return f"{BROKEN_OFF}: {error.__cause__ or 'it was stopped'}"
    return str(error)


def _words(said: bytes, code: int) -> str:
    if code == KILLED:
        return "ctr was killed: the node has ended, or there is no memory left"
    lines = said.decode(errors="replace").strip().splitlines()[-LAST_WORDS:]
    words = " ".join(" ".join(lines).split()) or f"ctr exited with code {code}"
    if "content digest" in words and words.endswith("not found"):
        # What `docker save` writes of an image of which the engine has some platforms only.
        words += "; its index names what is not in it: save it for one platform, --platform"
    return words


def passages(graph: Iterable[object]) -> dict[str, Passage]:
    """Return a fresh way for each source of a plan to all of its nodes."""
    graph = tuple(graph)
    nodes = [task.node for task in graph if isinstance(task, ImportInto)]
    return {
        task.source.name: Passage(Fanout(nodes), NameScanner())
        for task in graph
        if isinstance(task, Export)
    }


ImportTask = Export | ImportInto


class ImageTask(Protocol):
    """What stands in one graph with imports."""

    @property
    def id(self) -> TaskId: ...
    @property
    def needs(self) -> frozenset[TaskId]: ...
    @property
    def does(self) -> str: ...
    @property
    def undo(self) -> Undo: ...
    async def run(self, context: ImportContext) -> None: ...


def tasks(
    sources: Sequence[Source],
    nodes: Sequence[tuple[str, Status]],
    needs: frozenset[TaskId] = frozenset(),
) -> Iterator[ImportTask]:
    """Yield the tasks; none needs another one's end, as they pass on what they have."""
    for source in sources:
        yield Export(source=source, needs=needs)
    for name, status in nodes:
        yield ImportInto(node=name, status=status, sources=tuple(sources), needs=needs)


def plan(sources: Sequence[Source], nodes: Sequence[tuple[str, Status]]) -> Graph[ImportTask]:
    """Return the graph of an import."""
    return Graph(tasks(sources, nodes))
