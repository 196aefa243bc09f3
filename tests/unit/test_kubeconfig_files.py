"""Kubeconfigs in several files, under names that were chosen, changed by many at once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from k3dasync import kubeconfig
from k3dasync.cli import main
from k3dasync.kubeconfig import KubeconfigError
from tests.unit.test_kubeconfig import entries, names, own


@pytest.fixture
def several(own_directories: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return three files that KUBECONFIG names, none of which is there."""
    paths = [own_directories / name for name in ("a", "b", "c")]
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join(map(str, paths)))
    return paths


def fill(path: Path, config: kubeconfig.Config) -> None:
    kubeconfig.write(path, kubeconfig.dump(config))


def merge(cluster: str, *, switch: bool = True) -> Path:
    """Merge as a create does, and return the file it went into."""
    target = kubeconfig.target(cluster, switch=switch)
    kubeconfig.merge_into(target.path, entries(cluster), switch=target.switch)
    return Path(target.path)


def test_new_entries_go_where_kubectl_would_write_them(several: list[Path]) -> None:
    """Into the last file if none is there, else into the first one that is."""
    assert several[2] == merge("one")
    fill(several[1], own("o"))
    assert several[1] == merge("two")
    assert several[2] == kubeconfig.default_path("one")


def test_entries_are_changed_where_they_are(several: list[Path]) -> None:
    """Else the old ones would stay, and perhaps win."""
    fill(several[0], own("o"))
    fill(several[1], entries("dev"))
    assert several[1] == merge("dev")

    assert ["o"] == names(kubeconfig.load(several[0]), "clusters")
    assert "k3d-dev" == kubeconfig.current_context(several)


def test_the_context_is_switched_where_it_is_decided(several: list[Path]) -> None:
    """The first file that names one decides; removing gives it back."""
    fill(several[0], own("o"))
    fill(several[1], entries("dev"))
    target = kubeconfig.target("dev", switch=True)
    assert "o" == target.current_context
    merge("dev")
    assert "k3d-dev" == kubeconfig.load(several[0])["current-context"]

    assert kubeconfig.remove_from(target.path, "dev", target.current_context)
    assert "o" == kubeconfig.load(several[0])["current-context"]
    assert [] == kubeconfig.load(several[1])["contexts"]


def test_without_a_switch_another_files_context_stays(several: list[Path]) -> None:
    """Although the file that is merged into, read before it, has none."""
    fill(several[0], {})
    fill(several[1], own("o"))
    assert several[0] == merge("dev", switch=False)

    assert "o" == kubeconfig.current_context(several)


def test_a_file_that_is_none_is_found_out_before(several: list[Path]) -> None:
    """Whichever of them it is: kubectl would refuse all of them."""
    several[1].write_text("[]")
    with pytest.raises(KubeconfigError, match="not a kubeconfig"):
        kubeconfig.target("dev", switch=True)


def test_a_context_of_another_name_goes_with_its_cluster() -> None:
    """One that the user has made for it stays, and so does k3d's name for all else."""
    config = kubeconfig.rewritten(own(), cluster="dev", url="https://x:1", context="work")
    assert (["work"], ["k3d-dev"]) == (names(config, "contexts"), names(config, "clusters"))
    assert "work" == config["current-context"]
    mine = {"name": "mine", "context": {"cluster": "k3d-dev", "user": "admin@k3d-dev"}}
    config["contexts"].append(mine)
    rest = kubeconfig.without(config, "dev", None)

    assert ([mine], [], "") == (rest["contexts"], rest["clusters"], rest["current-context"])
    usual = kubeconfig.rewritten(own(), cluster="dev", url="https://x:1", context="k3d-dev")
    assert kubeconfig.rewritten(own(), cluster="dev", url="https://x:1") == usual


WRITER = """
import sys
from k3dasync import kubeconfig
from tests.unit.test_kubeconfig import entries
path, number = sys.argv[1:]
kubeconfig.merge_into(path, entries(f"c{number}"), switch=True)
if int(number) % 2:
    kubeconfig.remove_from(path, f"c{number}")
"""


def test_twenty_processes_lose_nothing(own_directories: Path) -> None:
    """All merge at once, half of them remove theirs again; the file is whole at every moment."""
    path = own_directories / "config"
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", WRITER, str(path)]
    writers = [
        subprocess.Popen([*command, str(number)], cwd=root, env=dict(os.environ))
        for number in range(20)
    ]
    while any(writer.poll() is None for writer in writers):
        kubeconfig.load(path)  # raises if it is half a file
    assert {0} == {writer.returncode for writer in writers}

    found = kubeconfig.load(path)
    assert sorted(f"k3d-c{n}" for n in range(0, 20, 2)) == sorted(names(found, "clusters"))
    assert 0o600 == path.stat().st_mode & 0o777


def test_removing_by_command(
    own_directories: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From every file that knows it, with its own file; what nobody knows is no error."""
    path = own_directories / "config"
    monkeypatch.setenv("KUBECONFIG", str(path))
    for cluster in ("dev", "test", "other"):
        merge(cluster)
    own_file = kubeconfig.own_path("dev")
    fill(own_file, entries("dev"))

    assert 0 == main(["kubeconfig", "remove", "dev", "nobody"])
    out, err = capsys.readouterr()
    assert "" == out
    assert f"cluster dev removed from {path}" in err
    assert "cluster nobody: no kubeconfig knows it" in err
    assert not own_file.exists()
    assert ["k3d-test", "k3d-other"] == names(kubeconfig.load(path), "clusters")

    assert 0 == main(["kubeconfig", "remove", "--all"])
    assert [] == kubeconfig.load(path)["clusters"]


@pytest.mark.parametrize(
    "words",
    [
        ["remove"],
        ["remove", "dev", "--all"],
        ["get", "a", "b", "--context", "x"],
        ["merge", "--all", "--context", "x"],
        ["merge", "dev", "--context", ""],
    ],
)
def test_what_cannot_be_meant(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Names or all of them; a context's name is for one cluster."""
    assert 2 == main(["kubeconfig", *words, *(["--runtime=fake"] if words[0] != "remove" else [])])
    assert 1 == len(capsys.readouterr().err.splitlines())
