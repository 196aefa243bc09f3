"""The commands of `image` on a command line: spellings, flags, streams and exit codes."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from k3dasync.backend import Backend
from k3dasync.cli import main
from k3dasync.errors import EngineError
from k3dasync.fake import Fail, FakeRuntime, Fault, Latency, backend_of
from k3dasync.operations.create import create
from k3dasync.operations.image_import import import_images
from k3dasync.spec import ClusterSpec

HERE = ("--runtime", f"{__name__}:laboratory")
BROKEN = ("--runtime", f"{__name__}:broken")


@asynccontextmanager
async def laboratory() -> AsyncIterator[Backend]:
    """Open an engine with a cluster, whose nodes have one image, and with another image."""
    async with FakeRuntime(latency=Latency.instant()) as runtime:
        backend = backend_of(runtime, is_rehearsal=True)
        for name in ("old:1", "app:1"):
            runtime.add_image(name)
        await create(ClusterSpec(name="dev", agents=1), backend=backend)
        await import_images(["old:1"], ["dev"], seconds=60, backend=backend)
        yield backend


@asynccontextmanager
async def broken() -> AsyncIterator[Backend]:
    """Open the same engine, with a node that answers nothing."""
    async with laboratory() as backend:
        refused = Fail(EngineError("run", "crictl", "no room"))
        fault = Fault(verb="execute", name="k3d-dev-agent-0", trouble=refused, times=9)
        runtime = backend.runtime._inner  # type: ignore[attr-defined]
        runtime.faults.orders = (fault,)
        yield backend


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Be in a folder to build from."""
    (tmp_path / "Dockerfile").write_text("FROM scratch AS one\nCOPY a /\n")
    (tmp_path / "a").write_text("a")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        ["image", "import"],
        ["image", "load"],
        ["images", "import"],
        ["images", "load"],
        ["tools", "import-images"],
        ["import-images"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("mode", ["auto", "direct", "tools-node", "tools"])
def test_an_import_has_many_spellings(
    words: list[str], mode: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing of it is on standard output; k3d's flags are accepted."""
    assert 0 == main([*words, "app:1", "-c", "dev", "--mode", mode, "-k", "-t", *HERE])
    out, err = capsys.readouterr()
    assert ("", True) == (out, "library/app:1 imported into 2 nodes of dev" in err)


@pytest.mark.parametrize("words", [["image", "list"], ["images", "ls", "dev"]], ids=" ".join)
def test_a_list_is_on_standard_output(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """As a table, or for machines."""
    assert 0 == main([*words, *HERE])
    head, row = capsys.readouterr().out.splitlines()
    assert ["CLUSTER", "IMAGE", "ID", "SIZE", "NODES"] == head.split()
    assert ["dev", "docker.io/library/old:1", "1.0", "MB", "2/2"] == [
        cell for index, cell in enumerate(row.split()) if index != 2
    ]
    assert 0 == main([*words, "-o", "json", *HERE])
    (found,) = json.loads(capsys.readouterr().out)
    assert {"cluster", "image", "id", "size", "nodes", "lacking"} == set(found)


def test_a_node_that_does_not_answer_is_an_error_behind_the_list(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """So nobody takes what was listed for everything."""
    assert 1 == main(["image", "list", "--no-headers", *BROKEN])
    out, err = capsys.readouterr()
    assert "1/1" in out
    assert "[IMAGES_UNKNOWN]" in err


def test_a_build_is_imported(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Its steps and what became of it are on standard error, events where they are wanted."""
    words = ["-t", "app:2", "--target=one", "--build-arg", "A=b", "--no-cache", "--pull=false"]
    assert 0 == main(["image", "build", "-c", "dev", *words, "--events", "-", *HERE])
    out, err = capfd.readouterr()
    assert "Step 2/2 : COPY a /" in err
    assert "app:2 built and imported into 2 nodes of dev" in err
    assert err.index("Step 2/2") < err.index("build dev: 4 tasks")
    lines = [json.loads(line) for line in out.splitlines()]
    assert ("run_started", "run_done") == (lines[0]["event"], lines[-1]["event"])


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        ([], 2, "name the image: --tag NAME"),
        (["--secret", "id=x", "-t", "a"], 2, "unknown flag --secret; flags for docker's own"),
        (["-t", "a", ".", "--secret", "id=x"], 2, "unknown flag --secret"),
        (["-t", "a", "-f", "--target", "b"], 2, "--file needs a value"),
        (["-t", "a", ".", "--", "--secret", "id=x"], 2, "there is none on PATH"),
        (["-t", "a", "nowhere"], 2, "cannot build from nowhere: it is no folder"),
        (["-t", "a", "-f", "Other"], 2, "cannot read Other: No such file"),
        (["-t", "a", "--target", "two"], 1, "failed to reach build target two"),
        (["-t", "a", "https://nowhere.invalid/x.git"], 1, "unable to fetch"),
    ],
)
def test_what_is_wrong_with_a_build(
    folder: Path,
    words: list[str],
    code: int,
    expected: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What the user wrote is 2, what the builder says is 1."""
    assert code == main(["image", "build", "-c", "dev", *HERE, *words])
    assert expected in capsys.readouterr().err
