"""Logs of a cluster's nodes as one, on the fake engine."""

import time
from collections.abc import Awaitable, Callable, Sequence

import anyio
import pytest

from k3dasync.commands.logs import Form, moment
from k3dasync.errors import ClusterNotFound, EngineError, NodeNotFound
from k3dasync.fake import Fail, FakeRuntime, Fault, Faults, Latency, backend_of
from k3dasync.invalid import InvalidDuration
from k3dasync.loglines import NANO, LogLine
from k3dasync.operations.create import create
from k3dasync.operations.logs import NodeLine, Query, read_logs
from k3dasync.operations.stop import stop_clusters
from k3dasync.spec import ClusterSpec
from tests.support import virtual_time

TOKEN = "SecretOfTheCluster"
ALL = Query()
SPEC = ClusterSpec(name="dev", agents=1, token=TOKEN)
SERVER, AGENT = "k3d-dev-server-0", "k3d-dev-agent-0"


class Reader:
    """Reads, and keeps what it was given."""

    def __init__(self, runtime: FakeRuntime) -> None:
        self.runtime = runtime
        self.lines: list[NodeLine] = []
        self.met: list[str] = []
        self.told: list[str] = []
        self.changed = anyio.Event()

    async def write(self, lines: Sequence[NodeLine]) -> None:
        self.lines += lines
        self.changed.set()
        self.changed = anyio.Event()

    async def read(self, *nodes: str, query: Query = ALL, name: str = "dev") -> None:
        await read_logs(
            name,
            nodes,
            query,
            runtime=self.runtime,
            write=self.write,
            meet=self.met.extend,
            tell=self.tell,
        )

    def tell(self, text: str) -> None:
        self.told.append(text)
        self.changed.set()
        self.changed = anyio.Event()

    def texts(self, node: str) -> list[str]:
        return [one.line.text for one in self.lines if one.node == node]

    async def until(self, node: str, text: str) -> None:
        """Return when a node has said something."""
        with anyio.fail_after(20):
            while text not in self.texts(node):
                await self.changed.wait()


async def cluster(runtime: FakeRuntime) -> Reader:
    await create(SPEC, backend=backend_of(runtime))
    return Reader(runtime)


def say(runtime: FakeRuntime, node: str, *texts: str) -> None:
    runtime.machine.inventory.containers[node].log.extend(texts)


@virtual_time
async def test_all_nodes_are_merged_in_order_of_time() -> None:
    """Whatever they have written, each line once, and no node's lines out of their order."""
    async with FakeRuntime() as runtime:
        reader = await cluster(runtime)
        await reader.read()

        nodes = [AGENT, SERVER, "k3d-dev-serverlb"]
        assert nodes == reader.met
        times = [one.line.at for one in reader.lines]
        assert sorted(times) == times
        for node in nodes:
            assert list(runtime.machine.inventory.containers[node].log) == reader.texts(node)


async def test_the_last_lines_of_one_node() -> None:
    """A node's name may be short; the others are left out."""
    async with FakeRuntime(latency=Latency.instant()) as runtime:
        reader = await cluster(runtime)
        say(runtime, AGENT, "one", "two", "three")
        await reader.read("agent-0", query=Query(tail=2))
        assert ["two", "three"] == [one.line.text for one in reader.lines]

        later = Reader(runtime)
        since = reader.lines[-1].line.at
        await later.read("agent-0", AGENT, query=Query(since=since))
        assert ["three"] == [one.line.text for one in later.lines]


async def test_the_token_is_shown_nowhere() -> None:
    """Not even where a node itself prints it."""
    async with FakeRuntime(latency=Latency.instant()) as runtime:
        reader = await cluster(runtime)
        say(runtime, SERVER, f"joining with K10ab::server:{TOKEN}, or {TOKEN}")
        await reader.read("server-0", query=Query(tail=1))

        assert ["joining with K10ab::server:***, or ***"] == reader.texts(SERVER)


async def test_what_is_not_there_is_an_error() -> None:
    """A cluster, or a node of it."""
    async with FakeRuntime(latency=Latency.instant()) as runtime:
        reader = await cluster(runtime)
        with pytest.raises(ClusterNotFound):
            await reader.read(name="other")
        with pytest.raises(NodeNotFound, match="server-7"):
            await reader.read("server-7")


async def test_a_stopped_cluster_has_its_logs() -> None:
    """All of them."""
    async with FakeRuntime(latency=Latency.instant()) as runtime:
        reader = await cluster(runtime)
        say(runtime, AGENT, "last words")
        await stop_clusters(["dev"], backend=backend_of(runtime))
        await reader.read()

        assert "last words" == reader.texts(AGENT)[-1]


async def following(
    reader: Reader, act: Callable[[], Awaitable[None]], *nodes: str, query: Query
) -> None:
    """Read, act meanwhile, and read on to the end."""
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: reader.read(*nodes, query=query))
            await act()


async def test_following_survives_restarts_and_ends_with_the_nodes() -> None:
    """Each line once: before, between the lives, and after; a new node is read too."""
    async with FakeRuntime(latency=Latency.instant()) as runtime:
        reader = await cluster(runtime)
        say(runtime, AGENT, "before")

        async def act() -> None:
            await reader.until(AGENT, "before")
            say(runtime, AGENT, "follow")
            await reader.until(AGENT, "follow")
            runtime.crash(AGENT)
            await runtime.stop_container(AGENT)
            say(runtime, AGENT, "unseen")  # while nobody reads
            await runtime.start_container(AGENT)
            await reader.until(AGENT, "unseen")
            say(runtime, AGENT, "after")
            await reader.until(AGENT, "after")
            spec = runtime.machine.inventory.containers[AGENT].spec
            await runtime.add_foreign_container("k3d-dev-agent-1", spec.network, labels=spec.labels)
            say(runtime, "k3d-dev-agent-1", "new")
            await reader.until("k3d-dev-agent-1", "new")
            runtime.cut_event_streams()
            for name in list(runtime.machine.inventory.containers):
                await runtime.remove_container(name, {})

        await following(reader, act, query=Query(follow=True))
        texts = reader.texts(AGENT)
        for text in ("before", "follow", "unseen", "after"):
            assert 1 == texts.count(text), text


async def test_following_says_which_nodes_do_not_run() -> None:
    """Once, and reads them when they are started."""
    async with FakeRuntime(latency=Latency.instant()) as runtime:
        reader = await cluster(runtime)
        await runtime.stop_container(AGENT)

        async def act() -> None:
            while not reader.told:
                await reader.changed.wait()
            say(runtime, AGENT, "meanwhile")
            await runtime.start_container(AGENT)
            await reader.until(AGENT, "meanwhile")
            await runtime.remove_container(AGENT, {})

        await following(reader, act, "agent-0", query=Query(tail=0, follow=True))
        assert [f"{AGENT} does not run; its log goes on when it is started"] == reader.told


async def test_an_engine_that_refuses_ends_it() -> None:
    """With its words, not in a group."""
    refusal = EngineError("read the log of", "container x", "driver does not support reading")
    order = Fault(trouble=Fail(refusal), verb="follow_logs", name=AGENT, nth=2)
    async with FakeRuntime(latency=Latency.instant(), faults=Faults((order,))) as runtime:
        reader = await cluster(runtime)
        with pytest.raises(EngineError, match="does not support reading"):
            await reader.read(query=Query(follow=True))


def test_lines_are_aligned() -> None:
    """Behind the widest name; times in front of the text, colours only where they are wanted."""
    lines = [NodeLine(SERVER, LogLine(NANO, "a")), NodeLine("k3d-dev-serverlb", LogLine(0, ""))]
    plain = Form("dev", has_prefix=True, has_times=False, has_colors=False)
    plain.meet([SERVER, "k3d-dev-agent-10"])
    assert "server-0 | a\nserverlb | \n" == plain.text(lines)
    timed = Form("dev", has_prefix=False, has_times=True, has_colors=True)
    assert "1970-01-01T00:00:01.000000000Z a\n" == timed.text(lines[:1])
    colored = Form("dev", has_prefix=True, has_times=False, has_colors=True)
    assert "\x1b[36mserver-0 |\x1b[0m a\n" == colored.text(lines[:1])


def test_moments() -> None:
    """A duration before now, a time as it is shown, seconds since 1970."""
    assert 5 * NANO == moment("1970-01-01T00:00:05.000000000Z")
    assert 1700000000 * NANO == moment("1700000000")
    assert 599 < (time.time_ns() - moment("10m")) / NANO < 610
    with pytest.raises(InvalidDuration, match="--since"):
        moment("yesterday")
