"""The user's registry credentials, from where docker's own commands keep them."""

import base64
import binascii
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio

from k3dasync.docker.endpoint import config_folder, read_config
from k3dasync.errors import EngineUnavailable

DOCKER_HUB = "docker.io"
DOCKER_HUB_KEY = "https://index.docker.io/v1/"
"""What docker files the credentials of Docker Hub under, since before there were others."""
HELPER_TIMEOUT = 30.0
"""A key store may ask its user to unlock it; whoever is not there needs no longer wait."""
_TOKEN_USER = "<token>"  # noqa: S105 - how a helper says that its secret is an identity token


def split_image(image: str) -> tuple[str, str]:
    """Return an image's registry, and the name under which a pull asks for it in full.

    The first part of a name is a registry if it looks like a host, as docker has it.
    """
    first, slash, rest = image.partition("/")
    if slash and (first == "localhost" or "." in first or ":" in first):
        registry, path = first, rest
    else:
        registry, path = DOCKER_HUB, image
    if registry in {DOCKER_HUB, "index.docker.io"}:
        registry = DOCKER_HUB
        path = path if "/" in path else f"library/{path}"
    return registry, f"{registry}/{path}"


async def registry_auth(image: str, environ: Mapping[str, str], home: Path) -> str | None:
    """Return the value of a pull's `X-Registry-Auth` header, None for an anonymous pull.

    A configuration or helper that fails counts as no credentials: most images need none, and if
    this one does the registry says so.
    """
    return _header(await login(image, environ, home), _keys(image)[0])


async def login(image: str, environ: Mapping[str, str], home: Path) -> dict[str, str] | None:
    """Return what is known for an image's registry: `username` and `password`, or a token."""
    try:
        config = read_config(config_folder(environ, home) / "config.json")
    except EngineUnavailable:
        return None
    keys = _keys(image)
    helpers = config.get("credHelpers") or {}
    helper = next((helpers[key] for key in keys if key in helpers), config.get("credsStore"))
    found = None
    if helper:
        found = await _ask_helper(str(helper), keys[0], environ)
    return found or _look_up(config.get("auths") or {}, keys)


def _keys(image: str) -> list[str]:
    """Return what docker may have filed a registry's credentials under."""
    registry, _ = split_image(image)
    return [DOCKER_HUB_KEY, DOCKER_HUB] if registry == DOCKER_HUB else [registry]


async def _ask_helper(helper: str, key: str, environ: Mapping[str, str]) -> dict[str, str] | None:
    with anyio.move_on_after(HELPER_TIMEOUT):
        try:
            answer = await anyio.run_process(
                [f"docker-credential-{helper}", "get"],
                input=key.encode(),
                check=False,
                env=environ,
            )
            said = json.loads(answer.stdout) if answer.returncode == 0 else {}
        except (OSError, ValueError):
            return None
        return _of_helper(said) if isinstance(said, dict) else None
    return None


def _of_helper(said: Mapping[str, Any]) -> dict[str, str] | None:
    user, secret = str(said.get("Username", "")), str(said.get("Secret", ""))
    if not secret:
        return None
    if user == _TOKEN_USER:
        return {"identitytoken": secret}
    return {"username": user, "password": secret}


def _look_up(auths: Mapping[str, Any], keys: list[str]) -> dict[str, str] | None:
    hosts = {_host(key) for key in keys}
    exact = [key for key in keys if key in auths]
    alike = [key for key in auths if _host(key) in hosts]
    for key in [*exact, *alike]:
        found = _of_entry(auths[key] or {})
        if found is not None:
            return found
    return None


def _host(key: str) -> str:
    """Return the host of a key, which older versions of docker wrote as an address."""
    return key.partition("://")[2].partition("/")[0] or key.partition("/")[0]


def _of_entry(entry: Mapping[str, Any]) -> dict[str, str] | None:
    for token in ("identitytoken", "registrytoken"):
        if entry.get(token):
            return {token: str(entry[token])}
    user, password = str(entry.get("username", "")), str(entry.get("password", ""))
    if entry.get("auth"):
        try:
            decoded = base64.b64decode(str(entry["auth"]), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return None
        user, _, password = decoded.partition(":")
        password = password.rstrip("\0")  # some writers pad it
    return {"username": user, "password": password} if user or password else None


def _header(found: Mapping[str, str] | None, server: str) -> str | None:
    if found is None:
        return None
    said = json.dumps({**found, "serveraddress": server})
    return base64.urlsafe_b64encode(said.encode()).decode()
