"""What we make, key by key against what k3d makes of the same command line, on a real engine."""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.integration import inspection, k3d_makes
from tests.integration.conftest import Cli
from tests.integration.docker_api import DockerApi
from tests.integration.k3d_differences import DIFFERENCES
from tests.integration.k3d_makes import Wanted
from tests.integration.k3d_reads import balancer_config
from tests.integration.test_create_flags import free_ports

pytestmark = [pytest.mark.engine, pytest.mark.timeout(240)]


@dataclass(frozen=True)
class Shape:
    """A command line, and what k3d makes of it."""

    flags: Sequence[str]
    wanted: dict[str, Any]
    is_external: bool = False
    external_volume: bool = False


API = ("--api-port", "127.0.0.1:{port}")
SHAPES = {
    "1+0": Shape(("--api-port", "{port}"), {}),
    "1+1, no load balancer, pids of the host": Shape(
        (
            *API,
            "-a",
            "1",
            "--no-lb",
            "--host-pid-mode",
            "-p",
            "127.0.0.1:{other}:81@agent:0:direct",
        ),
        {
            "agents": 1,
            "balancer": False,
            "is_host_pid": True,
            "ports": {"agent-0": {"81/tcp": [("127.0.0.1", "{other}")]}},
        },
    ),
    "3+2, all that nodes can be given": Shape(
        (
            *(*API, "-s", "3", "-a", "2", "-p", "{other}:80@loadbalancer"),
            *("-e", "FIRST=1@server:0;agent:0;loadbalancer", "-e", "SECOND=a b@server:0"),
            *("--k3s-arg", "--disable=traefik@server:*", "--k3s-arg", "--v=1@server:*;agent:*"),
            *("--k3s-node-label", "tier=front@server:0", "--k3s-node-label", "disk=ssd@agent:0"),
            *("--k3s-node-label", "tier=back@agent:0", "--runtime-label", "team=x@all"),
            *("--runtime-label", "k8s.io/a.b=@agent:1", "--runtime-ulimit", "core=4096:8192"),
            *("-v", "k3d-{name}-data:/data:ro@agent:*", "-v", "{folder}:/mounted@all"),
            *("--servers-memory", "512m", "--agents-memory", "256m"),
            *("--host-alias", "10.9.8.7:far.example,near.example"),
        ),
        {
            "servers": 3,
            "agents": 2,
            "ports": {"serverlb": {"80/tcp": [("", "{other}")]}},
            "proxied": {"80.tcp": ["server-0", "server-1", "server-2", "agent-0", "agent-1"]},
            "env": {
                "server-0": ["FIRST=1", "SECOND=a b"],
                "agent-0": ["FIRST=1"],
                "serverlb": ["FIRST=1"],
            },
            "args": {
                **{f"server-{number}": ["--disable=traefik", "--v=1"] for number in range(3)},
                **{f"agent-{number}": ["--v=1"] for number in range(2)},
            },
            "node_labels": {"server-0": ["tier=front"], "agent-0": ["disk=ssd", "tier=back"]},
            "labels": {
                **{f"server-{number}": {"team": "x"} for number in range(3)},
                "agent-0": {"team": "x"},
                "agent-1": {"team": "x", "k8s.io/a.b": ""},
                "serverlb": {"team": "x"},
            },
            "volumes": {
                **{f"server-{number}": ["{folder}:/mounted"] for number in range(3)},
                **{
                    f"agent-{number}": ["k3d-{name}-data:/data:ro", "{folder}:/mounted"]
                    for number in range(2)
                },
                "serverlb": ["{folder}:/mounted"],
            },
            "memory": {"server": 512 * 2**20, "agent": 256 * 2**20},
            "aliases": [{"ip": "10.9.8.7", "hostnames": ["far.example", "near.example"]}],
            "ulimits": [{"Name": "core", "Soft": 4096, "Hard": 8192}],
        },
    ),
    "1+1, an existing network": Shape(
        (*API, "-a", "1", "--network", "{name}-net", "-p", "{other}:80@agent:0"),
        {
            "agents": 1,
            "network": "{name}-net",
            "is_network_external": True,
            "ports": {"serverlb": {"80/tcp": [("", "{other}")]}},
            "proxied": {"80.tcp": ["agent-0"]},
        },
        is_external=True,
    ),
    "2+0, an existing image volume": Shape(
        (*API, "-s", "2", "--image-vol", "{name}-images"),
        {"servers": 2, "image_volume": "{name}-images"},
        external_volume=True,
    ),
    "1+0, a network of another name": Shape(
        (*API, "--network", "{name}-net"), {"network": "{name}-net"}
    ),
    "2+1, a subnet": Shape(
        (*API, "-s", "2", "-a", "1", "--subnet", "{subnet}"),
        {"servers": 2, "agents": 1, "subnet": "{subnet}"},
    ),
    "1+1, no image volume": Shape(
        (*API, "-a", "1", "--no-image-volume"), {"agents": 1, "image_volume": None}
    ),
}


def filled(value: Any, words: dict[str, object]) -> Any:
    """Return *value* with the words in its texts."""
    if isinstance(value, dict):
        return {key: filled(one, words) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(filled(one, words) for one in value)
    return value.format(**words) if isinstance(value, str) else value


@dataclass(frozen=True)
class Case:
    """One shape with names and ports of its own."""

    shape: str
    flags: list[str]
    wanted: Wanted
    volumes: list[str]

    def inspected(self, api: DockerApi) -> inspection.Flat:
        """Return what the engine says of it."""
        name, network = self.wanted.name, self.wanted.network_name
        has_subnet = self.wanted.subnet is not None
        return inspection.cluster(api, name, network, self.volumes, has_subnet=has_subnet)


@pytest.fixture
def case(
    request: pytest.FixtureRequest, cli: Cli, api: DockerApi, own_name: str, tmp_path: Path
) -> Iterator[Case]:
    """Return a shape, with what must be there before."""
    shape = SHAPES[request.param]
    port, other = free_ports(2)
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 1 kB\n")
    words = {
        "name": own_name,
        "port": port,
        "other": other,
        "folder": tmp_path,
        "subnet": f"10.214.{secrets.randbelow(256)}.0/24",
    }
    base = Wanted(
        name=own_name,
        image=cli.image,
        balancer_image=cli.env["K3D_IMAGE_LOADBALANCER"],
        token=secrets.token_hex(8),
        api_ip="0.0.0.0" if "{port}" in shape.flags else "127.0.0.1",
        api_port=port,
        meminfo=str(meminfo),
    )
    wanted = replace(base, **filled(shape.wanted, words))
    if shape.is_external:
        api.post("networks/create", {"Name": wanted.network_name, "Driver": "bridge"})
    if shape.external_volume:
        api.post("volumes/create", {"Name": wanted.volume})
    own = {spec.partition(":")[0] for some in wanted.volumes.values() for spec in some}
    volumes = [name for name in {wanted.volume or "", *own} if name.startswith("k3d-")]
    flags = [*filled(list(shape.flags), words), "--token", wanted.token]
    yield Case(request.param, flags, wanted, volumes)
    if shape.is_external:
        api.delete(f"networks/{wanted.network_name}")
    if shape.external_volume:
        api.delete(f"volumes/{wanted.volume}")


def theirs_of(api: DockerApi, case: Case) -> inspection.Flat:
    """Make the cluster as k3d does, look at it, and remove it again."""
    wanted = case.wanted
    k3d_makes.make(api, wanted)
    try:
        return case.inspected(api)
    finally:
        for node in wanted.node_names:
            api.delete(f"containers/k3d-{wanted.name}-{node}", force=1, v=1)
        if not wanted.is_network_external:
            api.delete(f"networks/{wanted.network_name}")
        for name in case.volumes:
            api.delete(f"volumes/{name}")


@pytest.mark.parametrize("case", SHAPES, indirect=True)
def test_only_what_is_in_the_table_differs(cli: Cli, api: DockerApi, case: Case) -> None:
    """Labels, env, command, entrypoint, mounts, ports, policies, networks, volumes; nothing else.

    All keys of the inspection are compared, also those that neither of us sets. A line of the table
    that does not show any more must leave it.
    """
    theirs = theirs_of(api, case)
    wanted = case.wanted
    created = cli.create(wanted.name, *case.flags)
    assert 0 == created.code, created.err
    ours = case.inspected(api)

    found = {
        difference: [line.path for line in DIFFERENCES if line.allows(*difference)]
        for difference in inspection.differences(theirs, ours)
    }
    assert [] == [difference for difference, lines in found.items() if not lines]
    expected = {line.path for line in DIFFERENCES if line.shape == case.shape}
    assert set() == expected - {path for lines in found.values() for path in lines}
    if wanted.balancer:
        packed = api.read_tar(f"k3d-{wanted.name}-serverlb", "/etc/confd/values.yaml")
        assert k3d_makes.balancer_values(wanted) == balancer_config(packed)
    assert 0 == cli("delete", wanted.name).code
