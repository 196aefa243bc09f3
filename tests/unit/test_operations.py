"""Operations on the fake engine: claims, conflicts, delete, list, kubeconfigs."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from threading import Thread

import anyio
import pytest
import yaml

from k3dasync import events, kubeconfig
from k3dasync.backend import Backend
from k3dasync.errors import (
    ClusterBusy,
    ClusterExists,
    ClusterNotFound,
    JournalError,
    K3dAsyncError,
    NameTaken,
    NodeNotFound,
    NotFound,
    PortTaken,
    RollbackIncomplete,
    SpecError,
    SubnetTaken,
)
from k3dasync.fake import Fail, FakeRuntime, Fault, Faults, Hang, Latency, backend_of
from k3dasync.grammar import filtered
from k3dasync.journal import cluster_lock, past_runs, state_dir
from k3dasync.kubeconfig import KubeconfigError
from k3dasync.operations._run import Stop
from k3dasync.operations.create import create, plan
from k3dasync.operations.delete import delete
from k3dasync.operations.kubeconfigs import kubeconfigs
from k3dasync.operations.listing import describe, describe_nodes, list_clusters, list_nodes
from k3dasync.operations.rollback import rollback
from k3dasync.runtime import PortBinding, VolumeSpec
from k3dasync.spec import ApiPort, ClusterSpec, Datastore
from tests.laws import Keeper, assert_laws
from tests.support import virtual_time

SPEC = ClusterSpec(name="dev", agents=1)


@asynccontextmanager
async def engine(*orders: Fault, id: str = "E1") -> AsyncIterator[tuple[FakeRuntime, Backend]]:
    faults = Faults(orders)
    async with FakeRuntime(latency=Latency.instant(), faults=faults, id=id) as runtime:
        yield runtime, backend_of(runtime)


async def test_an_existing_cluster_is_refused_before_anything_is_made() -> None:
    """The second create of a name touches nothing and says how to go on."""
    async with engine() as (runtime, backend):
        await create(SPEC, backend=backend)
        before, runs = runtime.snapshot(), len(past_runs("dev"))
        with pytest.raises(ClusterExists, match="k3dasync delete dev"):
            await create(SPEC, backend=backend)

        assert (before, runs) == (runtime.snapshot(), len(past_runs("dev")))


@pytest.mark.parametrize("what", ["container", "network", "volume"])
async def test_a_foreign_name_is_refused_and_left_alone(what: str) -> None:
    """A container, network or volume of that name belongs to somebody: nothing is made."""
    async with engine() as (runtime, backend):
        network = runtime.add_foreign_network("theirs")
        if what == "container":
            await runtime.add_foreign_container("k3d-dev-agent-0", network)
        elif what == "network":
            runtime.add_foreign_network("k3d-dev")
        else:
            from k3dasync.runtime import VolumeSpec

            await runtime.create_volume(VolumeSpec(name="k3d-dev-images", labels={}))
        before = runtime.snapshot()
        with pytest.raises(NameTaken, match=f"cannot create {what} k3d-dev"):
            await create(SPEC, backend=backend)

        assert before == runtime.snapshot()


async def test_a_lost_subnet_is_planned_anew() -> None:
    """Somebody takes the subnet between look and claim: the next one is taken, with an event."""
    keeper = Keeper()
    async with engine() as (runtime, backend):
        seen = await plan(SPEC, backend=backend)
        assert seen.cluster.network is not None
        taken = seen.cluster.network.subnet

        class Late:
            """Takes the subnet when the first plan is announced."""

            def write(self, event: events.AnyEvent) -> None:
                if isinstance(event, events.RunStarted):
                    runtime.add_foreign_network("theirs", subnet=taken)

        await create(SPEC, backend=backend, sinks=(keeper, Late()))

        replans = [one for one in keeper.events if isinstance(one, events.RunReplanned)]
        assert [2] == [one.attempt for one in replans]
        assert "overlap" in replans[0].because
        assert_laws(keeper.events)
        found = [net.subnets for net in await runtime.networks() if net.name == "k3d-dev"]
        assert (taken,) not in found


async def test_a_subnet_that_the_user_named_is_not_replaced() -> None:
    """There is no other candidate: it is said whose it is, and the engine is not even asked."""
    async with engine() as (runtime, backend):
        runtime.add_foreign_network("theirs", subnet="10.9.0.0/16")
        before = runtime.snapshot()
        with pytest.raises(K3dAsyncError, match=r"overlaps with 10\.9\.0\.0/16 of network theirs"):
            await create(ClusterSpec(name="dev", subnet="10.9.1.0/24"), backend=backend)
        assert "create_network" not in {verb for verb, _ in runtime.faults.calls}

        assert before == runtime.snapshot()


async def test_a_lost_port_is_planned_anew() -> None:
    """Somebody binds the API port after the look: another port is taken."""
    keeper = Keeper()
    async with engine() as (runtime, backend):
        network = runtime.add_foreign_network("theirs")
        port = (await plan(SPEC, backend=backend)).cluster.api.port
        binding = PortBinding(port="80/tcp", host_ip="127.0.0.1", host_port=port)

        async def take_it() -> None:
            await started.wait()
            await runtime.add_foreign_container("theirs", network, ports=[binding])

        started = anyio.Event()

        class Late:
            def write(self, event: events.AnyEvent) -> None:
                if isinstance(event, events.RunStarted):
                    started.set()

        async with anyio.create_task_group() as group:
            group.start_soon(take_it)
            outputs = await create(SPEC, backend=backend, sinks=(keeper, Late()))

        assert f"https://127.0.0.1:{port}" != outputs.api
        assert any(isinstance(one, events.RunReplanned) for one in keeper.events)
        assert_laws(keeper.events)


async def test_a_port_that_the_user_named_is_not_replaced() -> None:
    """--api-port in use: an error that names the port, and nothing left."""
    async with engine() as (runtime, backend):
        network = runtime.add_foreign_network("theirs")
        binding = PortBinding(port="80/tcp", host_ip="0.0.0.0", host_port=6550)
        await runtime.add_foreign_container("theirs", network, ports=[binding])
        before = runtime.snapshot()
        with pytest.raises(PortTaken, match="container theirs has it; free it") as caught:
            await create(ClusterSpec(name="dev", api_port=ApiPort(None, 6550)), backend=backend)

        assert ("PORT_IN_USE", before) == (caught.value.code, runtime.snapshot())


async def own_networks(runtime: FakeRuntime) -> list[str]:
    """Return the networks that somebody has made: two are always there."""
    names = [network.name for network in await runtime.networks()]
    return [name for name in names if name not in {"host", "bridge"}]


async def test_an_existing_network_is_used_and_outlives_the_cluster() -> None:
    """--network of one with a user's subnet: fixed addresses from its top, and it stays."""
    async with engine() as (runtime, backend):
        runtime.add_foreign_network("theirs", subnet="10.7.0.0/24")
        spec = ClusterSpec(name="dev", network="theirs")
        await create(spec, backend=backend)
        found = {one.name: dict(one.addresses) for one in await runtime.containers()}
        assert {"theirs": "10.7.0.254"} == found["k3d-dev-server-0"]

        await delete(["dev"], backend=backend)
        assert ["theirs"] == await own_networks(runtime)


async def test_a_network_without_configured_subnet_gets_dynamic_addresses_and_a_warning() -> None:
    """Fixed addresses are refused there at the first start: planned anew with names."""
    keeper = Keeper()
    async with engine() as (runtime, backend):
        runtime.add_foreign_network("theirs")
        await create(
            ClusterSpec(name="dev", network="theirs", servers=2), backend=backend, sinks=(keeper,)
        )

        warnings = [one.text for one in keeper.events if isinstance(one, events.Warned)]
        assert any("dynamic addresses" in text for text in warnings)
        assert_laws(keeper.events)


async def test_a_named_network_that_is_absent_is_made_and_deleted() -> None:
    """--network NEW belongs to the cluster."""
    async with engine() as (runtime, backend):
        await create(ClusterSpec(name="dev", network="new"), backend=backend)
        assert ["new"] == await own_networks(runtime)
        await delete(["dev"], backend=backend)
        assert runtime.is_empty()


@virtual_time
async def test_two_creates_of_one_name_from_two_states_have_one_winner(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Exactly one wins, whatever the interleaving; the loser leaves nothing and breaks nothing."""
    for number in range(10):
        async with FakeRuntime(latency=Latency()) as runtime:
            backend = backend_of(runtime)
            outcomes: list[str] = []

            async def attempt(state: Path, delay: float) -> None:
                await anyio.sleep(delay)
                monkeypatch.setenv("XDG_STATE_HOME", str(state))
                try:
                    await create(SPEC, backend=backend)  # noqa: B023 - awaited below
                    outcomes.append("won")  # noqa: B023 - same
                except K3dAsyncError as error:
                    outcomes.append(error.code)  # noqa: B023 - same

            async with anyio.create_task_group() as group:
                group.start_soon(attempt, tmp_path / f"a{number}", 0.0)
                group.start_soon(attempt, tmp_path / f"b{number}", number * 0.06)

            assert 1 == outcomes.count("won"), outcomes
            runs = {one.labels["k3dasync.run"] for one in await runtime.containers()}
            networks = [one for one in await runtime.networks() if one.name == "k3d-dev"]
            assert (1, 1) == (len(runs), len(networks))
            statuses = {str(one.status) for one in await runtime.containers()}
            assert {"running"} == statuses


async def test_a_second_one_from_the_same_state_is_refused_at_once() -> None:
    """The lock says who is at work."""
    async with engine() as (_, backend):
        facts = await backend.runtime.facts()
        with cluster_lock("dev", facts.id), pytest.raises(ClusterBusy, match="process"):
            await create(SPEC, backend=backend)


async def test_delete_takes_everything_and_the_kubeconfig_entries(own_directories: Path) -> None:
    """Nothing of the cluster is left, in the engine or in the user's file."""
    keeper = Keeper()
    async with engine() as (runtime, backend):
        await create(SPEC, backend=backend)
        await create(ClusterSpec(name="other"), backend=backend)
        result = await delete(["dev", "absent"], backend=backend, sinks=(keeper,))

        assert (("dev",), ("absent",)) == (result.deleted, result.absent)
        assert_laws(keeper.events)
        left = await list_clusters(runtime)
        assert ["other"] == [cluster.name for cluster in left]
        text = (own_directories / ".kube" / "config").read_text()
        assert ("k3d-other", False) == (
            yaml.safe_load(text)["contexts"][0]["name"],
            "k3d-dev" in text,
        )

        await delete(None, backend=backend)
        assert runtime.is_empty()


async def test_delete_finds_the_kubeconfig_that_create_wrote_to(
    own_directories: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """KUBECONFIG may have another value by then; the log of the create has its path."""
    monkeypatch.setenv("KUBECONFIG", str(own_directories / "other"))
    async with engine() as (_, backend):
        await create(SPEC, backend=backend)
        monkeypatch.delenv("KUBECONFIG")
        await delete(["dev"], backend=backend)

    assert "k3d-dev" not in (own_directories / "other").read_text()


async def test_delete_says_where_it_could_not_look(own_directories: Path) -> None:
    """The cluster goes all the same; what cannot be read may know it still."""
    keeper = Keeper()
    path = own_directories / ".kube" / "config"
    async with engine() as (_, backend):
        await create(SPEC, backend=backend)
        path.write_text("foo: [")
        await delete(["dev"], backend=backend, sinks=(keeper,))

    warnings = [one.text for one in keeper.events if isinstance(one, events.Warned)]
    assert [True] == [f"cannot read {path}" in text for text in warnings]


async def test_a_damaged_kubeconfig_does_not_keep_a_name_from_being_used(
    own_directories: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rollback that could not clean it is an error; the next create goes on with another file."""
    path, keeper = own_directories / ".kube" / "config", Keeper()

    class Damage:
        def write(self, event: events.AnyEvent) -> None:
            if isinstance(event, events.TaskDone) and event.task.startswith("kubeconfig:"):
                path.write_text("foo: [")
                stop.request("enough")

    stop = Stop()
    async with engine() as (runtime, backend):
        with pytest.raises(RollbackIncomplete, match="entries of dev"):
            await create(SPEC, backend=backend, sinks=(Damage(),), stop=stop)
        with pytest.raises(RollbackIncomplete, match="entries of dev"):
            await rollback("dev", backend=backend)
        monkeypatch.setenv("KUBECONFIG", str(own_directories / "other"))
        await create(ClusterSpec(name="dev"), backend=backend, sinks=(keeper,))
        await delete(["dev"], backend=backend)
        assert runtime.is_empty()

    warnings = [one.text for one in keeper.events if isinstance(one, events.Warned)]
    assert [True] == ["but for entries of dev" in text for text in warnings]


@pytest.mark.parametrize("name", ["cache", "k3d-dev-images"])
async def test_an_image_volume_that_was_there_before_stays(name: str) -> None:
    """Whatever it is called and labelled; without it nothing is made."""
    spec = ClusterSpec(name="dev", external_image_volume=name)
    async with engine() as (runtime, backend):
        with pytest.raises(NotFound, match=f"docker volume create {name}"):
            await create(spec, backend=backend)
        assert runtime.is_empty()

        labels = {"app": "k3d", "k3d.cluster": "dev"}
        await runtime.create_volume(VolumeSpec(name=name, labels=labels))
        await create(spec, backend=backend)
        await delete(["dev"], backend=backend)
        assert [name] == [volume.name for volume in await runtime.volumes()]


async def test_nodes_of_all_clusters_are_listed() -> None:
    """By name, with or without their prefix; secrets are masked; what is foreign is no node."""
    async with engine() as (runtime, backend):
        await create(SPEC, backend=backend)
        await create(ClusterSpec(name="a", loadbalancer=False), backend=backend)
        await runtime.add_foreign_container("k3d-dev-other", "k3d-dev")
        found = [node.name for node in await list_nodes(runtime)]
        some = await list_nodes(runtime, ["dev-agent-0", "k3d-a-server-0"])
        described = await describe_nodes(runtime, some)
        with pytest.raises(NodeNotFound, match="nope"):
            await list_nodes(runtime, ["nope"])

    assert [
        *("k3d-a-server-0", "k3d-dev-agent-0", "k3d-dev-server-0", "k3d-dev-serverlb"),
    ] == found
    assert ["k3d-a-server-0", "k3d-dev-agent-0"] == [node["name"] for node in described]
    assert "K3S_TOKEN=***" in described[1]["env"]


async def test_delete_all_of_nothing_is_no_error() -> None:
    """There is nothing to say no to."""
    async with engine() as (_, backend):
        assert () == (await delete(None, backend=backend)).deleted


@virtual_time
async def test_what_cannot_be_deleted_is_an_error_and_named() -> None:
    """The rest is deleted all the same; exit code 3 with the list of what is left."""
    order = Fault(trouble=Hang(), verb="remove_container", name="*-agent-0", times=1)
    async with engine(order) as (runtime, backend):
        await create(SPEC, backend=backend)
        with pytest.raises(RollbackIncomplete) as caught:
            await delete(["dev"], backend=backend)

        assert 3 == caught.value.exit_code
        assert "container k3d-dev-agent-0" in caught.value.left
        assert {"k3d-dev-agent-0"} == {one.name for one in await runtime.containers()}
        await delete(["dev"], backend=backend)
        assert runtime.is_empty()


async def test_the_kubeconfig_is_merged_and_the_context_switched(own_directories: Path) -> None:
    """k3d's names, the published address; asked not to, nothing is switched or written."""
    async with engine() as (_, backend):
        outputs = await create(SPEC, backend=backend)
        path = own_directories / ".kube" / "config"
        config = yaml.safe_load(path.read_text())
        assert "k3d-dev" == config["current-context"] == outputs.context
        assert outputs.api == config["clusters"][0]["cluster"]["server"]

        spec = ClusterSpec(name="b", kubeconfig_switch_context=False)
        await create(spec, backend=backend)
        assert "k3d-dev" == yaml.safe_load(path.read_text())["current-context"]
        spec = ClusterSpec(name="c", kubeconfig_update_default=False)
        assert None is (await create(spec, backend=backend)).kubeconfig
        assert "k3d-c" not in path.read_text()


async def test_a_state_directory_that_cannot_be_used_is_said_before_anything_is_made(
    own_directories: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By create, delete and rollback alike."""
    (own_directories / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(own_directories / "file"))
    async with engine() as (runtime, backend):
        for act in (
            partial(create, SPEC),
            partial(delete, ["dev"]),
            partial(rollback, "dev"),
        ):
            with pytest.raises(JournalError, match="XDG_STATE_HOME"):
                await act(backend=backend)
        assert runtime.is_empty()


async def test_a_broken_kubeconfig_is_said_before_anything_is_made(own_directories: Path) -> None:
    """Not after minutes."""
    path = own_directories / ".kube" / "config"
    path.parent.mkdir()
    path.write_text("clusters: 5")
    async with engine() as (runtime, backend):
        with pytest.raises(KubeconfigError, match="not a kubeconfig"):
            await create(SPEC, backend=backend)
        assert runtime.is_empty()


async def test_kubeconfigs_of_existing_clusters() -> None:
    """One by name, all of them, an unknown one."""
    async with engine() as (_, backend):
        await create(SPEC, backend=backend)
        await create(ClusterSpec(name="b"), backend=backend)

        assert ["b", "dev"] == list((await kubeconfigs(None, backend=backend)).found)
        some = await kubeconfigs(["nope", "dev", "neither"], backend=backend)
        assert ["dev"] == list(some.found)
        assert kubeconfig.context_name("dev") == some.found["dev"]["current-context"]
        with pytest.raises(
            ClusterNotFound, match="no nodes found for given cluster nope"
        ) as caught:
            some.raise_if_any_is_missing()
        assert 1 == len(caught.value.__notes__)


async def test_json_of_clusters_masks_secrets_unless_asked() -> None:
    """The token is in env and labels of every node: masked in both, shown with --token."""
    async with engine() as (runtime, backend):
        await create(ClusterSpec(name="dev", token="hush"), backend=backend)
        clusters = await list_clusters(runtime)
        masked = str(await describe(runtime, clusters, with_token=False))
        shown = str(await describe(runtime, clusters, with_token=True))

        assert "hush" not in masked
        assert "K3S_TOKEN=***" in masked
        assert "K3S_TOKEN=hush" in shown


async def test_no_secret_is_in_any_event_or_log() -> None:
    """Neither token nor keys, on disk or in the stream."""
    keeper = Keeper()
    async with engine() as (_, backend):
        await create(ClusterSpec(name="dev", token="hush"), backend=backend, sinks=(keeper,))
        written = b"".join(path.read_bytes() for path in state_dir().rglob("*.jsonl"))
        written += b"".join(events.encode(event) for event in keeper.events)

        assert b"hush" not in written
        assert b"PRIVATE" not in written


async def test_rollback_of_a_complete_cluster_does_nothing() -> None:
    """A run that ended well is not taken back."""
    async with engine() as (runtime, backend):
        await create(SPEC, backend=backend)
        before = runtime.snapshot()

        assert () == await rollback("dev", backend=backend)
        assert before == runtime.snapshot()


async def test_a_rollback_on_another_engine_is_refused() -> None:
    """The log says which engine it was; the same names elsewhere are somebody else's."""
    spec = ClusterSpec(name="dev", image="nowhere.invalid/k3s:v1", rollback=False)
    async with engine() as (first, backend):
        first.make_unpullable("nowhere.invalid/k3s:v1")
        with pytest.raises(K3dAsyncError):
            await create(spec, backend=backend)
        async with engine(id="E2") as (_, other):
            with pytest.raises(JournalError, match="another one"):
                await rollback("dev", backend=other)


async def test_an_image_that_cannot_be_pulled_fails_with_a_hint() -> None:
    """Its code is in the error, and nothing is left."""
    async with engine() as (runtime, backend):
        runtime.make_unpullable("nowhere.invalid/k3s:v1")
        spec = ClusterSpec(name="dev", image="nowhere.invalid/k3s:v1")
        with pytest.raises(K3dAsyncError) as caught:
            await create(spec, backend=backend)

        assert ("IMAGE_PULL_FAILED", True) == (caught.value.code, runtime.is_empty())


async def test_a_pull_tells_its_bytes() -> None:
    """Progress events carry bytes done and in all."""
    keeper = Keeper()
    async with FakeRuntime(latency=Latency().scaled(0.01)) as runtime:
        spec = ClusterSpec(name="dev", image="docker.io/rancher/k3s:other")
        await create(spec, backend=backend_of(runtime), sinks=(keeper,))

    progress = [one for one in keeper.events if isinstance(one, events.TaskProgress)]
    assert progress
    assert {"bytes"} == {one.unit for one in progress}
    assert progress[-1].done == progress[-1].total


async def test_plan_touches_nothing() -> None:
    """The same checks as create, and the same graph, without a trace."""
    async with engine() as (runtime, backend):
        decision = await plan(SPEC, backend=backend)

        assert runtime.is_empty()
        assert () == past_runs("dev")
        assert "start:k3d-dev-agent-0" in decision.graph
        await create(SPEC, backend=backend)
        with pytest.raises(ClusterExists):
            await plan(SPEC, backend=backend)


async def test_what_cannot_be_built_is_refused_before_the_engine_is_asked() -> None:
    """A subnet with too little room is the user's mistake."""
    async with engine() as (runtime, backend):
        with pytest.raises(SpecError, match="room for"):
            await create(ClusterSpec(name="dev", agents=9, subnet="10.9.0.0/28"), backend=backend)
        assert runtime.is_empty()


async def test_a_datastores_file_is_read_once_however_often_is_planned(tmp_path: Path) -> None:
    """It may be a pipe, which gives its content to the first reader and nothing to a second."""
    pipe = tmp_path / "ca.pem"
    os.mkfifo(pipe)
    Thread(target=pipe.write_bytes, args=(b"CA",), daemon=True).start()
    store = Datastore(endpoint="http://e:1", cafile=str(pipe))
    taken = SubnetTaken("create", "network", "pool overlaps with other one")
    order = Fault(trouble=Fail(taken), verb="create_network", times=1)
    keeper = Keeper()
    async with engine(order) as (runtime, backend):
        spec = ClusterSpec(name="dev", token="t", datastore=store)
        await create(spec, backend=backend, sinks=(keeper,))
        assert 1 == sum(isinstance(one, events.RunReplanned) for one in keeper.events)
        path = "/etc/k3d/datastore/cafile.pem"
        assert b"CA" == await runtime.read_file("k3d-dev-server-0", path)


async def test_a_pool_without_a_free_subnet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another tool's network has it all: the code is the engine's for an overlap, and exit 1."""
    monkeypatch.setenv("K3DASYNC_SUBNET_POOL", "10.77.0.0/20")
    async with engine() as (runtime, backend):
        runtime.add_foreign_network("theirs", subnet="10.77.0.0/16")
        with pytest.raises(SubnetTaken, match="no subnet of the pool is free") as caught:
            await create(SPEC, backend=backend)
        assert ("NET_POOL_EXHAUSTED", 1) == (caught.value.code, caught.value.exit_code)


async def test_a_port_that_is_asked_for_twice() -> None:
    """Known before anything is made."""
    async with engine() as (runtime, backend):
        before = runtime.snapshot()
        api = ApiPort(port=29556)
        wanted = ClusterSpec(
            name="dev", api_port=api, ports=(filtered.parse("29556:80@loadbalancer"),)
        )
        with pytest.raises(PortTaken, match="publish it twice"):
            await create(wanted, backend=backend)
        assert before == runtime.snapshot()
