"""Images imported into nodes on a real engine."""

import gzip
import hashlib
import io
import json
import lzma
import os
import re
import secrets
import signal
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest
from backports import zstd

from k3dasync import events
from k3dasync.docker.runtime import DockerRuntime
from k3dasync.events import decode
from tests.engine import NODE_IMAGE
from tests.integration.conftest import Cli, Variant
from tests.laws import assert_laws

pytestmark = [pytest.mark.engine, pytest.mark.timeout(240)]


def inside(node: str, *command: str) -> str:
    """Run a command in a node and return what it says."""

    async def ask() -> str:
        async with DockerRuntime() as runtime:
            ended = await runtime.execute(node, command)
            assert 0 == ended.code, ended.err
            return ended.out.decode()

    return anyio.run(ask)


def listed(node: str) -> list[str]:
    """Return the images that a node's containerd lists."""
    return inside(node, "ctr", "image", "ls", "-q").split()


def log_of(cli: Cli, directory: str) -> list[events.AnyEvent]:
    logs = sorted((cli.home / ".local/state/k3dasync/runs" / directory).glob("*.jsonl"))
    lines = logs[-1].read_bytes().splitlines()
    return [event for event in map(decode, lines) if event is not None]


@pytest.fixture
def image(docker_host: str, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Return what makes an image with a random file in it: `image(200)` has 200 MB more."""
    made: list[str] = []

    async def make(tag: str, layer: Path) -> None:
        async with DockerRuntime() as runtime:
            docker = runtime._engine.docker
            asked = {"Image": NODE_IMAGE, "Entrypoint": ["true"]}
            container = await docker.containers.create(asked)
            try:
                packed = await anyio.Path(layer).read_bytes()
                # Not as bytes, which would hold up the event loop.
                await container.put_archive("/", io.BytesIO(packed))  # type: ignore[no-untyped-call]
                name, _, version = tag.rpartition(":")
                await container.commit(repository=name, tag=version)
            finally:
                await container.delete(force=True, v=True)

    def random_layer(megabytes: int) -> Path:
        noise, layer = tmp_path / "random.bin", tmp_path / "layer.tar"
        with noise.open("wb") as file:
            for _ in range(megabytes):
                file.write(os.urandom(1_000_000))
        with tarfile.open(layer, "w") as tar:
            tar.add(noise, arcname="random.bin")
        noise.unlink()
        return layer

    async def remove(tag: str) -> None:
        async with DockerRuntime() as runtime:
            await runtime._engine.docker.images.delete(tag, force=True)

    def image(megabytes: int = 1) -> str:
        tag = f"k3dasync-test/import-{secrets.token_hex(4)}:v1"
        anyio.run(make, tag, random_layer(megabytes))
        made.append(tag)
        return tag

    yield image
    for tag in made:
        anyio.run(remove, tag)


def save(tag: str, path: Path) -> Path:
    """Write an image to an archive, as `docker save` does."""

    async def read() -> None:
        async with DockerRuntime() as runtime, runtime.export_images([tag]) as pieces:
            with path.open("wb") as file:
                async for piece in pieces:
                    file.write(piece)

    anyio.run(read)
    return path


def test_an_image_gets_into_all_nodes(cli: Cli, own_name: str, image: Callable[..., str]) -> None:
    """Servers and agents have it with digest and content of the engine; the log keeps its laws."""
    tag = image()
    assert 0 == cli.create(own_name, "--agents", "2").code

    done = cli("image", "import", tag, "-c", own_name)

    assert (0, "") == (done.code, done.out), done.err
    assert f"docker.io/{tag} imported into 3 nodes of {own_name}" in done.err
    for node in ("server-0", "agent-0", "agent-1"):
        found = json.loads(inside(f"k3d-{own_name}-{node}", "crictl", "images", "-o", "json"))
        assert [id_of(tag)] == [
            one["id"] for one in found["images"] if f"docker.io/{tag}" in one["repoTags"]
        ]
        assert layers_of(tag) == layers_in(f"k3d-{own_name}-{node}", tag)
    log = log_of(cli, own_name)
    assert_laws(log)
    progress = [one for one in log if isinstance(one, events.TaskProgress)]
    assert {"bytes"} == {one.unit for one in progress}
    assert isinstance(log[0], events.RunStarted)
    assert "import" == log[0].operation
    assert 0 == cli("delete", own_name).code


def layers_of(tag: str) -> list[str]:
    """Return the digests of an image's layers, as the engine has them."""

    async def ask() -> list[str]:
        async with DockerRuntime() as runtime:
            found = await runtime._engine.docker.images.inspect(tag)
            return list(found["RootFS"]["Layers"])

    return anyio.run(ask)


def layers_in(node: str, tag: str) -> list[str]:
    """Return the digests of an image's layers, as a node has them: it has read all of them."""
    found = json.loads(inside(node, "crictl", "inspecti", f"docker.io/{tag}"))
    return list(found["info"]["imageSpec"]["rootfs"]["diff_ids"])


def id_of(tag: str) -> str:
    async def ask() -> str:
        async with DockerRuntime() as runtime:
            return next(one.id for one in await runtime.images() if tag in one.tags)

    return anyio.run(ask)


def test_ids_files_and_stdin_go_to_two_clusters(
    cli: Cli, own_name: str, image: Callable[..., str], tmp_path: Path
) -> None:
    """An image by its id, a file and standard input, in one run over two clusters."""
    first, second, third = image(), image(), image()
    clusters = [f"{own_name}-a", f"{own_name}-b"]
    for name in clusters:
        assert 0 == cli.create(name).code
    archive, piped = save(second, tmp_path / "a.tar"), save(third, tmp_path / "b.tar")
    id = id_of(first).removeprefix("sha256:")[:12]
    words = ["images", "load", id, str(archive), "-", "-c", clusters[0], "-c", clusters[1]]

    with subprocess.Popen(["cat", str(piped)], stdout=subprocess.PIPE) as source:
        done = cli.piped(source.stdout, *words)

    assert 0 == done.code, done.err
    for name in clusters:
        wanted = {f"docker.io/{tag}" for tag in (first, second, third)}
        assert wanted <= set(listed(f"k3d-{name}-server-0"))
    log = log_of(cli, "_several")
    assert_laws(log)
    assert {None} == {one.cluster for one in log}
    assert 0 == cli("delete", *clusters).code


def test_stdin_from_a_file_and_the_old_spelling(
    cli: Cli, own_name: str, image: Callable[..., str], tmp_path: Path
) -> None:
    """`import-images - < file` works as the pipe does, and k3d's flags are taken."""
    tag = image()
    assert 0 == cli.create(own_name).code
    with save(tag, tmp_path / "a.tar").open("rb") as file:
        words = ["import-images", "-", "-c", own_name, "--mode", "tools-node", "-k", "-t"]
        done = cli.piped(file, *words)

    assert 0 == done.code, done.err
    assert f"docker.io/{tag}" in listed(f"k3d-{own_name}-server-0")
    assert 0 == cli("delete", own_name).code


def test_what_is_not_there_is_named_before_anything_is_read(cli: Cli, own_name: str) -> None:
    """All missing images are in one line, and a cluster that is not there is one, too."""
    done = cli("image", "import", NODE_IMAGE, "no/such:1", "nor-this", "-c", own_name)
    assert 1 == done.code
    assert "no/such:1, nor-this" in done.error

    done = cli("image", "import", NODE_IMAGE, "-c", own_name)
    assert (1, True) == (done.code, own_name in done.error)


@pytest.mark.parametrize(
    "order", ["fail: failure of an import ordered", "forget: it does not have docker.io/"]
)
def test_a_node_that_fails_does_not_hold_up_the_others(
    cli: Cli, own_name: str, variant: Variant, image: Callable[..., str], order: str
) -> None:
    """Its reason is told, the exit code is 1, and all others have the image."""
    order, _, words = order.partition(": ")
    tag = image(20)
    cli.image = variant(f"import-{order}", f"STANDIN_IMPORT={order}@agent-0")
    assert 0 == cli.create(own_name, "--agents", "2").code

    done = cli("image", "import", tag, "-c", own_name)

    assert 1 == done.code
    assert re.search(rf"k3d-{own_name}-agent-0: .*{words}", done.error)
    assert "done on 2 other nodes" in done.error
    for node in ("server-0", "agent-1"):
        assert f"docker.io/{tag}" in listed(f"k3d-{own_name}-{node}")
    assert f"docker.io/{tag}" not in listed(f"k3d-{own_name}-agent-0")
    assert_laws(log_of(cli, own_name))
    assert 0 == cli("delete", own_name).code


def test_a_stopped_node_is_an_error(cli: Cli, own_name: str, image: Callable[..., str]) -> None:
    """It is said that it does not run; the others get the image."""
    tag = image()
    assert 0 == cli.create(own_name, "--agents", "1").code

    async def stop() -> None:
        async with DockerRuntime() as runtime:
            await runtime.stop_container(f"k3d-{own_name}-agent-0")

    anyio.run(stop)
    done = cli("image", "import", tag, "-c", own_name)

    assert 1 == done.code
    assert f"k3d-{own_name}-agent-0: it does not run, it is exited" in done.error
    assert f"docker.io/{tag}" in listed(f"k3d-{own_name}-server-0")
    assert 0 == cli("delete", own_name).code


@pytest.mark.parametrize(("how", "cure"), [("stop", "start"), ("pause", "resume")])
def test_of_a_cluster_that_does_not_run_nothing_is_read(
    cli: Cli, own_name: str, image: Callable[..., str], how: str, cure: str
) -> None:
    """The command that changes that is named."""
    assert 0 == cli.create(own_name).code
    assert 0 == cli(how, own_name).code

    done = cli("image", "import", image(), "-c", own_name)

    assert (1, True) == (done.code, f"run: k3dasync {cure} {own_name}" in done.error)
    assert 0 == cli("delete", own_name).code


def test_a_node_that_dies_in_the_middle_does_not_hold_up_the_others(
    cli: Cli, own_name: str, image: Callable[..., str], tmp_path: Path
) -> None:
    """It is told, the others have the image, and the exit code is 1."""
    tag = image(20)
    content = save(tag, tmp_path / "a.tar").read_bytes()
    assert 0 == cli.create(own_name, "--agents", "1").code
    node = f"k3d-{own_name}-agent-0"

    async def die() -> None:
        async with DockerRuntime() as runtime:
            await runtime.stop_container(node, grace=0)

    words = ["image", "import", "-", "-c", own_name]
    with subprocess.Popen(
        [*cli.command, *words], env=cli.env, stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(content[:5_000_000])
        process.stdin.flush()
        until(lambda: "image import" in inside(node, "ps", "-o", "args"))
        anyio.run(die)
        process.stdin.write(content[5_000_000:])
        process.stdin.close()
        err = process.stderr.read().decode()

    assert 1 == process.returncode
    assert re.search(rf"error: .*{node}: ctr was killed: .*; done on 1 other node", err), err
    assert f"docker.io/{tag}" in listed(f"k3d-{own_name}-server-0")
    assert_laws(log_of(cli, own_name))
    assert 0 == cli("delete", own_name).code


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, zstd.compress])
def test_a_packed_archive_is_imported_whole(
    cli: Cli,
    own_name: str,
    image: Callable[..., str],
    tmp_path: Path,
    pack: Callable[[bytes], bytes],
) -> None:
    """Nodes unpack gzip, everything else is unpacked for them; digests tell that all is there."""
    tag, packed = image(3), tmp_path / "packed"
    packed.write_bytes(pack(save(tag, tmp_path / "a.tar").read_bytes()))
    assert 0 == cli.create(own_name).code

    done = cli("image", "import", str(packed), "-c", own_name)

    assert 0 == done.code, done.err
    assert "warning" not in done.err
    assert layers_of(tag) == layers_in(f"k3d-{own_name}-server-0", tag)
    assert 0 == cli("delete", own_name).code


def test_an_archive_of_an_oci_layout_is_imported(cli: Cli, own_name: str, tmp_path: Path) -> None:
    """Under the name that its index gives; one whose blob is damaged is refused by the nodes."""
    assert 0 == cli.create(own_name).code
    name = f"registry.example/{own_name}:1"
    good, bad = tmp_path / "good.tar", tmp_path / "bad.tar"
    digest = write_layout(good, name)
    write_layout(bad, name, damage=b" ")

    done = cli("image", "import", str(good), "-c", own_name)
    assert 0 == done.code, done.err
    assert f"{name} imported into 1 node" in done.err
    found = json.loads(inside(f"k3d-{own_name}-server-0", "crictl", "images", "-o", "json"))
    assert [digest] == [one["id"] for one in found["images"] if name in one["repoTags"]]
    done = cli("image", "import", str(bad), "-c", own_name)
    assert (1, True) == (done.code, "unexpected commit digest" in done.error)
    assert 0 == cli("delete", own_name).code


def write_layout(path: Path, name: str, damage: bytes = b"") -> str:
    """Write an archive of an OCI layout with one manifest, and return that one's digest."""
    manifest = json.dumps({"schemaVersion": 2, "layers": []}).encode()
    digest = hashlib.sha256(manifest).hexdigest()
    entry = {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": f"sha256:{digest}",
        "size": len(manifest),
        "annotations": {"io.containerd.image.name": name},
    }
    files = {
        "oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
        f"blobs/sha256/{digest}": manifest + damage,
        "index.json": json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode(),
    }
    with tarfile.open(path, "w") as tar:
        for member, content in files.items():
            info = tarfile.TarInfo(member)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return f"sha256:{digest}"


def test_what_is_no_image_is_refused_by_the_nodes(cli: Cli, own_name: str, tmp_path: Path) -> None:
    """A file that is no archive, and an archive cut in its middle, fail with ctr's words."""
    assert 0 == cli.create(own_name).code
    text, cut = tmp_path / "text", tmp_path / "cut.tar"
    text.write_text("no archive\n" * 1000)
    cut.write_bytes(save(NODE_IMAGE, tmp_path / "whole.tar").read_bytes()[:3_000_000])

    done = cli("image", "import", str(text), str(cut), "-c", own_name)

    assert 1 == done.code
    assert re.search(rf"{text}: .*unrecognized image format", done.error)
    assert re.search(rf"{cut}: .*unexpected EOF", done.error)
    assert 0 == cli("delete", own_name).code


def test_ctrl_c_leaves_nothing_running(cli: Cli, own_name: str) -> None:
    """Stopped in the middle of its input, it exits with 130, and no ctr stays in the nodes."""
    assert 0 == cli.create(own_name, "--agents", "1").code
    words = ["image", "import", "-", "-c", own_name]
    nodes = [f"k3d-{own_name}-{node}" for node in ("server-0", "agent-0")]
    with subprocess.Popen(
        [*cli.command, *words],
        env=cli.env,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        header = tarfile.TarInfo("layer.tar")
        header.size = 2**30
        process.stdin.write(header.tobuf() + bytes(5_000_000))
        process.stdin.flush()
        until(lambda: all("ctr" in inside(node, "ps", "-o", "args") for node in nodes))
        process.send_signal(signal.SIGINT)
        err = process.stderr.read().decode()
        process.wait(timeout=30)

    assert 130 == process.returncode, err
    assert [] == [node for node in nodes if "image import" in inside(node, "ps", "-o", "args")]
    log = log_of(cli, own_name)
    assert_laws(log)
    assert {"task_cancelled"} == {
        str(one.__struct_config__.tag) for one in log if isinstance(one, events.TaskEnd)
    }
    assert 0 == cli("delete", own_name).code


def test_a_large_image_passes_through_little_memory(
    cli: Cli, own_name: str, image: Callable[..., str]
) -> None:
    """200 MB to four nodes: the process never has as much as half of that in memory."""
    tag = image(200)
    assert 0 == cli.create(own_name, "--agents", "3").code
    process = cli.start("image", "import", tag, "-c", own_name)
    peak = Peak(process.pid)
    out, err = process.communicate(timeout=180)

    assert (0, "") == (process.returncode, out), err
    assert 0 < peak.kilobytes() < 150_000
    assert 0 == cli("delete", own_name).code


class Peak:
    """Reads a process's largest resident size for as long as it lives."""

    def __init__(self, pid: int) -> None:
        self._pid, self._peak = pid, 0
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def kilobytes(self) -> int:
        self._thread.join()
        return self._peak

    def _watch(self) -> None:
        status = Path(f"/proc/{self._pid}/status")
        while True:
            try:
                found = re.search(r"VmHWM:\s*(\d+)", status.read_text())
            except OSError:
                return
            if found is None:
                return
            self._peak = max(self._peak, int(found[1]))
            time.sleep(0.02)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "it did not happen"
