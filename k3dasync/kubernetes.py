"""What we ask of a cluster's Kubernetes API, and the shapes of its answers. Pure."""

import base64
import binascii
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from k3dasync.errors import KubernetesError
from k3dasync.workloads import Kind, Workloads


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """A client certificate and the authority that signed the server's, all PEM."""

    ca: bytes
    certificate: bytes = field(repr=False)
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """A Node object: is it Ready, and if not, the reason the API gives.

    `heard` is when the node has last said so, in seconds since 1970 by its own clock, in whole
    ones; None if that is not known. `disk_pressure` is the message of that condition while it
    holds: the kubelet takes no pods then, and evicts those which it has; empty if it does not.
    """

    name: str
    is_ready: bool
    reason: str = ""
    disk_pressure: str = ""
    heard: float | None = field(default=None, compare=False)


Nodes = Mapping[str, NodeStatus]


class Kubernetes(Protocol):
    """The API behind one published port."""

    async def supervisor_answers(self) -> bool:
        """Say whether `/cacerts` answers 200: from then on nodes can join. Never raises."""

    async def is_ready(self) -> bool:
        """Say whether `/readyz` answers 200 to our credentials. Never raises."""

    def nodes(self) -> AbstractAsyncContextManager[AsyncIterator[Nodes]]:
        """Follow the Node objects: all of them at once, then again at each change.

        Raises KubernetesError if the API cannot be asked; the end of the stream proves nothing.
        """

    def workloads(self, kind: Kind) -> AbstractAsyncContextManager[AsyncIterator[Workloads]]:
        """Follow the objects of one kind in k3s's own namespace, as `nodes` does.

        There are none of a kind that the API does not know, or not yet.
        """

    async def delete_node(self, name: str) -> bool:
        """Delete a Node object and say whether it was there.

        It may still be there for a moment: k3s takes a server's member away from etcd before.
        """

    async def delete_secret(self, namespace: str, name: str) -> bool:
        """Delete a Secret and say whether it was there."""


class KubernetesConnect(Protocol):
    """Makes a client for the API at *host*, *port*; without credentials it can only probe."""

    def __call__(
        self, host: str, port: int, credentials: Credentials | None
    ) -> AbstractAsyncContextManager[Kubernetes]: ...


def credentials_of(kubeconfig: Mapping[str, Any]) -> Credentials:
    """Return the credentials of the first cluster and user of a kubeconfig.

    Raises KubernetesError if they are not embedded in it.
    """
    try:
        cluster = kubeconfig["clusters"][0]["cluster"]
        user = kubeconfig["users"][0]["user"]
        return Credentials(
            ca=base64.b64decode(cluster["certificate-authority-data"]),
            certificate=base64.b64decode(user["client-certificate-data"]),
            key=base64.b64decode(user["client-key-data"]),
        )
    except (KeyError, IndexError, TypeError, binascii.Error) as error:
        raise KubernetesError(
            f"the server's kubeconfig has no usable credentials: {type(error).__name__} {error}"
        ) from error


def node_status(node: Mapping[str, Any]) -> NodeStatus:
    """Read one Node object of the API."""
    conditions = {
        str(entry.get("type")): entry for entry in node.get("status", {}).get("conditions") or []
    }
    ready: Mapping[str, Any] = conditions.get("Ready", {})
    pressure: Mapping[str, Any] = conditions.get("DiskPressure", {})
    return NodeStatus(
        name=str(node["metadata"]["name"]),
        is_ready=ready.get("status") == "True",
        reason=_why(ready),
        disk_pressure=_why(pressure) if pressure.get("status") == "True" else "",
        heard=_seconds(str(ready.get("lastHeartbeatTime") or "")),
    )


def _why(condition: Mapping[str, Any]) -> str:
    return str(condition.get("message") or condition.get("reason") or "")


def _seconds(timestamp: str) -> float | None:
    try:
        return datetime.fromisoformat(timestamp).timestamp()
    except ValueError:
        return None
