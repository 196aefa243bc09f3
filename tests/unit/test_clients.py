"""kubectl and a shell on a cluster of the fake engine."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from k3dasync.backend import Backend
from k3dasync.cli import main
from k3dasync.fake import FakeRuntime, Latency, backend_of
from k3dasync.kubeconfig import load
from k3dasync.kubeconfig.private import abandoned, forget, private_file
from k3dasync.operations.create import create
from k3dasync.operations.stop import pause, stop_clusters
from k3dasync.spec import ClusterSpec

RUNTIME = ("--runtime", f"{__name__}:running")


@asynccontextmanager
async def running() -> AsyncIterator[Backend]:
    """Open a fake engine on which a cluster `dev` runs, one is stopped, and one is paused."""
    async with FakeRuntime(latency=Latency.instant()) as runtime:
        backend = backend_of(runtime)
        for name in ("dev", "down", "frozen"):
            spec = ClusterSpec(name=name, kubeconfig_update_default=False)
            await create(spec, backend=backend)
        await stop_clusters(["down"], backend=backend)
        await pause(["frozen"], backend=backend)
        yield backend


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that is first on PATH, with nothing of Kubernetes behind it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "cat", "stat", "echo", "basename"):
        (folder / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    (tmp_path / "run").mkdir()
    return folder


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_kubectl_has_its_arguments_and_a_private_file(
    programs: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its exit code is ours; the file is one cluster's, nobody else's, and gone afterwards."""
    kept = tmp_path / "kept"
    lines = ('echo "$@"', 'stat -c %a "$KUBECONFIG"', f'cat "$KUBECONFIG" > {kept}', "exit 3")
    script(programs / "kubectl", "\n".join(lines))

    words = ["kubectl", "dev", *RUNTIME, "--", "get", "nodes", "-o", "wide", "--help"]
    assert 3 == main(words)
    assert ["get nodes -o wide --help", "600"] == capfd.readouterr().out.splitlines()
    assert "k3d-dev" == load(kept)["current-context"]
    assert [] == list((tmp_path / "run" / "k3dasync").iterdir())


def test_files_of_the_killed_are_removed_by_the_next(programs: Path, tmp_path: Path) -> None:
    """Theirs, and nobody else's: what is in use is locked."""
    script(programs / "kubectl", "true")
    folder = tmp_path / "run" / "k3dasync"
    folder.mkdir()
    for name in ("k3d-dev-x.yaml", "notes.yaml"):
        (folder / name).touch()
    with private_file("dev", b"mine") as used:
        assert ["k3d-dev-x.yaml"] == [one.name for one in abandoned()]
        assert not forget(used)
        assert 0 == main(["kubectl", "dev", *RUNTIME, "--", "version"])
        assert {used.name, "notes.yaml"} == {one.name for one in folder.iterdir()}
    assert ["notes.yaml"] == [one.name for one in folder.iterdir()]


@pytest.mark.parametrize("command", ["kubectl", "shell"])
def test_without_a_name_the_usual_cluster_is_meant(
    programs: Path, command: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """What stands behind the dashes is no name."""
    assert 1 == main([command, *RUNTIME, "--", "get", "nodes"])
    assert "no nodes found for given cluster k3s-default" in capfd.readouterr().err


def test_arguments_without_dashes_in_front(
    programs: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """They may be left out where nothing looks like a flag of ours."""
    script(programs / "kubectl", 'echo "$@"')

    assert 0 == main(["kubectl", "dev", "get", "pods", "-A", *RUNTIME])
    assert "get pods -A\n" == capfd.readouterr().out


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("down", "cluster down is stopped; run: k3dasync start down"),
        ("frozen", "cluster frozen is paused; run: k3dasync resume frozen"),
        ("nope", "no nodes found for given cluster nope"),
    ],
)
@pytest.mark.parametrize("command", [("kubectl",), ("shell",)])
def test_a_cluster_that_does_not_run(
    programs: Path,
    command: tuple[str, ...],
    name: str,
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The error says what makes it run."""
    script(programs / "kubectl", "echo ran")
    assert 1 == main([*command, name, *RUNTIME])
    out, err = capsys.readouterr()

    assert "" == out
    assert words in err


def test_without_any_kubectl(programs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither on PATH nor in the node."""
    assert 1 == main(["kubectl", "dev", *RUNTIME, "--", "get", "nodes"])

    assert "cannot run kubectl: there is none on PATH" in capfd.readouterr().err


def test_a_shell_knows_its_cluster(
    programs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The user's own, with the exit code of its end; a command may stand for it."""
    script(tmp_path / "mine", 'echo "$K3DASYNC_CLUSTER $0"; test -f "$KUBECONFIG"; exit 5')
    monkeypatch.setenv("SHELL", str(tmp_path / "mine"))
    before = os.environ.get("KUBECONFIG")

    assert 5 == main(["shell", "dev", *RUNTIME])
    assert f"dev {tmp_path / 'mine'}\n" == capfd.readouterr().out
    assert 4 == main(["shell", "dev", *RUNTIME, "--", "sh", "-c", "exit 4"])
    assert before == os.environ.get("KUBECONFIG")
    assert [] == list((tmp_path / "run" / "k3dasync").iterdir())
