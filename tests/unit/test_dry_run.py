"""`create --dry-run`: all that would be made, said without any engine."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from k3dasync import cli
from k3dasync.docker.translate import container_body
from k3dasync.grammar import filtered
from k3dasync.spec import ClusterSpec, Datastore, RegistryProxy, RegistrySpec
from tests.unit.worlds import decided

SECRETS = ("the-token", "store-password", "proxy-password", "shown-nowhere")


@pytest.fixture(autouse=True)
def nowhere(own_directories: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///there/is/no/engine.sock")


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert 0 == cli.main(["create", "dev", "--dry-run", "-o", "json", *arguments])
    return json.loads(capsys.readouterr().out)


def test_it_says_all_that_a_create_call_says(capsys: pytest.CaptureFixture[str]) -> None:
    """What is said of a node is what the engine would be told, key by key."""
    flags = ["--agents=1", "-e", "A=b c@all", "-p", "8080:80@server:0:direct", "-v", "/a:/b:ro@all"]
    flags += ["--k3s-arg", "--debug@server:0", "--runtime-ulimit", "nofile=1:2"]
    flags += ["--servers-memory", "1g", "--host-alias", "10.0.0.9:nas", "--host-pid-mode"]
    document = shown(capsys, *flags)

    from k3dasync.commands._create_flags import CreateFlags

    spec = CreateFlags(
        agents=1,
        env=("A=b c@all",),
        port=("8080:80@server:0:direct",),
        volume=("/a:/b:ro@all",),
        k3s_arg=("--debug@server:0",),
        runtime_ulimit=("nofile=1:2",),
        servers_memory="1g",
        host_alias=("10.0.0.9:nas",),
        host_pid_mode=True,
    ).spec("dev")
    made = {node.name: container_body(node.container) for node in decided(spec).nodes}
    assert list(made) == [node["name"] for node in document["nodes"]]
    for node in document["nodes"]:
        body = made[node["name"]]
        assert body.get("Cmd") == node["command"]
        assert body.get("Entrypoint") == node["entrypoint"]
        assert body["HostConfig"]["Binds"] == node["mounts"]
        assert set(body["Labels"]) == set(node["labels"])
        assert [one.partition("=")[0] for one in body["Env"]] == [
            one.partition("=")[0] for one in node["env"]
        ]
        assert (body["HostConfig"].get("Memory") or None) == node["limits"]["memory"]
        assert ("host" == body["HostConfig"].get("PidMode", "")) == node["hostPidMode"]
    server = document["nodes"][0]
    assert ["*:8080->80/tcp"] == server["ports"]
    assert "nas:10.0.0.9" in server["hosts"]
    assert ["nofile=1:2"] == server["limits"]["ulimits"]


def test_files_are_shown_with_their_content(capsys: pytest.CaptureFixture[str]) -> None:
    """The start scripts and the load balancer's configuration, as they would stand there."""
    document = shown(capsys, "-p", "8080:80@loadbalancer")

    files = {one["path"]: one for node in document["nodes"] for one in node["files"]}
    assert "exec" not in files["/etc/confd/values.yaml"]["content"]
    assert "80.tcp" in files["/etc/confd/values.yaml"]["content"]
    assert "listen 80;" in files["/etc/nginx/nginx.conf"]["content"]
    assert files["/bin/k3d-entrypoint.sh"]["content"].startswith("#!/bin/sh")
    assert "0744" == files["/bin/k3d-entrypoint.sh"]["mode"]


def test_no_secret_is_shown() -> None:
    """Not the token, not passwords of datastores and registries, nor what is derived of them."""
    import anyio

    from k3dasync.operations.preview import preview

    spec = ClusterSpec(
        name="dev",
        token="the-token",
        datastore=Datastore(endpoint="postgres://me:store-password@db:5432/k3s"),
        registry=RegistrySpec(proxy=RegistryProxy("https://r.example", "me", "proxy-password")),
        registry_config="configs:\n  r.example:\n    auth:\n      password: shown-nowhere\n",
        env=(filtered.parse("API_TOKEN=shown-nowhere@all"),),
    )
    text = json.dumps(anyio.run(preview, spec))

    assert [] == [secret for secret in SECRETS if secret in text]
    assert "***" in text


def test_what_only_an_engine_knows_is_said_to_be_assumed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Registries that are used, and release channels, which are not looked up."""
    document = shown(capsys, "--registry-use", "shared:5001", "--image", "+v1.31")

    assert 3 == len(document["assumed"])
    assert [{"registry": "shared", "network": "k3d-dev"}] == [
        {key: one[key] for key in ("registry", "network")} for one in document["connections"]
    ]
    assert {"+v1.31"} == {
        node["image"] for node in document["nodes"] if node["role"] != "loadbalancer"
    }


def test_yaml_is_the_usual_form_and_others_are_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """And a form without a dry run is a slip."""
    assert 0 == cli.main(["create", "dev", "--dry-run"])
    assert capsys.readouterr().out.startswith("assumed:\n- an engine")
    assert 2 == cli.main(["create", "dev", "--dry-run", "-o", "table"])
    assert 2 == cli.main(["create", "dev", "--dry-run", "--events", "-"])
    assert 2 == cli.main(["create", "dev", "-o", "json"])
    assert "--dry-run" in capsys.readouterr().err


def test_no_client_of_an_engine_is_loaded() -> None:
    """So it works, and at once, where there is none."""
    program = (
        "import sys; from k3dasync import cli; cli.main(['create', '--dry-run']); "
        "sys.exit('aiodocker' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)

    assert 0 == done.returncode
