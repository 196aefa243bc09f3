"""What runs inside the containers of the fake engine when a command is executed there."""

import hashlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
from anyio.abc import AnyByteStream
from anyio.streams.stapled import StapledObjectStream

from k3dasync.fake import host as looking
from k3dasync.fake import tools
from k3dasync.fake.datastore import Datastore
from k3dasync.fake.state import Container, Service
from k3dasync.image_archive import NameScanner
from k3dasync.runtime import Executed, ImageState

NOT_FOUND = 126
"""What a runtime says of a program that is not in the image."""
_IMPORT = ("ctr", "image", "import", "--all-platforms", "-")
_LIST = ("ctr", "image", "ls", "-q")
_IMAGES = ("crictl", "images", "-o", "json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ctr:
    """How a node's ctr behaves: *seconds* for each piece; its end after *most* pieces.

    It then exits with *code*, or hangs for ever without reading if that is None. With `forgets`
    it says that all is well and keeps nothing.
    """

    seconds: float = 0.0
    most: int | None = None
    code: int | None = 1
    says: str = "ctr: fault on order"
    forgets: bool = False


GOOD = Ctr()


async def run(
    container: Container, command: Sequence[str], stdin: AsyncIterator[bytes] | None, ctr: Ctr
) -> Executed:
    """Run a command: ctr's, crictl's, kubectl's in a node; `cat`, `grep`, `df`, `true`, `false`."""
    container.executing.append(command[0])
    try:
        return await _run(container, command, stdin, ctr)
    finally:
        container.executing.remove(command[0])


@asynccontextmanager
async def converse(command: Sequence[str]) -> AsyncIterator[AnyByteStream]:
    """Talk with a command: `cat` answers what it is told, everything else ends at once."""
    send, receive = anyio.create_memory_object_stream[bytes](float("inf"))
    stream = StapledObjectStream(send, receive)
    if tuple(command) != ("cat",):
        await send.aclose()
    async with stream:
        yield stream


async def _run(
    container: Container, command: Sequence[str], stdin: AsyncIterator[bytes] | None, ctr: Ctr
) -> Executed:
    is_node = (container.spec.command or ("",))[0] in {"server", "agent"}
    match tuple(command):
        case ("true",):
            return Executed(code=0)
        case ("false",):
            return Executed(code=1)
        case ("cat",):
            return Executed(code=0, out=b"".join([piece async for piece in stdin or _nothing()]))
        case ("tail", "-f", "/dev/null"):
            await anyio.sleep_forever()
        case ("cat", *paths) if all(path.startswith("/proc/net/") for path in paths):
            return Executed(code=0, out=looking.sockets(container.sockets))
        case ("grep", "-s", "", *paths):
            return looking.grep(container.files, paths)
        case ("df", "-Pk", folder):
            return looking.df(container.files, folder)
        case ("kubectl", "drain" | "cordon" | "uncordon" as verb, node, *_) if is_node:
            return _administer(container, verb, node)
        case ("kubectl", "get", "node", node, "-o", "json") if is_node:
            return _administer(container, "get", node)
        case ("kubectl", "--kubeconfig", _, "get", "node", node, "-o", "json") if is_node:
            return _show(container, node)
        case given if is_node and given == _LIST:
            return Executed(code=0, out="".join(f"{n}\n" for n in container.imported).encode())
        case given if is_node and given == _IMAGES:
            return Executed(code=0, out=_as_crictl(container.imported))
        case given if is_node and given == _IMPORT:
            return await _import(container, stdin or _nothing(), ctr)
        case given if is_node and (ended := tools.run(container, given)) is not None:
            return ended
    words = f'exec: "{command[0]}": executable file not found in $PATH: unknown'
    return Executed(code=NOT_FOUND, out=words.encode())


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""


def _as_crictl(imported: Mapping[str, ImageState]) -> bytes:
    """Return what crictl says: an entry for each image, with all of its names."""
    tags: dict[str, list[str]] = {}
    for name, image in sorted(imported.items()):
        tags.setdefault(image.id, []).append(name)
    sizes = {image.id: image.size for image in imported.values()}
    images = [
        {"id": id, "repoTags": names, "repoDigests": [], "size": str(sizes[id]), "pinned": False}
        for id, names in tags.items()
    ]
    return json.dumps({"images": images}, indent=2).encode()


def _administer(container: Container, verb: str, node: str) -> Executed:
    """Drain, cordon, uncordon or get a node, as a server can; there are no pods to end."""
    store = container.data
    if not isinstance(store, Datastore) or Service.API not in container.serves:
        words = b"The connection to the server 127.0.0.1:6443 was refused"
        return Executed(code=1, err=words)
    if node not in store.nodes:
        return Executed(code=1, err=f'nodes "{node}" not found'.encode())
    match verb:
        case "get":
            spec = {"unschedulable": True} if node in store.cordoned else {}
            shown = {"metadata": {"name": node}, "spec": spec}
            return Executed(code=0, out=json.dumps(shown).encode())
        case "drain":
            store.drain(node)
        case "cordon":
            store.cordoned.add(node)
        case _:
            store.cordoned.discard(node)
    return Executed(code=0, out=f"node/{node} {verb}ed".encode())


def _show(container: Container, node: str) -> Executed:
    """Show a Node to itself, once its cluster has accepted it."""
    store = container.data
    status = store.nodes.get(node) if isinstance(store, Datastore) else None
    if status is None or node != container.name:
        return Executed(code=1, err=b"error: no kubeconfig yet, or not allowed")
    ready = {"type": "Ready", "status": str(status.is_ready), "message": status.reason}
    shown = {"metadata": {"name": node}, "status": {"conditions": [ready]}}
    return Executed(code=0, out=json.dumps(shown).encode())


async def _import(container: Container, stdin: AsyncIterator[bytes], ctr: Ctr) -> Executed:
    scanner, count, size, content = NameScanner(), 0, 0, hashlib.sha256()
    while ctr.most is None or count < ctr.most:
        try:
            piece = await anext(stdin)
        except StopAsyncIteration:
            break
        scanner.feed(piece)
        content.update(piece)
        count, size = count + 1, size + len(piece)
        await anyio.sleep(ctr.seconds)
    else:
        if ctr.code is None:
            await anyio.sleep_forever()
        return Executed(code=ctr.code or 0, err=ctr.says.encode())
    if not scanner.is_archive:
        return Executed(code=1, err=b"ctr: unrecognized image format")
    if not ctr.forgets:
        # A name means what was imported last; equal archives hold equal images.
        id = f"sha256:{content.hexdigest()}"
        for name in scanner.names():
            container.imported[name] = ImageState(id=id, tags=(name,), size=size)
    return Executed(code=0, out="".join(f"unpacking {n}\n" for n in scanner.names()).encode())
