"""Builds on the fake engine, by its own builder and by a command: all or nothing, told honestly."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import anyio
import pytest

from k3dasync import events
from k3dasync.build import Builder, BuildRequest
from k3dasync.commands.image_build import AfterBuild
from k3dasync.docker.command import DockerCommand, environment, find, flags
from k3dasync.docker.endpoint import Endpoint
from k3dasync.errors import (
    ClusterNotFound,
    DeadlineExceeded,
    EngineError,
    ImportFailed,
    Interrupted,
    SpecError,
)
from k3dasync.fake import Call, Fail, FakeRuntime, Fault, Latency, Moment, backend_of
from k3dasync.fake.ctr import Ctr
from k3dasync.fake.faults import Trouble
from k3dasync.image_errors import BuildFailed
from k3dasync.operations._run import Stop
from k3dasync.operations.create import create
from k3dasync.operations.image_build import EngineBuilder, build_images
from k3dasync.operations.image_import import Imported
from k3dasync.spec import ClusterSpec
from tests.laws import Keeper, assert_laws
from tests.support import virtual_time

NODES = ("k3d-dev-server-0", "k3d-dev-agent-0")
APP = "docker.io/library/app:dev"


@dataclass
class Lab:
    """A cluster on a fake engine, and a folder to build from."""

    runtime: FakeRuntime
    folder: Path
    keeper: Keeper = field(default_factory=Keeper)

    async def build(
        self,
        dockerfile: str = "FROM scratch\nCOPY a /\n",
        *,
        builder: Builder | None = None,
        clusters: tuple[str, ...] = ("dev",),
        stop: Stop | None = None,
        seconds: float = 3600.0,
        tags: tuple[str, ...] = ("app:dev",),
        further: tuple[str, ...] = (),
    ) -> Imported:
        (self.folder / "Dockerfile").write_text(dockerfile)
        return await build_images(
            BuildRequest(tags=tags, context=str(self.folder), further=further),
            clusters,
            builder=builder or EngineBuilder(self.runtime, {}),
            seconds=seconds,
            backend=backend_of(self.runtime),
            sinks=(self.keeper,),
            stop=stop,
        )

    def ends(self) -> dict[str, str]:
        """Return how each task of the last run ended."""
        return {
            one.task: str(one.__struct_config__.tag)
            for one in self.keeper.events
            if isinstance(one, events.TaskEnd | events.TaskSkipped)
        }


@asynccontextmanager
async def laboratory(folder: Path) -> AsyncIterator[Lab]:
    (folder / "a").write_text("a")
    async with FakeRuntime(latency=Latency.instant()) as runtime:
        await create(ClusterSpec(name="dev", agents=1), backend=backend_of(runtime))
        yield Lab(runtime, folder)


async def test_what_is_built_is_in_all_nodes_under_all_of_its_tags(tmp_path: Path) -> None:
    """One run: the build, one export, a task for each node."""
    async with laboratory(tmp_path) as lab:
        done = await lab.build(tags=("app:dev", "registry.example/app:1"))

        assert Imported(images=(APP, "registry.example/app:1"), nodes=NODES) == done
        assert {APP, "registry.example/app:1"} == lab.runtime.imported(NODES[1])
        assert_laws(lab.keeper.events)
        tags = "app:dev, registry.example/app:1"
        assert {f"build:{tags}", f"export:{tags}", *(f"load:{one}" for one in NODES)} == set(
            lab.ends()
        )
        assert isinstance(first := lab.keeper.events[0], events.RunStarted)
        assert "build" == first.operation


@pytest.mark.parametrize(
    ("dockerfile", "words"),
    [
        ("FROM scratch\nCOPY b /\n", "COPY failed: file not found in build context"),
        ("FROM scratch\nRUN exit 3\n", "returned a non-zero code: 3"),
        ("FRO scratch\n", "unknown instruction: FRO"),
        ("FROM nowhere.invalid/x:1\n", "x:1"),
    ],
)
async def test_a_build_that_fails_imports_nothing(
    tmp_path: Path, dockerfile: str, words: str
) -> None:
    """The error is the builder's, what was to come after is skipped, and tags stay as they were."""
    async with laboratory(tmp_path) as lab:
        lab.runtime.unpullable.add("nowhere.invalid/x:1")
        with pytest.raises(BuildFailed, match=rf"cannot build app:dev: .*{words}"):
            await lab.build(dockerfile)

        assert frozenset() == lab.runtime.imported(NODES[0])
        assert not await lab.runtime.has_image("app:dev")
        assert_laws(lab.keeper.events)
        assert ["task_failed", *["task_skipped"] * 3] == sorted(lab.ends().values())
        assert isinstance(last := lab.keeper.events[-1], events.RunFailed)
        assert "IMAGE_BUILD_FAILED" == last.code


@pytest.mark.parametrize(
    ("folder", "file", "words"),
    [("nowhere", "", "it is no folder"), (".", "nowhere", "cannot read .*: No such file")],
)
async def test_what_is_missing_is_told_before_any_builder_is_asked(
    tmp_path: Path, folder: str, file: str, words: str
) -> None:
    """The same whichever builds, and no run is begun."""
    async with laboratory(tmp_path) as lab:
        request = BuildRequest(
            tags=("app:dev",),
            context=str(tmp_path / folder),
            file=str(tmp_path / file) if file else "",
        )
        with pytest.raises(SpecError, match=words):
            await build_images(
                request,
                ["dev"],
                builder=Absent(),
                seconds=None,
                backend=backend_of(lab.runtime),
                sinks=(lab.keeper,),
            )
        assert [] == lab.keeper.events


async def test_an_import_that_fails_is_told_as_such(tmp_path: Path) -> None:
    """The image is built then, and on the engine."""
    async with laboratory(tmp_path) as lab:
        lab.runtime.trouble_imports(NODES[1], Ctr(most=0, says="ctr: no space left"))
        with pytest.raises(ImportFailed, match=f"{NODES[1]}: ctr: no space left; done on 1 other"):
            await lab.build()

        assert await lab.runtime.has_image("app:dev")


async def test_nothing_is_built_for_a_cluster_that_takes_nothing(tmp_path: Path) -> None:
    """One that is not there, one that does not run, and flags that nobody understands."""
    async with laboratory(tmp_path) as lab:
        with pytest.raises(ClusterNotFound):
            await lab.build(clusters=("dev", "none"))
        with pytest.raises(SpecError, match="there is none on PATH"):
            await lab.build(further=("--ssh", "default"))
        for node in NODES:
            await lab.runtime.stop_container(node)
        with pytest.raises(ImportFailed, match="run: k3dasync start dev"):
            await lab.build()

        assert "build_image" not in [verb for verb, _ in lab.runtime.faults.calls]


@virtual_time
@pytest.mark.parametrize("moment", Moment)
@pytest.mark.parametrize("how", ["fail", "stop", "cancel"])
async def test_disturbed_at_any_call_the_log_keeps_its_laws(
    tmp_path: Path, moment: Moment, how: str
) -> None:
    """Whatever call fails, or is the last before a stop: one end a task, and nothing runs on."""
    async with laboratory(tmp_path) as lab:
        first = len(lab.runtime.faults.calls)
        await lab.build()
        calls = len(lab.runtime.faults.calls) - first
        assert calls > 8
        for nth in range(1, calls + 1):
            lab.keeper.events.clear()
            stop, scope = Stop(), anyio.CancelScope()
            troubles: dict[str, Trouble] = {
                "fail": Fail(EngineError("do", "it", "refused on order")),
                "stop": Call(partial(stop.request, "enough")),
                "cancel": Call(scope.cancel),
            }
            lab.runtime.faults.orders = (Fault(nth=nth, moment=moment, trouble=troubles[how]),)
            # A fault counts calls from the time at which it was ordered.
            lab.runtime.faults._counts.clear()
            with scope, suppress(EngineError, ImportFailed, BuildFailed, Interrupted):
                await lab.build(stop=stop)
            assert [] == [one for node in NODES for one in lab.runtime.executing(node)], nth
            if lab.keeper.events:
                assert_laws(lab.keeper.events)
        lab.runtime.faults.orders = ()
        await lab.build()


class Absent:
    """A builder that keeps what it builds."""

    async def build(self, request: BuildRequest) -> None: ...


class Slow:
    """A builder that takes its time, and says when it is told to end."""

    def __init__(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        self._meanwhile, self.has_ended = meanwhile, False

    async def build(self, request: BuildRequest) -> None:
        self._meanwhile()
        try:
            await anyio.sleep_forever()
        finally:
            self.has_ended = True


async def test_an_image_that_is_not_on_the_engine_is_not_built(tmp_path: Path) -> None:
    """Builders of buildx succeed, and keep it, unless they are told to load it."""
    async with laboratory(tmp_path) as lab:
        with pytest.raises(BuildFailed, match="app:dev: it was built, but the engine does not"):
            await lab.build(builder=Absent())


async def test_a_stop_and_a_deadline_end_the_builder(tmp_path: Path) -> None:
    """Neither waits for it to be done."""
    async with laboratory(tmp_path) as lab:
        stop = Stop()
        stopped = Slow(lambda: stop.request("enough"))
        with pytest.raises(Interrupted, match="enough"):
            await lab.build(builder=stopped, stop=stop)
        late = Slow()
        with pytest.raises(DeadlineExceeded, match="build:app:dev"):
            await lab.build(builder=late, seconds=0.01)

        assert (True, True) == (stopped.has_ended, late.has_ended)
        assert_laws(lab.keeper.events[-len(lab.keeper.events) // 2 :])


# ---- docker's own command


@pytest.fixture
def docker(tmp_path: Path) -> Callable[[str], DockerCommand]:
    """Return what makes a docker command of a script; `$1` is the first word."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def make(script: str, **environ: str) -> DockerCommand:
        program = folder / "docker"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        given = {"PATH": f"{folder}:/usr/bin:/bin", "DOCKER_HOST": "tcp://h:1", **environ}
        found = find(given)
        assert found is not None
        return found

    return make


REQUEST = BuildRequest(tags=("app:dev",))
WITH_BUILDX = 'if [ "$2" = version ]; then exit 0; fi; echo "$@" >&2; exit 1'
WITHOUT_BUILDX = 'if [ "$1" = buildx ]; then exit 1; fi; echo "$@"; exit 1'


@pytest.mark.parametrize(
    ("script", "environ", "further", "expected"),
    [
        (WITH_BUILDX, {}, (), "buildx build --load --tag app:dev ."),
        (WITH_BUILDX, {}, ("--push",), "buildx build --tag app:dev --push ."),
        (WITH_BUILDX, {}, ("--output=x",), "buildx build --tag app:dev --output=x ."),
        (WITH_BUILDX, {"DOCKER_BUILDKIT": "0"}, (), "build --force-rm --tag app:dev ."),
        (WITHOUT_BUILDX, {}, (), "build --force-rm --tag app:dev ."),
    ],
)
async def test_the_builder_is_told_to_load_the_image_where_it_knows_the_word(
    docker: Callable[..., DockerCommand],
    script: str,
    environ: dict[str, str],
    further: tuple[str, ...],
    expected: str,
) -> None:
    """Unless somebody says where it goes; and what a failed command said last is the reason."""
    command = docker(script, **environ)
    with pytest.raises(BuildFailed, match=f"cannot build app:dev: {expected}$"):
        await command.build(BuildRequest(tags=("app:dev",), further=further))


def test_flags_are_handed_on_and_the_context_is_last() -> None:
    """Those we know in long form, and behind them those which we do not."""
    request = BuildRequest(
        tags=("a", "b:1"),
        context="dir",
        file="F",
        arguments=("K=V", "E"),
        target="t",
        platform="linux/arm64",
        no_cache=True,
        pull=True,
        further=("--ssh", "default"),
    )
    expected = (
        "--tag a --tag b:1 --file F --target t --platform linux/arm64 --build-arg K=V "
        "--build-arg E --no-cache --pull --ssh default dir"
    )
    assert expected.split() == flags(request)


async def test_the_reason_stands_before_the_help(docker: Callable[..., DockerCommand]) -> None:
    """What docker says of arguments that it does not take ends with how to get help."""
    script = """[ "$1" = build ] || exit 1
        printf 'invalid reference format\n\nUsage:  docker build [OPTIONS]\n' >&2
        echo "Run 'docker build --help' for more information" >&2; exit 125"""
    with pytest.raises(BuildFailed, match=r"cannot build app:dev: invalid reference format$"):
        await docker(script).build(REQUEST)


async def test_what_a_builder_says_goes_to_standard_error(
    docker: Callable[..., DockerCommand], capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """As it is, both of its outputs; standard output stays ours."""
    script = '[ "$1" = build ] || exit 1; printf "one\\ttwo\\n\\377"; printf three >&2'
    await docker(script).build(REQUEST)

    assert (b"", b"one\ttwo\n\xffthree") == tuple(capfdbinary.readouterr())


async def test_a_builder_without_words_is_told_by_its_code(
    docker: Callable[..., DockerCommand],
) -> None:
    """There is nothing else to tell."""
    with pytest.raises(BuildFailed, match="docker build ended with code 7"):
        await docker('[ "$1" = build ] && exit 7; exit 1').build(REQUEST)


async def test_a_command_that_cannot_be_run_is_named(
    docker: Callable[..., DockerCommand], tmp_path: Path
) -> None:
    """One for another machine, say."""
    command = docker("")
    (tmp_path / "bin" / "docker").write_bytes(b"\x7fELF of another kind")
    with pytest.raises(
        BuildFailed, match=r"cannot build app:dev: cannot run .*/docker: Exec format"
    ):
        await command.build(REQUEST)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_builder_that_is_cut_is_told_to_end(
    docker: Callable[..., DockerCommand], tmp_path: Path
) -> None:
    """By the signal of Ctrl-C, so that it cleans up; it has ended when we go on."""
    script = (
        f'[ "$1" = build ] || exit 1; trap "echo told >{tmp_path}/told; exit 1" INT; '
        f"echo $$ >{tmp_path}/pid; while :; do sleep 0.05; done"
    )
    command = docker(script)
    async with anyio.create_task_group() as group:
        group.start_soon(command.build, REQUEST)
        while not (tmp_path / "pid").is_file() or not (tmp_path / "pid").read_text().strip():  # noqa: ASYNC110
            await anyio.sleep(0.01)
        group.cancel_scope.cancel()

    assert "told" == (tmp_path / "told").read_text().strip()
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


@pytest.mark.parametrize(
    ("origin", "url", "expected"),
    [
        ("DOCKER_HOST", "tcp://h:1", {}),
        ("docker context c", "tcp://h:1", {}),
        ("default socket", "unix:///var/run/docker.sock", {}),
        ("default socket", "unix:///run/user/1/docker.sock", {"DOCKER_HOST": "the url"}),
    ],
)
def test_the_command_finds_the_same_engine(origin: str, url: str, expected: dict[str, str]) -> None:
    """It is told where only if it would look elsewhere: builders belong to a context or host."""
    found = environment({"A": "b"}, Endpoint(url=url, origin=origin))

    assert {"A": "b", **dict.fromkeys(expected, url)} == found


def test_without_a_docker_command_there_is_none() -> None:
    """The engine's own builder is used then."""
    assert None is find({"PATH": "/nonexistent", "DOCKER_HOST": "tcp://h:1"})


# ---- the display


def event(kind: type[events.Event], **fields: object) -> events.AnyEvent:
    return kind(seq=1, t=0.0, run="r", cluster=None, **fields)  # type: ignore[return-value]


def test_the_display_waits_for_the_builder() -> None:
    """It is told everything then, in order, and from then on at once."""
    keeper = Keeper()
    display = AfterBuild(keeper)
    first = event(events.TaskStarted, task="build:a", waited=0.0)
    display.write(first)
    assert [] == keeper.events

    end = event(events.TaskDone, task="build:a", waited=0.0, queued=0.0, ran=1.0)
    display.write(end)
    display.write(after := event(events.TaskStarted, task="export:a", waited=0.0))
    assert [first, end, after] == keeper.events


FAILED = {"seconds": 1.0, "code": "X", "cause": "y", "rolled_back": False}


def test_the_display_is_told_of_a_run_that_fails_before() -> None:
    """Nothing is kept back for ever."""
    keeper = Keeper()
    display = AfterBuild(keeper)
    display.write(failed := event(events.RunFailed, **FAILED))

    assert [failed] == keeper.events
