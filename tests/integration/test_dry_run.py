"""What a dry run says is what a create then makes."""

import json

import pytest

from k3dasync import masks
from k3dasync.cluster import LABEL_NETWORK_ID, LABEL_RUN, LABEL_TOKEN
from tests.integration.conftest import Cli
from tests.integration.docker_api import DockerApi

pytestmark = pytest.mark.engine
CHOSEN = {LABEL_RUN, LABEL_NETWORK_ID, LABEL_TOKEN}
"""Labels that each create chooses anew, or that are masked."""


def test_a_create_makes_what_its_dry_run_says(cli: Cli, own_name: str, api: DockerApi) -> None:
    """Key by key, for a subnet and a port that are named."""
    flags = ["--agents=1", "--subnet=10.175.91.0/24", "--api-port=127.0.0.1:29391"]
    flags += ["-e", "A=1@all", "--k3s-node-label", "a=b@agent:0", "--host-alias", "10.0.0.9:nas"]
    flags += ["-p", "29392:80@agent:0:direct"]
    flags += ["--registry-config", "mirrors:\n  a.example:\n    endpoint: [http://b:1]\n"]
    said = cli.create(own_name, *flags, "--dry-run", "-o", "json", DOCKER_HOST="unix:///nowhere")
    assert (0, "") == (said.code, said.err)
    document = json.loads(said.out)

    assert 0 == cli.create(own_name, *flags).code
    try:
        for node in document["nodes"]:
            made = api.get(f"containers/{node['name']}/json")
            config, host = made["Config"], made["HostConfig"]
            assert node["image"] == config["Image"]
            usual = api.get(f"images/{config['Image']}/json")["Config"]
            assert (node["command"] or usual["Cmd"]) == config["Cmd"]
            assert (node["entrypoint"] or usual["Entrypoint"]) == config["Entrypoint"]
            env = [masks.variable(entry) for entry in config["Env"]]
            assert node["env"] == env[: len(node["env"])]
            labels = {key: text for key, text in node["labels"].items() if key not in CHOSEN}
            assert labels == {key: config["Labels"][key] for key in labels}
            assert set(config["Labels"]) - set(usual["Labels"] or ()) <= labels.keys() | CHOSEN
            assert node["mounts"] == host["Binds"]
            assert node["hosts"] == (host["ExtraHosts"] or [])
            assert node["ports"] == [
                f"{one['HostIp'] or '*'}:{one['HostPort'] or 0}->{port.partition('/')[0]}/tcp"
                for port, bindings in (host["PortBindings"] or {}).items()
                for one in bindings
            ]
            (endpoint,) = made["NetworkSettings"]["Networks"].values()
            assert node["network"]["address"] == endpoint["IPAMConfig"]["IPv4Address"]
        assert document["api"] == cli.kubeconfig()["clusters"][0]["cluster"]["server"]
    finally:
        assert 0 == cli("delete", own_name).code
