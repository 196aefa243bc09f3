"""The names in an image archive, read while it passes by. Pure; nothing of it is kept.

Archives are what `docker save` (manifest.json) and OCI tools (index.json) write, plain or gzipped.
Formats: POSIX ustar with pax and GNU headers; https://github.com/moby/docker-image-spec and
https://github.com/opencontainers/image-spec/blob/main/image-layout.md.
"""

import zlib
from collections.abc import Iterator, Mapping

import msgspec

BLOCK = 512
"""What a tar consists of: headers are one, contents are filled up to the next."""
LARGEST_INDEX = 16 * 2**20
"""Bytes of a manifest.json or index.json: thousands of images are a few MB."""
_INDEXES = ("manifest.json", "index.json")
_GZIP = b"\x1f\x8b"
_CONTAINERD_NAME = "io.containerd.image.name"
_OCI_NAME = "org.opencontainers.image.ref.name"


class NameScanner:
    """Is fed an archive in pieces; says afterwards which images it names.

    `is_archive` is false for anything but a tar, and for one compressed in a way other than gzip.
    """

    def __init__(self) -> None:
        self.is_archive = True
        self._unzip: zlib._Decompress | None = None
        self._head = b""
        self._tar = _Tar()
        self._has_begun = False

    def feed(self, piece: bytes) -> None:
        """Take the next piece in, of any length."""
        if not self.is_archive:
            return
        if not self._has_begun:
            piece = self._head + piece
            if len(piece) < len(_GZIP):
                self._head = piece
                return
            self._has_begun = True
            if piece.startswith(_GZIP):
                self._unzip = zlib.decompressobj(zlib.MAX_WBITS | 16)
        try:
            for plain in self._plain(piece):
                self._tar.feed(plain)
        except (_NoTar, zlib.error):
            self.is_archive = False

    def _plain(self, piece: bytes) -> Iterator[bytes]:
        if self._unzip is None:
            yield piece
            return
        # A piece at a time: a few kB of zeros unpack to many MB.
        while piece and not self._unzip.eof:
            yield self._unzip.decompress(piece, 2**20)
            piece = self._unzip.unconsumed_tail

    def names(self) -> tuple[str, ...]:
        """Return the names of the images as containerd will call them, each once.

        An OCI archive may give a tag alone, `:v1`; containerd makes up the name before it.
        """
        if "index.json" in self._tar.found:
            found = tuple(_of_index(self._tar.found["index.json"]))
        else:
            found = ()
        if not found and "manifest.json" in self._tar.found:
            found = tuple(_of_manifest(self._tar.found["manifest.json"]))
        return tuple(dict.fromkeys(found))


class _NoTar(Exception):
    """What was fed is none."""


class _Tar:
    """Walks over a tar's members and keeps the contents of those that list images."""

    def __init__(self) -> None:
        self.found: dict[str, bytes] = {}
        self._buffer = bytearray()
        self._skip = 0
        self._wanted = ""
        self._left = 0
        self._padding = 0
        self._is_over = False

    def feed(self, piece: bytes) -> None:
        view = memoryview(piece)
        while view and not self._is_over:
            if self._skip:
                step = min(self._skip, len(view))
                self._skip -= step
                view = view[step:]
                continue
            need = (self._left or BLOCK) - len(self._buffer)
            self._buffer += view[:need]
            view = view[need:]
            if len(self._buffer) == (self._left or BLOCK):
                self._complete(bytes(self._buffer))
                self._buffer.clear()

    def _complete(self, part: bytes) -> None:
        if self._left:
            self.found[self._wanted] = part
            self._left, self._skip = 0, self._padding
            return
        if part.count(0) == BLOCK:
            self._is_over = True
            return
        name, size = _header(part)
        padding = -size % BLOCK
        if name in _INDEXES and 0 < size <= LARGEST_INDEX:
            self._wanted, self._left, self._padding = name, size, padding
        else:
            self._skip = size + padding


def _header(block: bytes) -> tuple[str, int]:
    """Return name and size of a member; raises _NoTar if it is no header."""
    try:
        stated = int(block[148:156].strip(b" \0") or b"0", 8)
        if stated != sum(block[:148]) + 8 * ord(" ") + sum(block[156:]):
            raise _NoTar
        field = block[124:136]
        # GNU's way for more than 8 GB: the first bit is set, the rest is binary.
        size = (
            int.from_bytes(field[1:], "big")
            if field[0] & 0x80
            else int(field.strip(b" \0") or b"0", 8)
        )
    except ValueError as error:
        raise _NoTar from error
    is_file = block[156:157] in {b"0", b"\0"}
    name = block[:100].partition(b"\0")[0].decode(errors="replace").removeprefix("./")
    return (name if is_file else ""), size


class _Manifest(msgspec.Struct):
    tags: tuple[str, ...] | None = msgspec.field(default=None, name="RepoTags")


class _Descriptor(msgspec.Struct):
    annotations: Mapping[str, str] | None = None


class _Index(msgspec.Struct):
    manifests: tuple[_Descriptor, ...] | None = None


def _of_manifest(content: bytes) -> Iterator[str]:
    try:
        entries = msgspec.json.decode(content, type=tuple[_Manifest, ...])
    except msgspec.DecodeError:
        return
    for entry in entries:
        yield from map(full_name, entry.tags or ())


def _of_index(content: bytes) -> Iterator[str]:
    try:
        index = msgspec.json.decode(content, type=_Index)
    except msgspec.DecodeError:
        return
    for descriptor in index.manifests or ():
        annotations = descriptor.annotations or {}
        name = annotations.get(_CONTAINERD_NAME) or annotations.get(_OCI_NAME)
        if name:
            yield name if set("/:@") & set(name) else f":{name}"


def full_name(name: str) -> str:
    """Return an image's name with all that people leave out: registry, `library`, tag.

    As https://pkg.go.dev/github.com/distribution/reference#ParseDockerRef has it.
    """
    first, slash, _ = name.partition("/")
    if not slash:
        name = f"docker.io/library/{name}"
    elif not ({".", ":"} & set(first) or first == "localhost"):
        name = f"docker.io/{name}"
    elif first == "docker.io" and name.count("/") == 1:
        name = f"docker.io/library/{name.partition('/')[2]}"
    has_tag = "@" in name or ":" in name.rpartition("/")[2]
    return name if has_tag else f"{name}:latest"
