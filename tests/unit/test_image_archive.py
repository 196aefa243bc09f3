"""Names of images in archives that pass by."""

import gzip
import io
import json
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k3dasync.image_archive import NameScanner, full_name

DOCKER = [{"Config": "c.json", "RepoTags": ["app:1", "r.example:5000/a/b:2"], "Layers": ["l.tar"]}]
OCI = {
    "manifests": [
        {
            "digest": "sha256:1",
            "annotations": {
                "io.containerd.image.name": "docker.io/library/app:2",
                "org.opencontainers.image.ref.name": "2",
            },
        },
        {"digest": "sha256:2", "annotations": {"org.opencontainers.image.ref.name": "v3"}},
        {"digest": "sha256:3"},
    ]
}


def packed(files: dict[str, bytes], format: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def docker_archive(format: int = tarfile.PAX_FORMAT) -> bytes:
    manifest = json.dumps(DOCKER).encode()
    long = "blobs/" + "x" * 150  # in headers of its own
    files = {"l.tar": bytes(3000), long: b"y" * 700, "sub/manifest.json": b"[]"}
    return packed(files | {"manifest.json": manifest, "z": b"after"}, format)


def scan(content: bytes, *sizes: int) -> NameScanner:
    scanner, at = NameScanner(), 0
    for size in sizes:
        scanner.feed(content[at : at + size])
        at += size
    scanner.feed(content[at:])
    return scanner


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_docker_archive_names_its_tags(format: int) -> None:
    """Names come from manifest.json at the top, in containerd's full form."""
    if format == tarfile.USTAR_FORMAT:  # which has no long names
        files = {"l.tar": bytes(99), "manifest.json": json.dumps(DOCKER).encode()}
        content = packed(files, format)
    else:
        content = docker_archive(format)

    scanner = scan(content)

    assert scanner.is_archive
    assert ("docker.io/library/app:1", "r.example:5000/a/b:2") == scanner.names()


@given(st.lists(st.integers(0, 5000)), st.booleans())
def test_how_it_is_cut_into_pieces_does_not_matter(sizes: list[int], zipped: bool) -> None:
    """Any pieces give the same names, plain or gzipped."""
    content = docker_archive()
    content = gzip.compress(content) if zipped else content

    assert scan(content).names() == scan(content, *sizes).names() != ()


def test_an_index_wins_over_a_manifest() -> None:
    """As for containerd: its own annotation first, then OCI's, which may be a tag alone."""
    files = {"index.json": json.dumps(OCI).encode(), "manifest.json": json.dumps(DOCKER).encode()}

    assert ("docker.io/library/app:2", ":v3") == scan(packed(files)).names()


@given(st.binary(max_size=3000))
def test_anything_can_be_fed(content: bytes) -> None:
    """What is no archive has no names, and does no harm."""
    assert () == scan(content).names()


@pytest.mark.parametrize("manifest", [b"{", b"{}", b'[{"RepoTags": 3}]', b'[{"RepoTags": null}]'])
def test_a_damaged_manifest_names_nothing(manifest: bytes) -> None:
    """What cannot be read is left to the node to refuse."""
    assert () == scan(packed({"manifest.json": manifest})).names()


def test_other_files_are_no_archives() -> None:
    """Text is none, nor is what is compressed in another way."""
    assert not scan(b"no archive\n" * 1000).is_archive
    assert not scan(b"\x28\xb5\x2f\xfd" + bytes(range(256)) * 4).is_archive


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("a", "docker.io/library/a:latest"),
        ("u/a:1", "docker.io/u/a:1"),
        ("docker.io/a", "docker.io/library/a:latest"),
        ("localhost/a", "localhost/a:latest"),
        ("r.example:5000/a/b:2", "r.example:5000/a/b:2"),
        ("a@sha256:0", "docker.io/library/a@sha256:0"),
    ],
)
def test_full_names(short: str, full: str) -> None:
    """What people leave out of a name."""
    assert full == full_name(short)
