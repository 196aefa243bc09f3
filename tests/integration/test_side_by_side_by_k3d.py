"""Our clusters in k3d's hands: what it reads of them, and that it stops, starts and deletes them.

No k3d binary: what it does is done again by plain calls to a real engine, as its source does it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
import yaml

from tests.integration import k3d_acts
from tests.integration.conftest import Cli
from tests.integration.docker_api import DockerApi, Refused
from tests.integration.k3d_acts import addresses, heartbeats, nodes_of
from tests.integration.k3d_reads import as_k3d_reads, clusters, kubeconfig
from tests.integration.test_clusters import connect_often, everything_of, ready_nodes, wait_until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(240)]


@dataclass(frozen=True)
class Shape:
    """A cluster of ours: flags, the numbers of its nodes, and what is special about it."""

    flags: Sequence[str]
    servers: int
    agents: int
    has_balancer: bool = True
    is_external: bool = False

    @property
    def roles(self) -> Mapping[str, int]:
        roles = {"server": self.servers, "agent": self.agents, "loadbalancer": self.has_balancer}
        return {role: int(number) for role, number in roles.items() if number}


SHAPES = {
    "3+1": Shape(("-s", "3", "-a", "1", "--host-alias", "10.9.8.7:far.example"), 3, 1),
    "1+1, no load balancer": Shape(("-a", "1", "--no-lb"), 1, 1, has_balancer=False),
    "1+1, an existing network": Shape(
        ("-a", "1", "--network", "{name}-net"), 1, 1, is_external=True
    ),
}


def is_back(api: DockerApi, name: str, count: int, since: datetime) -> bool:
    """Say whether all Nodes are Ready, take workloads, and have said so since then."""
    try:
        beats = dict(heartbeats(nodes_of(api, name)))
    except Refused:
        return False  # the API is not back yet
    return count == sum(datetime.fromisoformat(beat) > since for beat in beats.values())


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_k3d_reads_stops_starts_and_deletes_our_clusters(
    cli: Cli, api: DockerApi, own_name: str, shape: Shape
) -> None:
    """After its stop and start all is Ready at its old address; after its delete nothing is left.

    But for entries in kubeconfigs, which it removes from the default one only; our next commands
    with that name work.
    """
    network = f"{own_name}-net" if shape.is_external else f"k3d-{own_name}"
    if shape.is_external:
        api.post("networks/create", {"Name": network, "Driver": "bridge"})
    created = cli.create(own_name, *(flag.format(name=own_name) for flag in shape.flags))
    assert 0 == created.code, created.err

    reads_it(cli, api, own_name, shape, network)
    stops_and_starts_it(cli, api, own_name, shape)
    k3d_acts.delete(api, own_name)
    assert [network] * shape.is_external == everything_of(own_name)
    assert own_name not in cli("list").out

    again = cli.create(own_name)
    assert 0 == again.code, again.err
    assert [f"k3d-{own_name}-server-0"] == ready_nodes(cli, own_name)
    k3d_acts.delete(api, own_name)
    deleted = cli("delete", own_name)
    assert 0 == deleted.code, deleted.err
    assert [] == cli.kubeconfig()["contexts"]
    if shape.is_external:
        api.delete(f"networks/{network}")


def reads_it(cli: Cli, api: DockerApi, name: str, shape: Shape, network: str) -> None:
    """Everything that k3d knows of a cluster is what we would say of it."""
    # Not those of others who use the engine at the same time: they come and go while we look.
    [listed] = clusters(api, f"k3d.cluster={name}").values()
    cluster = as_k3d_reads(api, name)
    shown = yaml.safe_load(cli("list", name, "-o", "yaml", "--token").out)[0]

    assert shape.roles == {role: len(cluster.of_role(role)) for role in shape.roles}
    assert len(cluster.nodes) == len(listed) == sum(shape.roles.values())
    assert all(node.is_running and node.restart and node.address for node in listed)
    assert (f"k3d-{name}-server-0" if shape.servers > 1 else None) == (
        cluster.init and cluster.init.name
    )
    assert (network, shape.is_external) == (cluster.network, cluster.is_network_external)
    assert (f"k3d-{name}-images", [f"k3d-{name}-images"]) == (cluster.image_volume, cluster.volumes)
    assert shown["clusterToken"] == cluster.token
    servers = [f"k3d-{name}-server-{number}" for number in range(shape.servers)]
    if shape.has_balancer:
        assert cluster.balancer is not None
        assert {"6443.tcp": servers} == cluster.balancer["ports"]
    theirs, ours = kubeconfig(api, name), yaml.safe_load(cli("kubeconfig", "get", name).out)
    # Each server has issued a certificate of its own, and k3d takes that of any.
    assert {"client-certificate-data", "client-key-data"} == {*theirs["users"][0].pop("user")}
    assert {"client-certificate-data", "client-key-data"} == {*ours["users"][0].pop("user")}
    assert theirs == ours


def stops_and_starts_it(cli: Cli, api: DockerApi, name: str, shape: Shape) -> None:
    before = addresses(as_k3d_reads(api, name))
    k3d_acts.stop(api, name)
    assert f"0/{shape.servers}" in cli("list", name).out
    began = datetime.now(UTC)
    k3d_acts.start(api, name)
    count = shape.servers + shape.agents

    wait_until(lambda: is_back(api, name, count, began), 60, f"{count} nodes ready again")
    assert count == len(ready_nodes(cli, name))
    assert 50 == connect_often(cli, name, 50)
    if not shape.is_external:
        assert before == addresses(as_k3d_reads(api, name))
    hosts = api.run_inside(f"k3d-{name}-agent-0", "cat", "/etc/hosts")
    assert re.search(r"^\S+ .*host\.k3d\.internal$", hosts, re.MULTILINE)
    assert ("far.example" in hosts) == ("--host-alias" in shape.flags)
    joined = f"k3d-{name}-server-{1 if shape.servers > 1 else 0}"
    assert "host.k3d.internal" in api.run_inside(joined, "cat", k3d_acts.COREDNS)
