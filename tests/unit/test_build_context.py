"""A build's context: what of a folder is sent to an engine, and how."""

import io
import os
import socket
import tarfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from k3dasync.build import BuildRequest, arguments_of
from k3dasync.build_context import bases_of, from_stdin, packed, read_context
from k3dasync.errors import SpecError
from k3dasync.local_archives import PIECE


def fill(root: Path, *names: str) -> Path:
    """Make files in a folder; their content is their name."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return root


async def unpack(pieces: AsyncIterator[bytes]) -> dict[str, tarfile.TarInfo]:
    content = io.BytesIO(b"".join([piece async for piece in pieces]))
    with tarfile.open(fileobj=content) as tar:
        return {one.name: one for one in tar}


async def sent(root: Path, file: str = "") -> list[str]:
    """Return the files, no folders, that are sent."""
    async with packed(read_context(str(root), file)) as pieces:
        return sorted(name for name, one in (await unpack(pieces)).items() if not one.isdir())


async def test_all_of_a_folder_is_sent_as_roots(tmp_path: Path) -> None:
    """Links as links, programs as programs, sockets not at all."""
    root = fill(tmp_path / "app", "Dockerfile", "run.sh", "lib/a.py")
    (root / "run.sh").chmod(0o755)
    (root / "link").symlink_to("lib/a.py")
    (root / "empty").mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(root / "s"))
        async with packed(read_context(str(root), "")) as pieces:
            found = await unpack(pieces)

    assert {"Dockerfile", "run.sh", "lib", "lib/a.py", "link", "empty"} == set(found)
    assert (0o755, 0, "") == (found["run.sh"].mode, found["run.sh"].uid, found["run.sh"].uname)
    assert "lib/a.py" == found["link"].linkname


@pytest.mark.parametrize(
    ("ignored", "expected"),
    [
        ("*.log\n# no comment.py", {"comment.py", "src/deep/b.log", "src/a.py"}),
        ("**/*.log", {"comment.py", "src/a.py"}),
        ("src\n!src/a.py", {"a.log", "comment.py", "src/a.py"}),
        ("*\n!comment.py", {"comment.py"}),
        ("Dockerfile\n.dockerignore\n/src/\n", {"a.log", "comment.py"}),
    ],
)
async def test_what_dockerignore_names_is_left_out(
    tmp_path: Path, ignored: str, expected: set[str]
) -> None:
    """By docker's rules; what the engine reads first comes along in any case."""
    root = fill(tmp_path, "Dockerfile", "a.log", "comment.py", "src/a.py", "src/deep/b.log")
    (root / ".dockerignore").write_text(ignored)

    assert sorted({"Dockerfile", ".dockerignore", *expected}) == await sent(root)


async def test_a_dockerfile_from_elsewhere_comes_along(tmp_path: Path) -> None:
    """Under a name of ours, even if everything is ignored; one inside keeps its own."""
    root = fill(tmp_path / "app", "a.py", "docker/Other")
    other = fill(tmp_path, "Other") / "Other"
    outside, inside = (read_context(str(root), str(one)) for one in (other, root / "docker/Other"))

    assert [".dockerfile.k3dasync", "a.py", "docker/Other"] == await sent(root, str(other))
    assert (".dockerfile.k3dasync", b"Other") == (outside.dockerfile, outside.content)
    assert "docker/Other" == inside.dockerfile
    assert ["a.py", "docker/Other"] == await sent(root, str(root / "docker/Other"))


async def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    """The folder, the Dockerfile, a pattern; and what goes away while it is being packed."""
    with pytest.raises(SpecError, match="it is no folder"):
        read_context(str(tmp_path / "none"), "")
    with pytest.raises(SpecError, match=r"cannot read .*Dockerfile: No such file"):
        read_context(str(tmp_path), "")
    root = fill(tmp_path, "Dockerfile", *(f"{number:03}" for number in range(100)))
    for number in range(100):
        os.truncate(root / f"{number:03}", PIECE)
    async with packed(read_context(str(root), "")) as pieces:
        await anext(pieces)
        (root / "099").unlink()
        with pytest.raises(SpecError, match=r"cannot read .*099: No such file"):
            await unpack(pieces)
    (root / ".dockerignore").write_text("a[")
    with pytest.raises(SpecError, match=r"cannot use .*\.dockerignore: .*syntax error"):
        await sent(root)


async def test_leaving_early_ends_the_packing(tmp_path: Path) -> None:
    """No thread waits for a reader that has gone; an error of the reader's is its own."""
    root = fill(tmp_path, "Dockerfile")
    (root / "large").touch()
    os.truncate(root / "large", 100 * PIECE)
    async with packed(read_context(str(root), "")) as pieces:
        await anext(pieces)
    with pytest.raises(ArithmeticError):
        async with packed(read_context(str(root), "")):
            raise ArithmeticError


def test_bases_are_images_not_stages() -> None:
    """Neither scratch, nor what only a variable names, nor anything if it is no Dockerfile."""
    text = b"""ARG V=1
FROM --platform=linux/amd64 r.example/a/b:1 AS one
FROM one AS two
FROM python:$V
from SCRATCH
FROM two
FROM r.example/a/b:1
COPY --from=c:1 / /
"""
    assert ("r.example/a/b:1",) == bases_of(text)
    assert () == bases_of(b"FROM a\nRUN <<EOF\nno end")


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Return where to write what standard input has."""
    reading, writing = os.pipe()
    with os.fdopen(reading) as file:
        monkeypatch.setattr("sys.stdin", file)
        yield writing


async def test_a_dockerfile_from_standard_input_is_a_context(stdin: int) -> None:
    """It is put into a tar, alone."""
    with os.fdopen(stdin, "wb") as file:
        file.write(b"FROM scratch")
    async with from_stdin() as pieces:
        assert ["Dockerfile"] == list(await unpack(pieces))


async def test_a_tar_from_standard_input_passes_as_it_is(stdin: int, tmp_path: Path) -> None:
    """However it is packed, as far as engines know it."""
    fill(tmp_path, "Dockerfile")
    content = io.BytesIO()
    with tarfile.open(mode="w:gz", fileobj=content) as tar:
        tar.add(tmp_path / "Dockerfile", "Dockerfile")
    with os.fdopen(stdin, "wb") as file:
        file.write(content.getvalue())
    async with from_stdin() as pieces:
        assert content.getvalue() == b"".join([piece async for piece in pieces])


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        ("https://user:secret@x.example/y.git#main:sub", "https://x.example/y.git#main:sub"),
        ("https://x.example/@y", "https://x.example/@y"),
        ("git@x.example:y.git", "git@x.example:y.git"),
        ("./a@b", "./a@b"),
        ("-", "standard input"),
    ],
)
def test_a_context_is_shown_without_a_password(context: str, expected: str) -> None:
    """Events and errors are kept and passed on."""
    assert expected == BuildRequest(tags=("a",), context=context).shown


def test_arguments_without_a_value_have_the_environments() -> None:
    """Or none, which is not the same as an empty one."""
    environ = {"PROXY": "p:1"}
    expected = {"A": "1=2", "B": "", "PROXY": "p:1", "NONE": None}

    assert expected == arguments_of(("A=1=2", "B=", "PROXY", "NONE"), environ)


@pytest.mark.parametrize(
    ("context", "expected"),
    [(".", False), ("-", False), ("https://x/y.git#main", True), ("git@x:y.git", True)],
)
def test_addresses_are_fetched_by_who_builds(context: str, expected: bool) -> None:
    """Folders are not, whatever they are called."""
    assert expected == BuildRequest(tags=("a",), context=context).is_remote
