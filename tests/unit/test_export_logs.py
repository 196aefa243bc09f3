"""Exports for bug reports, on the fake engine."""

import base64
import json
import tarfile
from pathlib import Path

import pytest

from k3dasync.cli import main
from k3dasync.cluster import KUBECONFIG_PATH
from k3dasync.errors import ClusterNotFound, EngineError, NodeNotFound, OutputError
from k3dasync.fake import Fail, FakeRuntime, Fault, Faults, Latency, backend_of
from k3dasync.grammar import filtered
from k3dasync.kubeconfig import parse
from k3dasync.operations.create import create
from k3dasync.operations.export_logs import Wanted, export_logs
from k3dasync.spec import ClusterSpec

TOKEN = "SecretOfTheCluster"
PASSWORD = "p4ssw0rd"
SPEC = ClusterSpec(name="dev", agents=1, token=TOKEN, kubeconfig_update_default=False)
SERVER, AGENT = "k3d-dev-server-0", "k3d-dev-agent-0"
KEY = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIsecret\n-----END EC PRIVATE KEY-----"


def runtime_of(*orders: Fault) -> FakeRuntime:
    return FakeRuntime(latency=Latency.instant(), faults=Faults(orders))


def contents(archive: Path) -> dict[str, str]:
    """Return the files of an archive by their names below its folder."""
    with tarfile.open(archive) as tar:
        files = [entry for entry in tar.getmembers() if entry.isfile()]
        read = {entry.name: tar.extractfile(entry) for entry in files}
        return {
            name.partition("/")[2]: file.read().decode()
            for name, file in read.items()
            if file is not None
        }


def is_there(path: Path) -> bool:
    return path.exists()


async def exported(runtime: FakeRuntime, archive: Path, **wanted: object) -> tuple[str, ...]:
    asked = Wanted(**{"names": ["dev"], **wanted})  # type: ignore[arg-type]
    return await export_logs(asked, archive, runtime=runtime, beside={"engine.json": f"{TOKEN}\n"})


async def test_an_archive_has_what_a_bug_report_needs(tmp_path: Path) -> None:
    """Of each node its log and state, of the cluster its runs, and what others say beside."""
    async with runtime_of() as runtime:
        await create(SPEC, backend=backend_of(runtime))
        container = runtime.machine.inventory.containers[SERVER]
        container.files["/var/log/k3d-entrypoints_2026.log"] = b"begun\n"
        problems = await exported(runtime, archive := tmp_path / "new" / "a.tar.gz")

        found = contents(archive)
        assert () == problems
        for node in (SERVER, AGENT, "k3d-dev-serverlb"):
            lines = found[f"dev/nodes/{node}/container.log"].splitlines()
            assert len(list(runtime.machine.inventory.containers[node].log)) == len(lines)
            assert node == json.loads(found[f"dev/nodes/{node}/inspect.json"])["state"]["name"]
        assert "Starting k3s" in found[f"dev/nodes/{SERVER}/container.log"]
        assert any(name.startswith("dev/runs/") for name in found)
        assert "dev" == json.loads(found["dev/cluster.json"])[0]["name"]
        assert "***\n" == found["engine.json"]
        assert f"note: {SERVER}: there is no crictl in it" in found["problems.txt"]
        assert 0o600 == archive.stat().st_mode & 0o777
        assert [archive] == list(archive.parent.iterdir())


async def test_no_secret_is_anywhere_in_it(tmp_path: Path) -> None:
    """Whatever nodes print, wherever it was kept: tokens, keys, passwords, in any spelling."""
    spec = ClusterSpec(
        name="dev",
        agents=1,
        token=TOKEN,
        kubeconfig_update_default=False,
        env=(filtered.parse(f"HTTPS_PROXY=http://me:{PASSWORD}\\@proxy:3128@all"),),
    )
    async with runtime_of() as runtime:
        await create(spec, backend=backend_of(runtime))
        server = runtime.machine.inventory.containers[SERVER]
        user = parse(server.files[KUBECONFIG_PATH], "")["users"][0]["user"]
        key = str(user["client-key-data"])
        server.files["/etc/rancher/node/password"] = b"n0depassw0rd\n"
        server.files["/etc/rancher/k3s/registries.yaml"] = b"auth: {password: reg1stry}\n"
        server.files["/var/lib/rancher/k3s/server/token"] = b"K10ab::server:another\n"
        secrets = [TOKEN, PASSWORD, key, "n0depassw0rd", "reg1stry", "another"]
        server.log.extend(f"who prints {secret} is to blame" for secret in secrets)
        server.log.extend(base64.b64encode(one.encode()).decode() for one in secrets)
        server.log.extend(KEY.splitlines())
        archive = tmp_path / "a.tar.gz"
        assert () == await exported(runtime, archive)

        everything = archive.read_bytes() + "".join(contents(archive).values()).encode()
        for secret in (*secrets, "MHcCAQEEIsecret"):
            assert secret.encode() not in everything, secret
            assert base64.b64encode(secret.encode()).rstrip(b"=") not in everything, secret


async def test_a_stopped_node_has_logs_and_files(tmp_path: Path) -> None:
    """Only programs cannot be run in it, which is no failure."""
    async with runtime_of() as runtime:
        await create(SPEC, backend=backend_of(runtime))
        files = runtime.machine.inventory.containers[SERVER].files
        files["/var/log/k3d-entrypoints_2026.log"] = b"begun\n"
        files["/var/lib/rancher/k3s/agent/containerd/containerd.log"] = b"time=now\n"
        await runtime.stop_container(SERVER)
        archive = tmp_path / "a.tar.gz"
        assert () == await exported(runtime, archive, nodes=["server-0"])

        found = contents(archive)
        assert "begun\n" == found[f"dev/nodes/{SERVER}/k3d-entrypoints_2026.log"]
        assert "time=now\n" == found[f"dev/nodes/{SERVER}/containerd.log"]
        assert "it is exited" in found["problems.txt"]
        assert not any(AGENT in name for name in found)


async def test_what_cannot_be_had_is_told(tmp_path: Path) -> None:
    """In the archive and to whoever asked; all else is there."""
    refusal = EngineError("read the log of", f"container {AGENT}", "disk on fire")
    async with runtime_of(Fault(trouble=Fail(refusal), verb="follow_logs", name=AGENT)) as runtime:
        await create(SPEC, backend=backend_of(runtime))
        problems = await exported(runtime, archive := tmp_path / "a.tar.gz")

        assert (f"cannot read the log of container {AGENT}: disk on fire",) == problems
        found = contents(archive)
        assert f"problem: {problems[0]}" in found["problems.txt"]
        assert f"dev/nodes/{SERVER}/container.log" in found


async def test_what_is_not_there(tmp_path: Path) -> None:
    """Nothing is written."""
    async with runtime_of() as runtime:
        await create(SPEC, backend=backend_of(runtime))
        with pytest.raises(ClusterNotFound):
            await exported(runtime, tmp_path / "a.tar.gz", names=["other"])
        with pytest.raises(NodeNotFound):
            await exported(runtime, tmp_path / "a.tar.gz", nodes=["server-9"])
        assert not is_there(tmp_path / "a.tar.gz")


async def test_a_place_that_takes_nothing(tmp_path: Path) -> None:
    """The error names it."""
    (tmp_path / "file").touch()
    async with runtime_of() as runtime:
        await create(SPEC, backend=backend_of(runtime))
        with pytest.raises(OutputError, match=r"file/a\.tar"):
            await exported(runtime, tmp_path / "file" / "a.tar.gz")


def test_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The archive's path is the result; k3d's spelling is the same command."""
    monkeypatch.setenv("K3DASYNC_FAKE_SCALE", "0")
    words = ["debug", "export-logs", "--all", "-p", str(tmp_path), "--runtime", "fake"]
    assert 0 == main(words)
    archive = Path(capsys.readouterr().out.strip())

    assert tmp_path == archive.parent
    found = contents(archive)
    assert {"engine.json", "doctor.json", "versions.json", "problems.txt"} == set(found)
    assert "fake" == json.loads(found["engine.json"])["k3d"]["infoname"]
    assert 2 == main(["export-logs", "-o", "x", "-p", "y"])
    assert 1 == main(["export-logs", "nope", "--runtime", "fake"])
