"""Prune on the fake engine and in the user's files."""

import io
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from k3dasync import cli, events, kubeconfig
from k3dasync.backend import Backend
from k3dasync.errors import EngineError, RollbackIncomplete
from k3dasync.fake import Fail, FakeRuntime, Fault, Faults, Latency, backend_of
from k3dasync.grammar.registries import parse_reference
from k3dasync.journal import (
    _lock_path,
    cluster_lock,
    lock_files,
    past_runs,
    place_of,
    places,
    remove_lock,
)
from k3dasync.kubeconfig.private import abandoned, private_file
from k3dasync.operations import external, registry_create
from k3dasync.operations._age import expiry
from k3dasync.operations.create import create
from k3dasync.operations.delete import delete
from k3dasync.operations.external import Asked
from k3dasync.operations.listing import describe, list_clusters
from k3dasync.operations.prune import Wanted, find, remove
from k3dasync.operations.registry_create import LoneRegistry
from k3dasync.runtime import EngineFacts, VolumeSpec
from k3dasync.spec import ClusterSpec, RegistrySpec
from tests.laws import Keeper, assert_laws

ALL = Wanted(older_than=0.0)
SPEC = ClusterSpec(name="dev", agents=1)


def runtime_of(*orders: Fault) -> FakeRuntime:
    return FakeRuntime(latency=Latency.instant(), faults=Faults(orders))


async def lose_servers(runtime: FakeRuntime, cluster: str = "dev") -> None:
    """Remove a cluster's servers, as `docker rm` does."""
    for one in await runtime.containers({"k3d.cluster": cluster, "k3d.role": "server"}):
        await runtime.remove_container(one.name, {})


def shown(found: object) -> set[str]:
    return {f"{one.kind} {one.name}" for one in found}  # type: ignore[attr-defined]


ENGINE = {
    "container k3d-dev-agent-0",
    "container k3d-dev-serverlb",
    "network k3d-dev",
    "volume k3d-dev-images",
}


async def test_what_is_left_of_a_cluster_is_found_and_removed() -> None:
    """Parts on the engine and entries in the kubeconfig; the run is told."""
    keeper = Keeper()
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        outputs = await create(SPEC, backend=backend)
        assert set() == shown(await find(ALL, runtime))
        await lose_servers(runtime)
        found = await find(ALL, runtime)
        assert ENGINE | {f"kubeconfig {outputs.kubeconfig}"} == shown(found)
        assert {1_000_000} == {one.size for one in found if one.kind == "volume"}

        done = await remove(found, ALL, backend=backend, sinks=(keeper,))
        assert ENGINE <= shown(done.removed)
        assert runtime.is_empty()
        assert_laws(keeper.events)


async def test_what_is_found_is_touched_by_nobody() -> None:
    """Looking changes nothing, and usually only what is old enough is seen."""
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        await create(SPEC, backend=backend)
        await lose_servers(runtime)
        before = runtime.snapshot()
        await find(ALL, runtime)
        assert before == runtime.snapshot()
        assert set() == shown(await find(Wanted(older_than=1e12), runtime))


async def test_only_what_is_left_of_the_named_clusters() -> None:
    """The others stay, and so does everything of no cluster."""
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        for name in ("dev", "other"):
            await create(ClusterSpec(name=name, agents=1), backend=backend)
            await lose_servers(runtime, name)
        await external.create_volume(Asked(name="data", labels={}), runtime)
        wanted = Wanted(clusters=("dev",), older_than=0.0, is_external=True)
        await remove(await find(wanted, runtime), wanted, backend=backend)

        assert {"k3d-other-agent-0", "k3d-other-serverlb"} == {
            one.name for one in await runtime.containers()
        }
        assert {"k3d-other-images", "data"} == {one.name for one in await runtime.volumes()}


async def test_a_cluster_whose_time_is_over_is_deleted() -> None:
    """As by a delete, entries in the kubeconfig included; others stay."""
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        await create(ClusterSpec(name="brief", ttl=1e-6), backend=backend)
        outputs = await create(ClusterSpec(name="long", ttl=1e9), backend=backend)
        assert outputs.kubeconfig is not None
        (cluster,) = await describe(
            runtime, await list_clusters(runtime, ["brief"]), with_token=False
        )
        assert str(cluster["expires"]).endswith("Z")
        found = await find(ALL, runtime)
        assert "cluster brief" in shown(found)
        assert "cluster long" not in shown(found)
        done = await remove(found, ALL, backend=backend)

        assert "cluster brief" in shown(done.removed)
        assert ["long"] == [one.name for one in await list_clusters(runtime)]
        config = kubeconfig.load(Path(outputs.kubeconfig))
        assert not kubeconfig.has_entries(config, "brief")
        assert kubeconfig.has_entries(config, "long")


def test_when_a_clusters_time_is_over() -> None:
    """By the engine's clock, in whole seconds, in UTC."""
    facts = EngineFacts(id="x", endpoint="", time=1_800_000_000.0)
    assert "2027-01-15T10:00:00Z" == expiry(7200.0, facts)
    assert "" == expiry(None, facts)


async def test_entries_of_a_cluster_that_somebody_else_has_removed() -> None:
    """Only if our log says that this engine had it, and they still lead there."""
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        outputs = await create(SPEC, backend=backend)
        path = Path(str(outputs.kubeconfig))
        for one in await runtime.containers():
            await runtime.remove_container(one.name, {})
        assert f"kubeconfig {path}" in shown(await find(ALL, runtime))

        config = kubeconfig.load(path)
        config["clusters"][0]["cluster"]["server"] = "https://10.0.0.9:6443"
        kubeconfig.write(path, kubeconfig.dump(config))
        assert f"kubeconfig {path}" not in shown(await find(ALL, runtime))
        config["clusters"][0]["cluster"]["server"] = outputs.api
        kubeconfig.write(path, kubeconfig.dump(config))

        await remove(await find(ALL, runtime), ALL, backend=backend)
        assert not kubeconfig.has_entries(kubeconfig.load(path), "dev")


async def test_entries_of_a_cluster_on_another_engine_stay() -> None:
    """That engine made it last, whatever is or is not here."""
    async with (
        FakeRuntime(latency=Latency.instant()) as first,
        FakeRuntime(latency=Latency.instant(), id="OTHER") as second,
    ):
        outputs = await create(SPEC, backend=backend_of(second))
        assert {
            one for one in shown(await find(ALL, first)) if one.startswith(("kubeconfig", "log"))
        } == set()
        assert f"kubeconfig {outputs.kubeconfig}" not in shown(await find(ALL, second))


async def test_what_cannot_be_removed_is_named() -> None:
    """Everything else goes all the same, and the network that it was in stays with it."""
    error = EngineError("remove", "container k3d-dev-agent-0", "no")
    order = Fault(trouble=Fail(error), verb="remove_container", name="k3d-dev-agent-0")
    keeper = Keeper()
    async with runtime_of(order) as runtime:
        backend = backend_of(runtime)
        await create(SPEC, backend=backend)
        await lose_servers(runtime)
        with pytest.raises(RollbackIncomplete, match="container k3d-dev-agent-0") as caught:
            await remove(await find(ALL, runtime), ALL, backend=backend, sinks=(keeper,))
        assert 3 == caught.value.exit_code
        assert ["k3d-dev-agent-0"] == [one.name for one in await runtime.containers()]
        last = keeper.events[-1]
        assert isinstance(last, events.RunFailed)
        assert "network k3d-dev" in last.left

        await remove(await find(ALL, runtime), ALL, backend=backend)
        assert runtime.is_empty()


async def test_a_cluster_that_somebody_works_on_is_left_alone() -> None:
    """Its lock is held; what others have left goes."""
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        for name in ("dev", "other"):
            await create(ClusterSpec(name=name), backend=backend)
            await lose_servers(runtime, name)
        found = await find(ALL, runtime)
        with cluster_lock("dev", "FAKE"):
            done = await remove(found, ALL, backend=backend)

        assert ("dev",) == done.busy
        assert ["k3d-dev-serverlb"] == [one.name for one in await runtime.containers()]


async def test_what_came_back_in_between_stays() -> None:
    """Found before somebody was asked, it is looked at again under the lock."""
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        await create(SPEC, backend=backend)
        await lose_servers(runtime)
        found = await find(ALL, runtime)
        await runtime.add_foreign_container(
            "k3d-dev-server-0",
            "k3d-dev",
            labels={"app": "k3d", "k3d.cluster": "dev", "k3d.role": "server"},
        )
        done = await remove(found, ALL, backend=backend)
        assert not ENGINE & shown(done.removed)
        assert 3 == len(await runtime.containers())


async def test_registries_leave_what_goes() -> None:
    """One that another cluster made lives on, in its own network."""
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        asked = LoneRegistry(name="k3d-reg", spec=RegistrySpec(name="k3d-reg"), network="bridge")
        await registry_create.create(asked, backend=backend)
        spec = ClusterSpec(name="dev", registries=(parse_reference("k3d-reg"),))
        await create(spec, backend=backend)
        await lose_servers(runtime)
        await remove(await find(ALL, runtime), ALL, backend=backend)

        (registry,) = await runtime.containers()
        assert ("k3d-reg", ["bridge"]) == (registry.name, list(registry.addresses))
        assert "k3d-dev" not in {one.name for one in await runtime.networks()}


async def test_what_was_made_for_several_clusters_goes_on_request() -> None:
    """In a run of its own."""
    wanted = Wanted(older_than=0.0, is_external=True)
    async with runtime_of() as runtime:
        await external.create_network(Asked(name="net", labels={}), runtime)
        await external.create_volume(Asked(name="data", labels={}), runtime)
        assert set() == {
            one for one in shown(await find(ALL, runtime)) if one.startswith(("net", "vol"))
        }
        await remove(await find(wanted, runtime), wanted, backend=backend_of(runtime))
        assert runtime.is_empty()


async def test_logs_and_locks_of_what_is_gone() -> None:
    """Logs as old as was said, of this engine's runs that are over; locks that nobody holds."""
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        await create(SPEC, backend=backend)
        await create(ClusterSpec(name="up"), backend=backend)
        await delete(["dev"], backend=backend)
        assert "log" not in {one.kind for one in await find(Wanted(), runtime)}
        left_by_the_killed(_lock_path("dev", "FAKE"), _lock_path("up", "FAKE"))
        found = await find(ALL, runtime)
        assert {"dev"} == {one.cluster for one in found}
        assert {"log", "lock"} == {one.kind for one in found}
        await remove(found, ALL, backend=backend)

        assert ["up"] == places()
        assert () == past_runs("dev")
        assert ["up"] == [place for _, place in lock_files("FAKE")]


async def test_kubeconfigs_that_a_killed_shell_has_left() -> None:
    """As old as was said; one in use is not stray."""
    async with runtime_of() as runtime:
        with private_file("up", b"") as used:
            left = used.with_name("k3d-a-b-x.yaml")
            left_by_the_killed(left)
            assert "session" not in {one.kind for one in await find(Wanted(), runtime)}
            found = await find(ALL, runtime)
            assert [("session", "a-b")] == [(one.kind, one.cluster) for one in found]
            await remove(found, ALL, backend=backend_of(runtime))
        assert [] == abandoned()


def left_by_the_killed(*paths: Path) -> None:
    for path in paths:
        path.touch()


def test_a_lock_that_was_removed_is_nobodys(own_directories: Path) -> None:
    """Whoever waits for it then holds the next one; one that is held stays."""
    with cluster_lock(place_of("registry", "r"), "FAKE"):
        ((path, _),) = lock_files("FAKE")
        assert not remove_lock(path)
        descriptor = os.open(path, os.O_RDONLY)
        assert path.exists()
    assert not path.exists()
    os.close(descriptor)
    with cluster_lock(place_of("registry", "r"), "FAKE"):
        assert path.exists()
        assert not remove_lock(path)
    assert own_directories in path.parents


async def test_k3ds_folders_of_nodes_that_are_gone(own_directories: Path) -> None:
    """With what k3d puts there and nothing else; those of nodes that are there stay."""
    base = own_directories / ".config" / "k3d"
    for name in (".k3d-dev-server-0", ".k3d-gone-agent-1", ".k3d-gone-agent-2", ".other"):
        (base / name / "edac").mkdir(parents=True)
        (base / name / "meminfo").write_text("MemTotal: 1 kB\n")
    (base / ".k3d-gone-agent-2" / "mine").write_text("x")
    async with runtime_of() as runtime:
        backend = backend_of(runtime)
        await create(SPEC, backend=backend)
        found = [one for one in await find(ALL, runtime) if one.kind == "folder"]
        assert [("gone", str(base / ".k3d-gone-agent-1"))] == [
            (one.cluster, one.name) for one in found
        ]
        await remove(found, ALL, backend=backend)
    left = {one.name for one in base.iterdir()}
    assert {".k3d-dev-server-0", ".k3d-gone-agent-2", ".other"} == left


class Terminal(io.StringIO):
    """What a user types."""

    def isatty(self) -> bool:
        return True


@asynccontextmanager
async def littered() -> AsyncIterator[Backend]:
    """Open a fake engine on which a volume of a cluster that is gone has been left."""
    async with FakeRuntime(latency=Latency.instant()) as runtime:
        labels = {"app": "k3d", "k3d.cluster": "old"}
        await runtime.create_volume(VolumeSpec(name="k3d-old-images", labels=labels))
        yield backend_of(runtime)


@pytest.mark.parametrize(
    ("typed", "expected"), [("y\n", "1 thing, 1MB removed"), ("\n", "nothing was removed")]
)
def test_the_command_asks_at_a_terminal(
    typed: str,
    expected: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What would go is shown first; anything but a yes is a no."""
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")  # lines, no live view
    command = ["prune", "--runtime", f"{__name__}:littered", "--older-than", "0s"]
    assert 0 == cli.main(command)
    said = capsys.readouterr().err
    assert said.index("k3d-old-images") < said.index("remove 1 thing, 1MB? [y/N]")
    assert expected in said


def test_without_a_terminal_it_wants_to_be_told(capsys: pytest.CaptureFixture[str]) -> None:
    """With --force it does it, and says in JSON what it has removed."""
    command = ["prune", "old", "--runtime", f"{__name__}:littered", "--older-than", "0s"]
    assert 2 == cli.main(command)
    assert "pass --force" in capsys.readouterr().err
    assert 0 == cli.main([*command, "--force", "-o", "json"])
    (removed,) = json.loads(capsys.readouterr().out)
    assert {"kind": "volume", "name": "k3d-old-images", "cluster": "old", "bytes": 1_000_000} == {
        key: value for key, value in removed.items() if key != "why"
    }


def test_the_command_asks_nobody_where_nobody_is(
    capsys: pytest.CaptureFixture[str], own_directories: Path
) -> None:
    """Without a terminal it wants --force or --dry-run; with nothing to do it says so."""
    assert 0 == cli.main(["prune", "--runtime", "fake", "--dry-run", "-o", "json"])
    assert [] == json.loads(capsys.readouterr().out)
    assert 0 == cli.main(["prune", "--runtime", "fake"])
    assert "nothing to prune" in capsys.readouterr().err
    assert own_directories.exists()
