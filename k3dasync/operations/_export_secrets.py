"""Everything that must not be in an export, read where it is kept: in containers, in files."""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial

from k3dasync import kubeconfig
from k3dasync.cluster import KUBECONFIG_PATH, LABEL_ROLE, Role
from k3dasync.errors import EngineError
from k3dasync.gather import gather
from k3dasync.kubeconfig import KubeconfigError
from k3dasync.operations._existing import ExistingCluster
from k3dasync.operations._secrets import secrets_of
from k3dasync.runtime import ContainerDetail, Runtime
from k3dasync.scrubbing import SHORTEST, passwords_in

_SERVER = "/var/lib/rancher/k3s/server"
REGISTRIES = "/etc/rancher/k3s/registries.yaml"
FILES = (
    f"{_SERVER}/token",
    f"{_SERVER}/agent-token",
    f"{_SERVER}/cred/passwd",
    "/etc/rancher/node/password",
    REGISTRIES,
)
"""Where k3s keeps secrets that it has made itself, or was given (pkg/daemons, pkg/server)."""
_FIELDS = frozenset({"password", "auth", "identity_token", "token"})
"""Where a registries.yaml has secrets (k3s, pkg/registries; `token` is none of its yet)."""


async def secrets_in(
    cluster: ExistingCluster, details: Mapping[str, ContainerDetail], runtime: Runtime
) -> frozenset[str]:
    """Return the secrets of a cluster; those that cannot be read are in no node that can be."""
    given = secrets_of(details.values(), cluster.token)
    environments = [entry for detail in details.values() for entry in detail.env]
    roles = {Role.SERVER, Role.AGENT}
    nodes = [one.name for one in cluster.nodes if one.labels.get(LABEL_ROLE) in roles]
    asked = [(name, path) for name in nodes for path in (*FILES, KUBECONFIG_PATH)]
    read = await gather([partial(_read, runtime, *one) for one in asked], at_once=16)
    kept = [one for (_, path), text in zip(asked, read, strict=True) for one in _of(path, text)]
    found = (*given, *passwords_in([*given, *environments]), *kept)
    return frozenset(filter(None, found))


async def _read(runtime: Runtime, name: str, path: str) -> str:
    try:
        return (await runtime.read_file(name, path)).decode(errors="replace")
    except EngineError:
        return ""  # not every node has every file


def _of(path: str, text: str) -> Iterator[str]:
    if path == KUBECONFIG_PATH:
        yield from _keys(text)
    elif path == REGISTRIES:
        yield from _of_registries(text)
    else:
        # `K10…::server:SECRET` or `SECRET,user,…`: the whole, and each part.
        for line in text.split():
            yield line
            yield from _long(re.split(r"::|[:,]", line))


def _long(parts: Iterable[str]) -> Iterator[str]:
    # Users and groups stand beside secrets, and in every log: k3s's passwords have 32 digits.
    usual = {"server", "node", "agent"}
    for part in parts:
        if len(part) >= SHORTEST and part not in usual and not part.startswith(("k3s:", "system:")):
            yield part


def _keys(text: str) -> Iterator[str]:
    try:
        users = kubeconfig.parse(text.encode(), KUBECONFIG_PATH).get("users") or []
    except KubeconfigError:
        return
    for entry in users:
        user = entry.get("user") or {}
        yield from (
            str(user[key]) for key in ("client-key-data", "token", "password") if user.get(key)
        )


def _of_registries(text: str) -> Iterator[str]:
    import yaml

    try:
        yield from _values(yaml.safe_load(text))
    except yaml.YAMLError:
        yield from text.split()  # what is no YAML for us may be some for k3s


def _values(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        for key, value in part.items():
            if key in _FIELDS and isinstance(value, str | int | float):
                yield str(value)
            else:
                yield from _values(value)
    elif isinstance(part, list):
        for one in part:
            yield from _values(one)
