"""Kubeconfigs: names, merging, removing, and the file they live in."""

import errno
import os
import stat
import tempfile
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from k3dasync import kubeconfig
from k3dasync.kubeconfig import KubeconfigError
from tests.support import asyncio_only


def own(name: str = "default") -> kubeconfig.Config:
    """What k3s writes: everything is called default."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": name, "cluster": {"server": "https://127.0.0.1:6443", "ca": "A"}},
        ],
        "users": [{"name": name, "user": {"client-key-data": "K"}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }


def entries(cluster: str = "dev") -> kubeconfig.Config:
    return kubeconfig.rewritten(own(), cluster=cluster, url="https://127.0.0.1:26550")


def names(config: kubeconfig.Config, part: str) -> list[str]:
    return [entry["name"] for entry in config[part]]


def test_k3ds_names_and_the_published_address() -> None:
    """Context and cluster are k3d-NAME, the user admin@k3d-NAME; credentials stay as they are."""
    config = entries()

    assert ["k3d-dev"] == names(config, "clusters")
    assert ["admin@k3d-dev"] == names(config, "users")
    assert {"cluster": "k3d-dev", "user": "admin@k3d-dev"} == config["contexts"][0]["context"]
    assert "https://127.0.0.1:26550" == config["clusters"][0]["cluster"]["server"]
    assert {"client-key-data": "K"} == config["users"][0]["user"]


def test_merging_keeps_everything_else() -> None:
    """Other entries and unknown fields stay."""
    base = {**own("other"), "extensions": [1]}
    merged = kubeconfig.merged(base, entries(), switch=False)

    assert ["other", "k3d-dev"] == names(merged, "clusters")
    assert ([1], "other") == (merged["extensions"], merged["current-context"])


def test_switching_is_asked_for_or_the_only_choice() -> None:
    """The current context changes if asked to, or if there was none."""
    assert "k3d-dev" == kubeconfig.merged(own("o"), entries(), switch=True)["current-context"]
    assert "k3d-dev" == kubeconfig.merged({}, entries(), switch=False)["current-context"]


def test_without_update_a_different_entry_is_refused() -> None:
    """--update=false protects an entry of the same name, an equal one is no conflict."""
    changed = kubeconfig.rewritten(own(), cluster="dev", url="https://elsewhere:1")
    base = kubeconfig.merged({}, entries(), switch=True)
    with pytest.raises(KubeconfigError, match="already exists in target KubeConfig"):
        kubeconfig.merged(base, changed, switch=True, update=False)
    assert base == kubeconfig.merged(base, entries(), switch=True, update=False)


@pytest.mark.parametrize(("previous", "current"), [("o", "o"), ("gone", ""), (None, "")])
def test_removing_goes_back_to_the_previous_context(previous: str | None, current: str) -> None:
    """The three entries go; what was current before is current again if it still exists."""
    base = kubeconfig.merged(own("o"), entries(), switch=True)
    rest = kubeconfig.without(base, "dev", previous)

    assert (["o"], ["o"], ["o"]) == tuple(
        names(rest, part) for part in ("clusters", "users", "contexts")
    )
    assert current == rest["current-context"]


def test_removing_leaves_another_current_context() -> None:
    """If the user has moved on, nothing is switched."""
    base = kubeconfig.merged(own("o"), entries(), switch=False)

    assert "o" == kubeconfig.without(base, "dev", "x")["current-context"]


def test_the_file_is_private_and_replaced_in_one_step(own_directories: Path) -> None:
    """Mode 0600, no temporary file stays behind."""
    path = own_directories / "new" / "config"
    kubeconfig.merge_into(str(path), entries(), switch=True)

    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    assert [path] == list(path.parent.iterdir())


def test_a_symlink_stays_a_symlink(own_directories: Path) -> None:
    """Dotfile managers link the file: the target changes, not the link."""
    target, link = own_directories / "real", own_directories / "link"
    target.write_text("")
    link.symlink_to(target)
    kubeconfig.merge_into(str(link), entries(), switch=True)

    assert link.is_symlink()
    assert "k3d-dev" in target.read_text()


@asyncio_only
async def test_parallel_merges_lose_nothing(own_directories: Path) -> None:
    """Twenty writers at once, twenty entries."""
    path = str(own_directories / "config")

    def merge(number: int) -> None:
        kubeconfig.merge_into(path, entries(f"c{number}"), switch=False)

    async with anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(to_thread.run_sync, merge, number)

    found = names(kubeconfig.load(Path(path)), "clusters")
    assert sorted(f"k3d-c{number}" for number in range(20)) == sorted(found)


def test_removing_from_an_absent_file_is_nothing(own_directories: Path) -> None:
    """No file is made in order to remove something from it."""
    path = own_directories / "absent"

    assert not kubeconfig.remove_from(str(path), "dev")
    assert not path.exists()


def test_the_default_is_kubeconfig_or_home(
    own_directories: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """KUBECONFIG wins; one file that is named twice is one."""
    assert own_directories / ".kube" / "config" == kubeconfig.default_path()
    monkeypatch.setenv("KUBECONFIG", f"/a{os.pathsep}/a{os.pathsep}")
    assert Path("/a") == kubeconfig.default_path()


@pytest.mark.parametrize("text", [": :", "- a", "clusters: 5", "\x00"])
def test_a_file_that_is_none_is_refused(text: str, own_directories: Path) -> None:
    """It is said before anything is made, and the file is left alone."""
    path = own_directories / "config"
    path.write_text(text)
    with pytest.raises(KubeconfigError, match="config"):
        kubeconfig.load(path)


def test_files_that_know_a_cluster(own_directories: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All files of KUBECONFIG are looked at, and the cluster's own one."""
    first, second = own_directories / "1", own_directories / "2"
    kubeconfig.merge_into(str(second), entries(), switch=True)
    kubeconfig.merge_into(str(kubeconfig.own_path("dev")), entries(), switch=True)
    monkeypatch.setenv("KUBECONFIG", f"{first}{os.pathsep}{second}")

    assert (str(second), str(kubeconfig.own_path("dev"))) == kubeconfig.search("dev").found
    assert kubeconfig.remove_from(str(kubeconfig.own_path("dev")), "dev")
    assert not kubeconfig.own_path("dev").exists()


def test_half_a_file_is_not_complete() -> None:
    """k3s creates its file before it fills it."""
    whole = kubeconfig.dump(own())

    assert kubeconfig.is_complete(whole)
    assert not any(kubeconfig.is_complete(whole[:length]) for length in range(len(whole)))


@pytest.mark.parametrize("kind", ["device", "pipe", "directory", "loop", "inside a file"])
def test_what_is_no_file_is_refused_and_left_as_it_is(tmp_path: Path, kind: str) -> None:
    """A pipe would hang, and a device must not be replaced by a file."""
    path = tmp_path / "config"
    match kind:
        case "device":
            path = Path("/dev/null")
        case "pipe":
            os.mkfifo(path)
        case "directory":
            path.mkdir()
        case "loop":
            path.symlink_to(path)
        case _:
            path.touch()
            path = path / "config"
    for use in (
        lambda: kubeconfig.load(path),
        lambda: kubeconfig.write(path, b"x"),
        lambda: kubeconfig.merge_into(str(path), entries(), switch=True),
    ):
        with pytest.raises(KubeconfigError, match="cannot use"):
            use()
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_a_file_that_cannot_be_written_is_found_out_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the nearest directory that is there, without leaving anything."""
    kubeconfig.refuse_if_not_writable(tmp_path / "a" / "b" / "config")
    assert not (tmp_path / "a").exists()

    def refuse(**_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(KubeconfigError, match=r"Read-only.*KUBECONFIG"):
        kubeconfig.refuse_if_not_writable(tmp_path / "config")


@pytest.mark.parametrize(
    "content",
    [
        b"clusters: [1]",
        b"kind: Deployment",
        b"apiVersion: v2",
        b"users: [{}]",
        b"[]",
        b"a: [",
        b"\xff\xfe\x00",
        b"\x00",
    ],
)
def test_what_is_no_kubeconfig_is_one_line(content: bytes) -> None:
    """Whatever stands in the file."""
    with pytest.raises(KubeconfigError, match="cannot read here") as caught:
        kubeconfig.parse(content, "here")

    assert 1 == len(str(caught.value).splitlines())
