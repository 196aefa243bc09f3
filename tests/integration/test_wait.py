"""Wait levels on a real engine: what holds when a create returns, and what does not yet."""

import anyio
import pytest

from k3dasync import kubernetes_http
from k3dasync.kubernetes import credentials_of
from k3dasync.workloads import Kind, Workload
from tests.integration.conftest import Cli, Variant
from tests.integration.test_clusters import connect_often, everything_of, ready_nodes
from tests.laws import assert_laws

pytestmark = [pytest.mark.engine, pytest.mark.timeout(240)]


def workloads(cli: Cli, name: str, kind: Kind) -> dict[str, Workload]:
    """Return what the cluster's own API says of the workloads of a kind."""
    config = cli.kubeconfig()
    server = next(one for one in config["clusters"] if one["name"] == f"k3d-{name}")
    user = next(one for one in config["users"] if one["name"] == f"admin@k3d-{name}")
    credentials = credentials_of({"clusters": [server], "users": [user]})

    async def ask() -> dict[str, Workload]:
        port = int(server["cluster"]["server"].rpartition(":")[2])
        async with (
            kubernetes_http.connect("127.0.0.1", port, credentials) as api,
            api.workloads(kind) as snapshots,
        ):
            return dict(await anext(snapshots))

    return anyio.run(ask)


def test_quorum_returns_while_the_last_server_joins(
    cli: Cli, variant: Variant, own_name: str
) -> None:
    """Two of three servers and both agents are Ready, the third is up, connections answered."""
    cli.image = variant("slow-last", "STANDIN_SLOW=40@*-server-2")
    created = cli.create(own_name, "--servers", "3", "--agents", "2", "--wait=quorum")
    assert 0 == created.code, created.err
    ready = ready_nodes(cli, own_name)
    nodes = ("agent-0", "agent-1", "server-0", "server-1")
    assert [f"k3d-{own_name}-{node}" for node in nodes] == ready
    assert 100 == connect_often(cli, own_name)
    listed = next(one for one in cli.clusters() if one["name"] == own_name)
    assert (3, 2) == (listed["serversRunning"], listed["agentsRunning"])
    assert_laws(cli.events(own_name))

    assert 0 == cli("delete", own_name).code


def test_quorum_fails_with_a_server_that_crash_loops(
    cli: Cli, variant: Variant, own_name: str
) -> None:
    """Two servers would be a majority, but the third will never come: its last words say why."""
    cli.image = variant("crash-last", "STANDIN_CRASH=start@*-server-2")
    created = cli.create(own_name, "--servers", "3", "--wait=quorum")

    assert 1 == created.code
    assert f"k3d-{own_name}-server-2 exited with code 1" in created.error
    assert "crash ordered at stage start" in created.err
    assert [] == everything_of(own_name)
    assert_laws(cli.events(own_name))


def test_all_returns_when_kube_system_is_available(cli: Cli, own_name: str) -> None:
    """Every manifest is applied, and every deployment and daemonset available on every node."""
    created = cli.create(own_name, "--agents", "1", "--wait=all")
    assert 0 == created.code, created.err
    deployments = {"coredns", "local-path-provisioner", "metrics-server", "traefik"}
    assert deployments == set(workloads(cli, own_name, Kind.DEPLOYMENT))
    for kind in set(Kind) - {Kind.POD}:  # which the stand-in has none of
        found = workloads(cli, own_name, kind).values()
        assert found
        assert all(one.is_available for one in found), found
    ports = workloads(cli, own_name, Kind.DAEMONSET)["svclb-traefik"]
    assert "2 of 2 pods are available" == ports.reason
    assert 100 == connect_often(cli, own_name)
    assert_laws(cli.events(own_name))

    assert 0 == cli("delete", own_name).code


def test_all_does_not_wait_for_what_is_disabled(cli: Cli, own_name: str) -> None:
    """What `--disable` takes away is not missed."""
    disabled = [f"--disable={name}" for name in ("traefik", "coredns")]
    arguments = [word for one in disabled for word in ("--k3s-arg", f"{one}@server:*")]
    created = cli.create(own_name, "--wait=all", *arguments)
    assert 0 == created.code, created.err
    deployments = {"local-path-provisioner", "metrics-server"}
    assert deployments == set(workloads(cli, own_name, Kind.DEPLOYMENT))

    assert 0 == cli("delete", own_name).code


def test_all_says_what_never_becomes_available(cli: Cli, variant: Variant, own_name: str) -> None:
    """With the deadline, in the words of the API."""
    cli.image = variant("no-dns", "STANDIN_NEVER_AVAILABLE=coredns")
    created = cli.create(own_name, "--wait=all", "--timeout", "10s")

    assert 124 == created.code
    assert (
        "deployment coredns to be available: Deployment does not have minimum availability."
        in created.error
    )
    assert [] == everything_of(own_name)
