"""Prune on a real engine, of clusters of our own names only; volumes and networks of no cluster."""

import json
import time

import pytest

from tests.integration.conftest import Cli
from tests.integration.test_clusters import everything_of
from tests.integration.test_create_flags import inside
from tests.integration.test_lone_registries import docker

pytestmark = [pytest.mark.engine, pytest.mark.timeout(240)]


def pruned(cli: Cli, name: str, *flags: str) -> list[dict[str, object]]:
    done = cli("prune", name, "--older-than", "0s", "-o", "json", *flags)
    assert 0 == done.code, done.err
    return list(json.loads(done.out))


def test_what_is_left_without_a_server_goes(cli: Cli, own_name: str) -> None:
    """It is shown first, with bytes of volumes; a young one stays unless told otherwise."""
    created = cli.create(own_name, "--agents", "1")
    assert 0 == created.code, created.err
    assert [] == pruned(cli, own_name, "--dry-run")
    inside(f"k3d-{own_name}-agent-0", "sh", "-c", "echo 12345 >/k3d/images/some.tar")
    docker("rm", "-f", "-v", f"k3d-{own_name}-server-0")
    assert "nothing to prune" in cli("prune", own_name, "--dry-run").err

    found = pruned(cli, own_name, "--dry-run")
    kinds = [one["kind"] for one in found]
    assert ["container", "container", "network", "volume", "kubeconfig"] == kinds
    assert {own_name} == {one["cluster"] for one in found}
    assert 6 <= next(int(str(one["bytes"])) for one in found if one["kind"] == "volume")
    refused = cli("prune", own_name, "--older-than", "0s")
    assert (2, True) == (refused.code, "--force" in refused.error)
    assert f"k3d-{own_name}-agent-0" in everything_of(own_name)

    assert found == pruned(cli, own_name, "--force")
    assert [] == everything_of(own_name)
    assert [] == (cli.kubeconfig().get("clusters") or [])


def test_a_cluster_expires(cli: Cli, own_name: str) -> None:
    """`--ttl` marks its nodes; a list in JSON tells when, and prune deletes it then."""
    created = cli.create(own_name, "--ttl", "1s")
    assert 0 == created.code, created.err
    other = cli.create(f"{own_name}b", "--ttl", "2h", "--no-lb")
    assert 0 == other.code, other.err
    (cluster,) = json.loads(cli("list", own_name, "-o", "json").out)
    assert time.gmtime().tm_year <= int(cluster["expires"][:4])

    assert [] == pruned(cli, f"{own_name}b", "--force")
    assert ["cluster"] == [one["kind"] for one in pruned(cli, own_name, "--force")]
    left = everything_of(own_name)
    assert left
    assert all(f"{own_name}b" in one for one in left)
    assert 0 == cli("delete", f"{own_name}b").code


def test_a_network_and_a_volume_outlive_clusters(cli: Cli, own_name: str) -> None:
    """Nodes have fixed addresses in that network, and data is there for the next cluster."""
    network, volume = f"{own_name}-net", f"{own_name}-data"
    made = cli("network", "create", network, "-l", "team=blue")
    assert 0 == made.code, made.err
    assert 0 == cli("volume", "create", volume).code
    said = ""
    flags = ("--network", network, "--volume", f"{volume}:/data")
    for text in ("first", "second"):
        created = cli.create(own_name, *flags)
        assert 0 == created.code, created.err
        server = f"k3d-{own_name}-server-0"
        inside(server, "sh", "-c", f"echo {text} >>/data/log")
        fixed = "{{range .NetworkSettings.Networks}}{{.IPAMConfig.IPv4Address}}{{end}}"
        assert docker("inspect", server, "--format", fixed)
        in_use = cli("network", "delete", network)
        assert (1, True) == (in_use.code, "active endpoints" in in_use.err), in_use.err
        said = inside(server, "cat", "/data/log")
        assert 0 == cli("delete", own_name).code
    assert "first\nsecond\n" == said

    rows = [line.split() for line in cli("network", "list").out.splitlines()]
    assert ["NAME", "SUBNET"] in rows
    assert network in [row[0] for row in rows]
    (found,) = [
        one for one in json.loads(cli("network", "ls", "-o", "json").out) if one["name"] == network
    ]
    assert "blue" == found["labels"]["team"]
    assert volume in cli("volume", "list", "--no-headers").out.split()
    assert 0 == cli("network", "delete", network).code
    assert 0 == cli("volume", "delete", volume).code
    assert [] == everything_of(own_name)
