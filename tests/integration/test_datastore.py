"""A cluster whose datastore is an etcd outside of it, on a real engine."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest

from k3dasync import events
from k3dasync.docker.runtime import DockerRuntime
from k3dasync.graph import TaskId
from k3dasync.runtime import ContainerSpec, File
from tests.certificates import Authority
from tests.engine import NODE_IMAGE
from tests.integration.conftest import Cli
from tests.integration.test_clusters import everything_of, ready_nodes, ready_or_none, wait_until
from tests.integration.test_create_flags import inside
from tests.integration.test_networks import said
from tests.laws import assert_laws

pytestmark = [pytest.mark.engine, pytest.mark.timeout(240)]

FOLDER = "/etc/etcd"


@dataclass(frozen=True)
class Outside:
    """An etcd in a container that is no part of a cluster."""

    network: str
    container: str
    endpoint: str


@contextmanager
def etcd(name: str, files: dict[str, bytes] | None = None) -> Iterator[Outside]:
    """Run an etcd on a network of its own; with *files* it speaks TLS and asks for a client's."""
    scheme = "https" if files else "http"
    container, network = f"{name}-etcd", f"{name}-outside"
    secured = ("cert", "key", "trusted-ca") if files else ()
    command = (
        *("--data-dir", "/var/lib/etcd", "--listen-client-urls", f"{scheme}://0.0.0.0:2379"),
        *("--advertise-client-urls", f"{scheme}://{container}:2379"),
        *(word for one in secured for word in (f"--{one}-file", f"{FOLDER}/{one}.pem")),
        *(("--client-cert-auth",) if files else ()),
    )
    spec = ContainerSpec(
        name=container,
        image=NODE_IMAGE,
        network=network,
        entrypoint=("etcd",),
        command=command,
        files=tuple(
            File(path=f"{FOLDER}/{each}.pem", content=content)
            for each, content in (files or {}).items()
        ),
    )

    async def start() -> None:
        async with DockerRuntime() as runtime:
            await runtime._engine.docker.networks.create({"Name": network})
            await runtime.create_container(spec)
            await runtime.start_container(container)

    async def remove() -> None:
        async with DockerRuntime() as runtime:
            await runtime.remove_container(container, {})
            await runtime.remove_network(network, {})

    anyio.run(start)
    try:
        yield Outside(network, container, f"{scheme}://{container}:2379")
    finally:
        anyio.run(remove)


def test_three_servers_at_once(cli: Cli, own_name: str) -> None:
    """All Ready, started without waiting for each other, and so again after a restart of all."""
    with etcd(own_name) as outside:
        asked = [
            *("--network", outside.network, "--datastore-endpoint", outside.endpoint),
            *("--servers", "3", "--agents", "1", "--token", "s3cret"),
        ]
        created = cli.create(own_name, *asked)
        assert 0 == created.code, created.err
        names = [f"k3d-{own_name}-{one}" for one in ("agent-0", "server-0", "server-1", "server-2")]
        assert names == ready_nodes(cli, own_name)
        log = cli.events(own_name)
        assert_laws(log)
        assert_independent(log, [TaskId(f"start:{name}") for name in names[1:]])
        assert outside.endpoint not in created.err + cli("list", own_name, "-o", "json").out
        assert "" != inside(outside.container, "etcd", "--version")

        for name in reversed(names):
            restart(name)
        wait_until(lambda: names == ready_or_none(cli, own_name), 60, "cluster that is back")

        assert 0 == cli("delete", own_name).code
        assert [outside.container, outside.network] == everything_of(own_name)
        again = cli.create(own_name, *asked)
        assert 0 == again.code, again.err
        agent = names[0]
        wait_until(lambda: "Successfully registered" in said(agent), 30, "agent that is in")
        assert "Node password rejected" not in said(agent)
        assert 0 == cli("delete", own_name).code


def assert_independent(log: list[events.AnyEvent], tasks: list[TaskId]) -> None:
    """Check that none of these tasks waited for another one, by way of others either."""
    first = log[0]
    assert isinstance(first, events.RunStarted)
    needs = {task.id: task.needs for task in first.plan}
    for task in tasks:
        before, found = list(needs[task]), set[TaskId]()
        while before:
            found.add(one := before.pop())
            before += needs[one]
        assert not found & set(tasks)


def restart(name: str) -> None:
    async def stop_and_start() -> None:
        async with DockerRuntime() as runtime:
            await runtime.stop_container(name)
            await runtime.start_container(name)

    anyio.run(stop_and_start)


def test_with_certificates(cli: Cli, own_name: str, tmp_path: Path) -> None:
    """The client's files are in the server, for root alone, and lead to the datastore."""
    authority = Authority()
    host = f"{own_name}-etcd"
    authority.sign(host).write(tmp_path / "server")
    authority.sign("client").write(tmp_path / "client")
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    files = {
        "cert": (tmp_path / "server" / "cert.pem").read_bytes(),
        "key": (tmp_path / "server" / "key.pem").read_bytes(),
        "trusted-ca": authority.certificate,
    }
    with etcd(own_name, files) as outside:
        created = cli.create(
            own_name,
            *("--network", outside.network, "--datastore-cafile", str(tmp_path / "ca.pem")),
            *("--datastore-certfile", str(tmp_path / "client" / "cert.pem")),
            *("--datastore-keyfile", str(tmp_path / "client" / "key.pem")),
            K3D_DATASTORE_ENDPOINT=outside.endpoint,
        )
        assert 0 == created.code, created.err
        listing = inside(f"k3d-{own_name}-server-0", "ls", "-l", "/etc/k3d/datastore")
        modes = [line.split()[0] for line in listing.splitlines()[1:]]
        assert ["-rw-------"] * 3 == modes
        assert 0 == cli("delete", own_name).code


def test_a_database_that_the_stand_in_does_not_speak(cli: Cli, own_name: str) -> None:
    """The node says so and ends, the create fails at once, and the password is nowhere."""
    created = cli.create(
        own_name, "--datastore-endpoint", "mysql://root:pass-word@tcp(db.example:3306)/k3s"
    )

    assert 1 == created.code
    assert "--datastore-endpoint is only played for etcd" in created.err
    assert "pass-word" not in created.err
    log = cli.home / ".local/state/k3dasync/runs" / own_name
    assert "pass-word" not in "".join(path.read_text() for path in log.glob("*.jsonl"))
    assert [] == everything_of(own_name)


def test_what_cannot_be_read_is_found_before_anything_is_made(
    cli: Cli, own_name: str, tmp_path: Path
) -> None:
    """One line, exit code 2."""
    (tmp_path / "key.pem").write_text("a key")
    refused = cli.create(
        own_name,
        *("--datastore-endpoint", "https://etcd.example:2379"),
        *("--datastore-certfile", str(tmp_path / "none.pem")),
        *("--datastore-keyfile", str(tmp_path / "key.pem")),
    )

    assert (2, 1) == (refused.code, len(refused.err.splitlines())), refused.err
    assert "--datastore-certfile: cannot read" in refused.error
    assert [] == cli.events(own_name)
