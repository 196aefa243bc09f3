"""Imports on the fake engine: all nodes at once, honest ends, and bounded memory."""

import bz2
import gzip
import lzma
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import pytest
from backports import zstd

from k3dasync import events, local_archives
from k3dasync.backend import Backend
from k3dasync.errors import (
    ClusterBusy,
    ClusterNotFound,
    DeadlineExceeded,
    EngineError,
    ImageNotFound,
    ImportFailed,
    Interrupted,
    SpecError,
)
from k3dasync.fake import Call, Fail, FakeRuntime, Fault, Latency, Moment, backend_of
from k3dasync.fake.ctr import Ctr
from k3dasync.fake.faults import Trouble
from k3dasync.fanout import DEPTH, STALL_SECONDS
from k3dasync.journal import cluster_lock, state_dir
from k3dasync.operations._run import Stop
from k3dasync.operations.create import create
from k3dasync.operations.image_import import Imported, import_images
from k3dasync.spec import ClusterSpec
from tests.laws import Keeper, assert_laws
from tests.support import virtual_time

SPEC = ClusterSpec(name="dev", servers=1, agents=2)
NODES = ("k3d-dev-server-0", "k3d-dev-agent-0", "k3d-dev-agent-1")
APP = "docker.io/library/app:1"


class World:
    """A cluster on a fake engine that has an image of 300 kB."""

    def __init__(self, runtime: FakeRuntime) -> None:
        self.runtime, self.keeper = runtime, Keeper()
        self.backend: Backend = backend_of(runtime)

    async def run(
        self, *words: str, clusters: tuple[str, ...] = ("dev",), stop: Stop | None = None
    ) -> Imported:
        return await import_images(
            words or ("app:1",),
            clusters,
            seconds=3600.0,
            backend=self.backend,
            sinks=(self.keeper,),
            stop=stop,
        )

    def nodes_with(self, image: str = APP) -> list[str]:
        return [node for node in NODES if image in self.runtime.imported(node)]

    def executing(self) -> list[str]:
        return [one for node in NODES for one in self.runtime.executing(node)]


@asynccontextmanager
async def world(size: int = 300_000) -> AsyncIterator[World]:
    async with FakeRuntime(latency=Latency.instant()) as runtime:
        runtime.add_image("app:1", size=size)
        await create(SPEC, backend=backend_of(runtime))
        yield World(runtime)


async def test_an_image_is_read_once_and_gets_into_all_nodes() -> None:
    """One export, three nodes, one end for each task; what the load balancer is, it stays."""
    async with world() as lab:
        done = await lab.run()

        assert Imported(images=(APP,), nodes=NODES) == done
        assert list(NODES) == lab.nodes_with()
        verbs = [verb for verb, _ in lab.runtime.faults.calls]
        assert 1 == verbs.count("export_images")
        assert_laws(lab.keeper.events)
        ends = [one.task for one in lab.keeper.events if isinstance(one, events.TaskDone)]
        assert {"export:app:1", *(f"load:{node}" for node in NODES)} == set(ends)
        last = {
            one.task: one.done for one in lab.keeper.events if isinstance(one, events.TaskProgress)
        }
        assert set(ends) == set(last)


async def test_files_and_images_in_one_run(tmp_path: Path) -> None:
    """Each source has a task; a file's progress has a total."""
    archive = tmp_path / "other.tar"
    async with world() as lab:
        lab.runtime.add_image("other:2", size=100_000)
        async with lab.runtime.export_images(["other:2"]) as pieces:
            archive.write_bytes(b"".join([piece async for piece in pieces]))
        lab.runtime.remove_image("other:2")
        await lab.run("app:1", str(archive))

        assert list(NODES) == lab.nodes_with() == lab.nodes_with("docker.io/library/other:2")
        assert_laws(lab.keeper.events)
        totals = {
            one.total
            for one in lab.keeper.events
            if isinstance(one, events.TaskProgress) and one.task == f"export:{archive}"
        }
        assert {archive.stat().st_size} == totals


async def test_several_clusters_are_one_run() -> None:
    """The lines name no cluster, and the log lies beside those of clusters."""
    async with world() as lab:
        await create(ClusterSpec(name="two"), backend=lab.backend)
        await lab.run(clusters=("dev", "two", "dev"))

        assert APP in lab.runtime.imported("k3d-two-server-0")
        assert {None} == {one.cluster for one in lab.keeper.events}
        assert_laws(lab.keeper.events)
        assert 1 == len(list((state_dir() / "runs" / "_several").glob("*.jsonl")))


async def test_what_is_missing_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    """Images, clusters, files that cannot be read: there is no run then."""
    (tmp_path / "locked.tar").mkdir()
    async with world() as lab:
        with pytest.raises(ImageNotFound, match="nope, neither"):
            await lab.run("app:1", "nope", "neither")
        with pytest.raises(ClusterNotFound, match="other, third"):
            await lab.run(clusters=("dev", "other", "third"))
        with pytest.raises(ImageNotFound):
            await lab.run(str(tmp_path / "locked.tar"))

        assert ([], []) == (lab.keeper.events, lab.nodes_with())


async def test_imports_do_not_mind_each_other_but_a_create() -> None:
    """Two at a time work; while somebody makes or deletes the cluster, none does."""
    async with world() as lab:
        lab.runtime.add_image("other:2")
        async with anyio.create_task_group() as group:
            group.start_soon(lab.run, "app:1")
            group.start_soon(lab.run, "other:2")
        assert list(NODES) == lab.nodes_with() == lab.nodes_with("docker.io/library/other:2")

        with cluster_lock("dev", "FAKE"), pytest.raises(ClusterBusy):
            await lab.run()


@pytest.mark.parametrize(
    ("ctr", "words"),
    [
        (Ctr(most=0, says="ctr: no space left"), "ctr: no space left"),
        (Ctr(most=2, says="ctr: no space left"), "ctr: no space left"),
        (Ctr(most=2, says="", code=7), "ctr exited with code 7"),
        (Ctr(most=2, code=0), "it does not have docker.io/library/app:1"),
        (Ctr(forgets=True), "it does not have docker.io/library/app:1"),
    ],
)
async def test_a_node_that_fails_is_told_and_holds_up_nobody(ctr: Ctr, words: str) -> None:
    """At once, in the middle, or with a lie: the others have the image, and the run has failed."""
    async with world() as lab:
        lab.runtime.trouble_imports(NODES[1], ctr)
        with pytest.raises(ImportFailed, match=f"{NODES[1]}: .*{words}; done on 2 other nodes"):
            await lab.run()

        assert [NODES[0], NODES[2]] == lab.nodes_with()
        assert_laws(lab.keeper.events)
        assert isinstance(lab.keeper.events[-1], events.RunFailed)
        assert "IMAGE_IMPORT_FAILED" == lab.keeper.events[-1].code


async def test_an_archive_that_lacks_platforms_comes_with_a_cure() -> None:
    """A node's own words say nothing of platforms."""
    async with world() as lab:
        said = "ctr: content digest sha256:820: not found"
        for node in NODES:
            lab.runtime.trouble_imports(node, Ctr(most=1, says=said))
        with pytest.raises(ImportFailed, match=f"{said}; .* save it for one platform"):
            await lab.run()


async def test_a_source_that_breaks_off_is_told_once() -> None:
    """It is to blame, and no node is."""
    async with world(size=2_000_000) as lab:
        broken = Fail(EngineError("export", "image app:1", "no room"))
        lab.runtime.faults.orders = (Fault(verb="export_piece", nth=5, trouble=broken),)
        with pytest.raises(ImportFailed, match=r"^not imported: app:1: .*no room$"):
            await lab.run()

        assert_laws(lab.keeper.events)


@virtual_time
async def test_a_node_that_hangs_is_left_behind() -> None:
    """It takes nothing for a minute: it has failed then, and its command is ended."""
    async with world(size=2_000_000) as lab:
        lab.runtime.trouble_imports(NODES[1], Ctr(most=1, code=None))
        began = anyio.current_time()
        with pytest.raises(ImportFailed, match=f"{NODES[1]}: took nothing for 60 s"):
            await lab.run()

        assert STALL_SECONDS <= anyio.current_time() - began < STALL_SECONDS + 5
        assert ([NODES[0], NODES[2]], []) == (lab.nodes_with(), lab.executing())


async def test_a_stopped_node_is_an_error_and_the_others_have_the_image() -> None:
    """It is said that it does not run."""
    async with world() as lab:
        await lab.runtime.stop_container(NODES[2])
        with pytest.raises(ImportFailed, match=f"{NODES[2]}: it does not run, it is exited"):
            await lab.run()

        assert list(NODES[:2]) == lab.nodes_with()


async def test_a_paused_node_is_an_error_with_its_own_cure() -> None:
    """Starting it would not help."""
    async with world() as lab:
        await lab.runtime.pause_container(NODES[2])
        with pytest.raises(ImportFailed, match=f"{NODES[2]}: .* it is paused; let it go on first"):
            await lab.run()


@pytest.mark.parametrize(("status", "cure"), [("exited", "start"), ("paused", "resume")])
async def test_of_a_cluster_that_does_not_run_nothing_is_read(status: str, cure: str) -> None:
    """The command that changes it is named, and the other cluster gets nothing either."""
    async with world() as lab:
        await create(ClusterSpec(name="two"), backend=lab.backend)
        lab.keeper.events.clear()
        for node in NODES:
            if status == "paused":
                await lab.runtime.pause_container(node)
            else:
                await lab.runtime.stop_container(node)
        with pytest.raises(ImportFailed, match=rf"\({status}\); run: k3dasync {cure} dev"):
            await lab.run(clusters=("two", "dev"))

        assert ([], frozenset()) == (lab.keeper.events, lab.runtime.imported("k3d-two-server-0"))


@virtual_time
async def test_a_node_that_dies_in_the_middle_is_told_and_holds_up_nobody() -> None:
    """Its ctr ends with it; the engine brings the node back, and the image is not in it."""
    async with world(size=2_000_000) as lab:
        lab.runtime.trouble_imports(NODES[1], Ctr(seconds=1))
        die = Call(lambda: lab.runtime.crash(NODES[1]))
        lab.runtime.faults.orders = (Fault(verb="export_piece", nth=10, trouble=die),)
        with pytest.raises(ImportFailed, match=f"{NODES[1]}: ctr was killed: .*; done on 2 other"):
            await lab.run()

        assert [NODES[0], NODES[2]] == lab.nodes_with()
        assert_laws(lab.keeper.events)


@pytest.mark.parametrize("pack", [lzma.compress, bz2.compress, zstd.compress, gzip.compress])
async def test_packed_files_are_verified_too(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    """What nodes cannot unpack is unpacked for them, and its names are read."""
    archive = tmp_path / "app.tar.packed"
    async with world() as lab:
        async with lab.runtime.export_images(["app:1"]) as pieces:
            archive.write_bytes(pack(b"".join([piece async for piece in pieces])))
        done = await lab.run(str(archive))

        assert (APP,) == done.images
        assert list(NODES) == lab.nodes_with()
        assert [] == [one for one in lab.keeper.events if isinstance(one, events.Warned)]


async def test_without_any_reader_nothing_more_is_read() -> None:
    """All nodes fail at once: the export ends early, and the reasons are the nodes'."""
    async with world(size=10_000_000) as lab:
        for node in NODES:
            lab.runtime.trouble_imports(node, Ctr(most=0, says="ctr: full"))
        with pytest.raises(
            ImportFailed, match="k3d-dev-agent-0, k3d-dev-agent-1, k3d-dev-server-0: ctr: full"
        ) as raised:
            await lab.run()

        assert "no node takes it" not in str(raised.value)
        assert 1 == str(raised.value).count("ctr: full")
        assert all(node in str(raised.value) for node in NODES)
        read = [verb for verb, _ in lab.runtime.faults.calls].count("export_piece")
        assert read < 20
        assert_laws(lab.keeper.events)


@virtual_time
async def test_a_slow_node_bounds_what_is_in_memory() -> None:
    """The engine is asked for no more than the slowest node has taken, and a few pieces."""
    async with world(size=20_000_000) as lab:
        lab.runtime.trouble_imports(NODES[0], Ctr(seconds=0.1))
        ahead: list[int] = []

        def look() -> None:
            asked = [verb for verb, _ in lab.runtime.faults.calls].count("export_piece")
            ahead.append(asked - int((anyio.current_time() - began) / 0.1))

        calls = Fault(verb="export_piece", times=10_000, trouble=Call(look))
        lab.runtime.faults.orders = (calls,)
        began = anyio.current_time()
        await lab.run()

        assert len(ahead) > 300
        assert max(ahead) <= DEPTH + 4


@virtual_time
async def test_a_deadline_ends_everything() -> None:
    """What was still to be done is named, and no command stays in the nodes."""
    async with world() as lab:
        lab.runtime.trouble_imports(NODES[0], Ctr(seconds=1000))
        with pytest.raises(DeadlineExceeded, match="load:k3d-dev-server-0"):
            await import_images(
                ["app:1"], ["dev"], seconds=20, backend=lab.backend, sinks=(lab.keeper,)
            )

        assert [] == lab.executing()
        assert_laws(lab.keeper.events)


@virtual_time
@pytest.mark.parametrize("moment", Moment)
@pytest.mark.parametrize("how", ["fail", "stop", "cancel"])
async def test_disturbed_at_any_call_the_log_keeps_its_laws(moment: Moment, how: str) -> None:
    """Whatever call fails, or is the last before a stop: one end a task, and nothing runs on."""
    async with world(size=70_000) as lab:
        first = len(lab.runtime.faults.calls)
        await lab.run()
        calls = len(lab.runtime.faults.calls) - first
        assert calls > 10
        for nth in range(1, calls + 1):
            lab.keeper.events.clear()
            await _disturbed(lab, nth, moment, how)
            assert [] == lab.executing(), nth
            if lab.keeper.events:
                assert_laws(lab.keeper.events)
        lab.runtime.faults.orders = ()
        await lab.run()


async def _disturbed(lab: World, nth: int, moment: Moment, how: str) -> None:
    stop, scope = Stop(), anyio.CancelScope()
    troubles: dict[str, Trouble] = {
        "fail": Fail(EngineError("do", "it", "refused on order")),
        "stop": Call(lambda: stop.request("enough")),
        "cancel": Call(scope.cancel),
    }
    fault = Fault(verb="*", nth=nth, moment=moment, trouble=troubles[how])
    lab.runtime.faults.orders = (fault,)
    # A fault counts calls from the time at which it was ordered.
    lab.runtime.faults._counts.clear()
    with scope, suppress(EngineError, ImportFailed, Interrupted):
        await lab.run(stop=stop)


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_standard_input_is_read_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe: what is written in pieces arrives, its end too; waiting for it can be cancelled."""
    reading, writing = os.pipe()
    stdin = os.fdopen(reading)
    monkeypatch.setattr("sys.stdin", stdin)

    def write() -> None:
        with os.fdopen(writing, "wb") as pipe:
            for _ in range(10):
                pipe.write(bytes(100_000))

    async with local_archives.from_stdin() as pieces:
        with anyio.move_on_after(0.05) as scope:
            await anext(pieces)
        assert scope.cancelled_caught
        thread = threading.Thread(target=write)
        thread.start()
        got = sum([len(piece) async for piece in pieces])
        thread.join()
    stdin.close()

    assert 1_000_000 == got


async def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    """Before and while reading."""
    with pytest.raises(SpecError, match=r"cannot read .*absent: No such file"):
        local_archives.size_of(str(tmp_path / "absent"))
    with pytest.raises(SpecError, match="Is a directory"):
        async with local_archives.from_file(str(tmp_path)) as pieces:
            await anext(pieces)
