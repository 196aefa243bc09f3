"""k3d's clusters in our hands: listed, shown, their kubeconfigs taken, and deleted.

No k3d binary: they are made by the create calls that its source makes, with stand-in images, and
started in its order.
"""

import json
import secrets
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration import k3d_acts, k3d_makes
from tests.integration.conftest import Cli
from tests.integration.docker_api import DockerApi
from tests.integration.k3d_makes import VERSION, Wanted
from tests.integration.test_clusters import everything_of, ready_nodes
from tests.integration.test_create_flags import free_ports
from tests.unit.test_k3d_json import CLUSTER, NODE, check

pytestmark = [pytest.mark.engine, pytest.mark.timeout(240)]

NGINX = """\
include /etc/nginx/modules-enabled/*.conf;
error_log stderr notice;
events {{ worker_connections 1024; }}
stream {{
  upstream api {{ {servers} }}
  server {{ listen 6443; proxy_pass api; proxy_timeout 600; proxy_connect_timeout 2s; }}
}}
"""
"""What k3d's own image renders from the description in its format, as far as it matters here."""


def made_by_k3d(cli: Cli, api: DockerApi, name: str, **wanted: Any) -> Wanted:
    """Make a cluster as k3d does, up to its last log line."""
    cluster = Wanted(
        name=name,
        image=cli.image,
        balancer_image=cli.env["K3D_IMAGE_LOADBALANCER"],
        token=secrets.token_hex(8),
        api_port=free_ports(1)[0],
        **wanted,
    )
    k3d_makes.make(api, cluster)
    if cluster.balancer:
        balancer = f"k3d-{name}-serverlb"
        values = k3d_makes.balancer_values(cluster)
        hosts = " ".join(f"server {host}:6443;" for host in values["ports"]["6443.tcp"])
        api.write(balancer, "/etc/confd/values.yaml", yaml.safe_dump(values).encode(), 0o744)
        api.write(balancer, "/etc/nginx/nginx.conf", NGINX.format(servers=hosts).encode())
    k3d_acts.start(api, name, intent="create")
    return cluster


def leave_tools(api: DockerApi, cluster: Wanted) -> None:
    """Add the tools container that k3d leaves behind where the engine runs in a VM."""
    labels = {"app": "k3d", "k3d.version": VERSION, "k3d.role": "noRole"}
    body = {
        "Image": cluster.image,
        "Entrypoint": ["sleep", "1000"],
        "Labels": {**labels, "k3d.cluster": cluster.name},
        "HostConfig": {"NetworkMode": "bridge", "Binds": [f"{cluster.volume}:/k3d/images"]},
        "NetworkingConfig": {"EndpointsConfig": {cluster.network_name: {}}},
    }
    api.post("containers/create", body, name=f"k3d-{cluster.name}-tools")
    api.post(f"containers/k3d-{cluster.name}-tools/start")


def test_a_cluster_of_k3d_is_managed_like_our_own(
    cli: Cli, api: DockerApi, own_name: str, tmp_path: Path
) -> None:
    """Listed, described, its kubeconfig works, its name is taken; after delete nothing is left.

    Its network carries no cluster's name. The tools container is a node without a role.
    """
    data = f"k3d-{own_name}-data:/data"
    # Not three: fast nodes are up within the five seconds in which etcd refuses the next one, and
    # k3d's entrypoint goes on without k3s then.
    cluster = made_by_k3d(
        cli, api, own_name, servers=2, agents=1, volumes={"agent-0": [data], "server-0": [data]}
    )
    leave_tools(api, cluster)

    shows_it(cli, cluster)
    gives_its_kubeconfig(cli, cluster, tmp_path)
    refused = cli.create(own_name)
    assert 1 == refused.code
    assert own_name in refused.error
    k3d_acts.stop(api, own_name)
    assert [own_name, "0/2", "0/1", "true"] == cli("list", own_name, "--no-headers").out.split()

    deleted = cli("delete", own_name)
    assert 0 == deleted.code, deleted.err
    assert [] == everything_of(own_name)
    assert [] == cli.kubeconfig()["contexts"]


def shows_it(cli: Cli, cluster: Wanted) -> None:
    name = cluster.name
    assert [name, "2/2", "1/1", "true"] == cli("list", name, "--no-headers").out.split()
    nodes = {f"k3d-{name}-{node}" for node in (*cluster.node_names, "tools")}
    listed = cli("node", "list", *nodes, "--no-headers").out.splitlines()
    assert nodes == {line.split()[0] for line in listed}
    tools = next(line for line in listed if "-tools" in line)
    assert [f"k3d-{name}-tools", name, "running"] == tools.split()
    for node in json.loads(cli("node", "list", *nodes, "-o", "json").out):
        check(NODE, node, node["name"])

    [shown] = yaml.safe_load(cli("list", name, "-o", "yaml").out)
    check(CLUSTER, shown)
    assert nodes == {node["name"] for node in shown["nodes"]}
    assert k3d_makes.balancer_values(cluster) == shown["serverLoadBalancer"]["config"]
    assert cluster.token not in str(shown)
    assert (
        cluster.token
        == json.loads(cli("list", name, "-o", "json", "--token").out)[0]["clusterToken"]
    )
    assert f"k3d-{name}-images" == shown["imageVolume"]
    assert {f"k3d-{name}-images", f"k3d-{name}-data"} == {*shown["volumes"]}
    assert str(cluster.api_port) == shown["kubeAPI"]["Binding"]["HostPort"]


def gives_its_kubeconfig(cli: Cli, cluster: Wanted, folder: Path) -> None:
    name = cluster.name
    config = yaml.safe_load(cli("kubeconfig", "get", name).out)
    assert f"https://0.0.0.0:{cluster.api_port}" == config["clusters"][0]["cluster"]["server"]
    assert (f"k3d-{name}", f"admin@k3d-{name}") == (
        config["current-context"],
        config["users"][0]["name"],
    )
    merged = cli("kubeconfig", "merge", name, "-o", str(folder / "own"))
    assert (0, f"{folder / 'own'}\n") == (merged.code, merged.out), merged.err
    assert 0 == cli("kubeconfig", "merge", name, "-d").code
    assert 3 == len(ready_nodes(cli, name))


def test_an_external_network_of_a_cluster_of_k3d_stays(
    cli: Cli, api: DockerApi, own_name: str
) -> None:
    """It was there before; what k3d has made goes, without load balancer and image volume too."""
    network = f"{own_name}-net"
    api.post("networks/create", {"Name": network, "Driver": "bridge", "Labels": {"app": "k3d"}})
    made_by_k3d(
        cli,
        api,
        own_name,
        balancer=False,
        network=network,
        is_network_external=True,
        image_volume=None,
    )
    assert [own_name, "1/1", "0/0", "false"] == cli("list", own_name, "--no-headers").out.split()
    [shown] = json.loads(cli("list", own_name, "-o", "json").out)
    check(CLUSTER, shown)
    assert shown["network"]["isExternal"]
    assert {"imageVolume", "serverLoadBalancer", "hasLoadbalancer"}.isdisjoint(shown)

    deleted = cli("delete", own_name)
    assert 0 == deleted.code, deleted.err
    assert [network] == everything_of(own_name)
    api.delete(f"networks/{network}")


def test_a_network_of_that_name_which_k3d_has_left_is_refused_not_used(
    cli: Cli, api: DockerApi, own_name: str
) -> None:
    """k3d leaves it if its create fails early; to take it for ours would keep it for ever."""
    wanted = Wanted(name=own_name, image="", balancer_image="", token="")
    api.post("networks/create", k3d_makes.network_body(wanted))
    refused = cli.create(own_name)

    assert 1 == refused.code
    assert f"network k3d-{own_name}" in refused.error
    assert [f"k3d-{own_name}"] == everything_of(own_name)
    api.delete(f"networks/k3d-{own_name}")
