"""How servers learn of a datastore outside the cluster. Pure."""

import hashlib
import hmac
import re
from collections.abc import Mapping

from k3dasync.runtime import File
from k3dasync.spec import Datastore

_FOLDER = "/etc/k3d/datastore"
"""In the servers, beside the other files of ours that are read at every start."""
_PRIVATE = 0o600
NODE_PASSWORD = "/etc/rancher/node/password"  # noqa: S105 - a path
"""Where k3s keeps what proves that a node is the one of that name; made at random if absent."""


def environment(store: Datastore) -> tuple[str, ...]:
    """Return k3s's variables; not arguments, which every process of the node could read."""
    files = {name: path for name, path in _given(store).items() if path}
    return (
        f"K3S_DATASTORE_ENDPOINT={store.endpoint}",
        *(f"K3S_DATASTORE_{name.upper()}={_path(name)}" for name in files),
    )


def files(store: Datastore, contents: Mapping[str, bytes]) -> tuple[File, ...]:
    """Return the files of a server; *contents* are those of the client's files, by path."""
    return tuple(
        File(path=_path(name), content=contents[path], mode=_PRIVATE)
        for name, path in _given(store).items()
        if path
    )


def node_password(token: str, node: str) -> File:
    """Return the proof of a node's identity, the same for equal tokens and names.

    The datastore outlives the cluster and remembers the proofs. With a random one, as k3s makes
    it, a cluster of the same token could never be made again over what is there: its nodes would
    be turned away as strangers.
    """
    proof = hmac.new(token.encode(), f"node {node}".encode(), hashlib.sha256).hexdigest()[:32]
    return File(path=NODE_PASSWORD, content=f"{proof}\n".encode(), mode=_PRIVATE)


def secrets(store: Datastore) -> tuple[str, ...]:
    """Return what must not be shown of a datastore: its endpoint, and a password alone."""
    _, _, rest = store.endpoint.partition("://")
    return (rest, *re.findall(r":([^:@/]+)@", rest))


def _given(store: Datastore) -> dict[str, str | None]:
    return {"cafile": store.cafile, "certfile": store.certfile, "keyfile": store.keyfile}


def _path(name: str) -> str:
    return f"{_FOLDER}/{name}.pem"
