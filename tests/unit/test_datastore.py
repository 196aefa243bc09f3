"""A datastore outside the cluster: what is refused, what servers are told, and in which order."""

import json
from pathlib import Path

import msgspec
import pytest

from k3dasync import events
from k3dasync.commands._create_flags import CreateFlags
from k3dasync.commands._datastore_flags import DatastoreFlags
from k3dasync.errors import K3dAsyncError, SpecError
from k3dasync.fake import FakeRuntime, Faults, Latency, NodeFault, Stage, backend_of
from k3dasync.grammar.filtered import parse as filtered
from k3dasync.kubernetes import node_status
from k3dasync.operations.create import create, plan
from k3dasync.operations.delete import delete
from k3dasync.operations.listing import describe, list_clusters
from k3dasync.spec import ClusterSpec, Datastore, check
from tests.laws import Keeper, assert_laws
from tests.support import virtual_time
from tests.unit.worlds import decided

ENDPOINT = "postgres://k3s:pass-word@db.example:5432/k3s"
SPEC = ClusterSpec(name="dev", servers=3, agents=1, datastore=Datastore(endpoint=ENDPOINT))


def of(endpoint: str, **fields: str) -> ClusterSpec:
    return ClusterSpec(datastore=Datastore(endpoint=endpoint, **fields))


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://10.0.0.1:2379,https://10.0.0.2:2379",
        "http://etcd:2379",
        ENDPOINT,
        "mysql://root:localhost@tcp(db:3306)/k3s",
        "nats://broker:4222",
        "https://localhost.example:2379",
        "postgres://u:p@[fd00::1]:5432/k",
    ],
)
def test_endpoints_as_k3s_takes_them(endpoint: str) -> None:
    """Etcd, several too, and the databases."""
    assert check(of(endpoint)).datastore == Datastore(endpoint=endpoint)


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        ("secret@db", "not an address that k3s knows"),
        ("secret://", "not an address that k3s knows"),
        ("sqlite:///secret", "sqlite"),
        ("mysql://secret @tcp(db)/k", "without blanks"),
        ("https://localhost:2379/secret", "names localhost, which is each node itself"),
        ("https://etcd:2379,https://127.0.0.3:2379/secret", "names 127.0.0.3"),
        ("mysql://secret@tcp(127.0.0.1:3306)/k", "names 127.0.0.1"),
        ("postgres://u:secret@localhost/k", "names localhost"),
        ("postgres://u:secret@[::1]:5432/k", "host.k3d.internal"),
    ],
)
def test_endpoints_that_cannot_work_are_not_quoted(endpoint: str, words: str) -> None:
    """The message says why; there may be a password in the endpoint."""
    with pytest.raises(SpecError) as raised:
        check(of(endpoint))

    assert words in str(raised.value)
    assert "secret" not in str(raised.value)


def test_on_the_hosts_network_localhost_is_the_host() -> None:
    """There it can work."""
    spec = msgspec.structs.replace(of("http://localhost:2379"), network="host")

    assert check(spec).datastore is not None


def test_a_certificate_needs_its_key() -> None:
    """And the other way round."""
    for field in ("certfile", "keyfile"):
        with pytest.raises(SpecError, match="belong together"):
            check(of(ENDPOINT, **{field: "/x.pem"}))


def test_flags_go_on_top_of_a_file_each_for_itself() -> None:
    """An endpoint of the file with a certificate of the flags; an empty text is not given."""
    base = ClusterSpec(datastore=Datastore(endpoint="https://a:1", cafile="/a.pem"))
    given = DatastoreFlags(
        datastore_endpoint="", datastore_certfile="/c.pem", datastore_keyfile="/k.pem"
    )

    expected = Datastore(
        endpoint="https://a:1", cafile="/a.pem", certfile="/c.pem", keyfile="/k.pem"
    )
    assert expected == CreateFlags(datastore=given).spec("dev", base).datastore
    assert base.datastore == CreateFlags().spec("dev", base).datastore


def test_a_file_without_an_endpoint_is_refused() -> None:
    """It would be for nothing."""
    given = DatastoreFlags(datastore_cafile="/a.pem")
    with pytest.raises(SpecError, match="--datastore-cafile needs a --datastore-endpoint"):
        CreateFlags(datastore=given).spec("dev")


def test_servers_are_told_by_their_environment_and_join_nobody() -> None:
    """No --cluster-init, no K3S_URL; agents are told as ever, and not of the datastore."""
    cluster = decided(SPEC)

    for server in cluster.servers:
        assert f"K3S_DATASTORE_ENDPOINT={ENDPOINT}" in server.container.env
        assert [] == [entry for entry in server.container.env if entry.startswith("K3S_URL")]
        assert "--cluster-init" not in (server.container.command or ())
        assert "false" == server.container.labels["k3d.server.init"]
    (agent,) = cluster.agents
    assert "K3S_URL=https://k3d-dev-server-0:6443" in agent.container.env
    assert "pass-word" not in "".join(agent.container.env)


def test_files_are_put_into_servers_for_root_alone() -> None:
    """Under paths of ours, which the environment names."""
    store = Datastore(endpoint=ENDPOINT, cafile="ca", certfile="cert", keyfile="key")
    contents = {"ca": b"CA", "cert": b"CERT", "key": b"KEY"}
    cluster = decided(ClusterSpec(name="dev", agents=1, datastore=store), datastore_files=contents)

    server = cluster.servers[0].container
    found = {file.path: (file.content, file.mode) for file in server.files}
    for name, content in (("cafile", b"CA"), ("certfile", b"CERT"), ("keyfile", b"KEY")):
        path = f"/etc/k3d/datastore/{name}.pem"
        assert f"K3S_DATASTORE_{name.upper()}={path}" in server.env
        assert (content, 0o600) == found[path]
    assert [] == [one for one in cluster.agents[0].container.files if "datastore" in one.path]


@pytest.mark.parametrize(
    ("spec", "argument", "words"),
    [
        (ClusterSpec(), "--https-listen-port=7443", "in its container it stays 6443"),
        (ClusterSpec(), "--https-listen-port", "--api-port"),
        (ClusterSpec(network="host"), "--https-listen-port=7443", "--api-port"),
        (SPEC, "--cluster-init", "no datastore of its own"),
        (SPEC, "--datastore-endpoint=mysql://secret", "to create itself"),
        (ClusterSpec(servers=3), "--datastore-endpoint=mysql://secret", "to create itself"),
    ],
    ids=str,
)
def test_arguments_that_would_break_the_cluster(
    spec: ClusterSpec, argument: str, words: str
) -> None:
    """Refused with what to do, before anything is made; their values are not quoted."""
    asked = filtered(f"{argument}@server:0")
    with pytest.raises(SpecError, match=words) as raised:
        decided(msgspec.structs.replace(spec, k3s_args=(asked,)))

    assert "secret" not in str(raised.value)


def test_a_second_cluster_init_is_not_added() -> None:
    """A user's own is enough; on one server it is a wish for etcd."""
    asked = (filtered("--cluster-init@server:0"),)
    several = decided(ClusterSpec(servers=3, k3s_args=asked)).servers[0].container
    single = decided(ClusterSpec(k3s_args=asked)).servers[0].container

    assert 1 == (several.command or ()).count("--cluster-init")
    assert 1 == (single.command or ()).count("--cluster-init")


def test_a_cluster_of_the_same_token_and_name_is_known_again() -> None:
    """Each node proves itself by a password that follows from both, and gives neither away."""

    def passwords(token: str) -> dict[str, bytes]:
        cluster = decided(SPEC, token=token)
        return {
            node.name: next(
                file.content for file in node.container.files if "password" in file.path
            )
            for node in (*cluster.servers, *cluster.agents)
        }

    assert passwords("one") == passwords("one")
    assert 8 == len({*passwords("one").values(), *passwords("two").values()})
    assert b"one" not in b"".join(passwords("one").values())
    usual = decided(ClusterSpec(name="dev")).servers[0].container
    assert [] == [file for file in usual.files if "password" in file.path]


async def test_a_file_that_cannot_be_read_is_found_before(tmp_path: Path) -> None:
    """With the flag and the path."""
    spec = of(ENDPOINT, cafile=str(tmp_path / "none.pem"))
    async with FakeRuntime(latency=Latency.instant()) as runtime:
        with pytest.raises(
            SpecError, match=r"--datastore-cafile: cannot read .*none\.pem: No such"
        ):
            await create(spec, backend=backend_of(runtime))
        assert runtime.is_empty()


@virtual_time
async def test_servers_start_at_once_and_all_are_ready() -> None:
    """Their starts overlap, and nothing secret is in the log."""
    keeper = Keeper()
    async with FakeRuntime() as runtime:
        await create(SPEC, backend=backend_of(runtime), sinks=(keeper,))
        assert_laws(keeper.events)
        began = {e.task: e.t for e in keeper.events if isinstance(e, events.TaskStarted)}
        ended = {e.task: e.t for e in keeper.events if isinstance(e, events.TaskDone)}
        starts = [f"start:k3d-dev-server-{index}" for index in range(3)]
        assert max(began[id] for id in starts) < min(ended[id] for id in starts)  # type: ignore[index]
        assert "pass-word" not in msgspec.json.encode(keeper.events).decode()

        clusters = await list_clusters(runtime)
        shown = json.dumps(await describe(runtime, clusters, with_token=False))
        assert "pass-word" not in shown
        assert "K3S_DATASTORE_ENDPOINT=***" in shown
        await delete(["dev"], backend=backend_of(runtime))
        assert runtime.is_empty()


@virtual_time
async def test_another_token_does_not_open_the_datastore() -> None:
    """A cluster made anew over what a former one left needs that one's token."""
    async with FakeRuntime() as runtime:
        backend = backend_of(runtime)
        spec = msgspec.structs.replace(SPEC, token="one")
        await create(spec, backend=backend)
        await delete(["dev"], backend=backend)
        with pytest.raises(Exception, match="encrypted with different token") as raised:
            await create(msgspec.structs.replace(SPEC, token="two"), backend=backend)
        assert "pass-word" not in str(raised.value)

        await create(spec, backend=backend)


@pytest.mark.parametrize(
    ("said", "expected"),
    [("2026-11-24T23:15:47Z", 1795562147.0), ("", None), ("soon", None), (None, None)],
)
def test_when_a_node_was_last_heard_of(said: str | None, expected: float | None) -> None:
    """As the API tells it; unknown if it does not."""
    ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": said}
    node = {"metadata": {"name": "n"}, "status": {"conditions": [ready]}}

    assert expected == node_status(node).heard


@virtual_time
async def test_what_the_datastore_knows_of_a_former_cluster_is_not_taken_for_ready() -> None:
    """Made again over its own data, a cluster takes its time: each node has said it is Ready."""
    keepers = Keeper(), Keeper()
    spec = msgspec.structs.replace(SPEC, token="one")
    async with FakeRuntime() as runtime:
        backend = backend_of(runtime)
        for keeper in keepers:
            await create(spec, backend=backend, sinks=(keeper,))
            await delete(["dev"], backend=backend)

    ends = [e for one in keepers for e in one.events if isinstance(e, events.RunDone)]
    first, second = ends
    assert 0.9 * first.seconds < second.seconds < 1.1 * first.seconds


@virtual_time
async def test_what_a_node_prints_of_it_is_masked() -> None:
    """Its last words are in the error and in the log; the password and the token are not."""
    says = "cannot open k3s:pass-word@db.example:5432/k3s as k3s with pass-word, token tok-en"
    order = NodeFault(node="*-server-1", stage=Stage.JOINED, says=says)
    keeper = Keeper()
    async with FakeRuntime(faults=Faults((order,))) as runtime:
        spec = msgspec.structs.replace(SPEC, token="tok-en")
        with pytest.raises(K3dAsyncError, match=r"cannot open \*\*\* as k3s with \*\*\*") as raised:
            await create(spec, backend=backend_of(runtime), sinks=(keeper,))

    told = str(raised.value) + msgspec.json.encode(keeper.events).decode()
    assert [] == [secret for secret in ("pass-word", "tok-en") if secret in told]


async def test_no_password_is_in_a_plan() -> None:
    """A plan can be shown to anybody."""
    async with FakeRuntime(latency=Latency.instant()) as runtime:
        decision = await plan(SPEC, backend=backend_of(runtime))

    assert "pass-word" not in msgspec.json.encode(decision.plan).decode()
    assert "pass-word" not in repr(decision.cluster)
    assert "pass-word" not in repr(SPEC.datastore)


async def test_secrets_among_arguments_are_masked_too() -> None:
    """Both spellings of an option with its value."""
    asked = [filtered(f"{one}@server:0") for one in ("--agent-token=hush", "--token", "hush")]
    spec = ClusterSpec(name="dev", loadbalancer=False, k3s_args=tuple(asked))
    async with FakeRuntime(latency=Latency.instant()) as runtime:
        await create(spec, backend=backend_of(runtime))
        clusters = await list_clusters(runtime)
        (masked,) = await describe(runtime, clusters, with_token=False)
        (shown,) = await describe(runtime, clusters, with_token=True)

    expected = ["server", "--agent-token=***", "--token", "***"]
    assert expected == masked["nodes"][0]["Cmd"][:4]
    assert "--agent-token=hush" == shown["nodes"][0]["Cmd"][1]
