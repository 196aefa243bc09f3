"""Registry credentials from docker's configuration."""

import base64
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from k3dasync.docker.credentials import registry_auth, split_image
from tests.support import asyncio_only

HELPER = """#!/bin/sh
# A credential helper: it knows one registry, and notes what it was asked.
read -r key
echo "$1 $key" >> "$0.log"
case $key in
https://index.docker.io/v1/) echo '{"ServerURL": "x", "Username": "hub", "Secret": "s"}' ;;
token.example.org) echo '{"ServerURL": "x", "Username": "<token>", "Secret": "t"}' ;;
garbage.example.org) echo 'no JSON' ;;
*) echo "credentials not found in native keychain"; exit 1 ;;
esac
"""


def configure(home: Path, **config: Any) -> dict[str, str]:
    """Write docker's configuration and return an environment with a helper `test` on its path."""
    (home / ".docker").mkdir()
    (home / ".docker" / "config.json").write_text(json.dumps(config))
    helper = home / "docker-credential-test"
    helper.write_text(HELPER)
    helper.chmod(0o755)
    return {"PATH": f"{home}{os.pathsep}{os.environ['PATH']}"}


def plain(user: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


async def asked(image: str, environ: Mapping[str, str], home: Path) -> Any:
    header = await registry_auth(image, environ, home)
    return None if header is None else json.loads(base64.urlsafe_b64decode(header))


@pytest.mark.parametrize(
    ("image", "registry", "name"),
    [
        ("nginx:1.27", "docker.io", "docker.io/library/nginx:1.27"),
        ("rancher/k3s:v1", "docker.io", "docker.io/rancher/k3s:v1"),
        ("docker.io/nginx", "docker.io", "docker.io/library/nginx"),
        ("index.docker.io/rancher/k3s", "docker.io", "docker.io/rancher/k3s"),
        ("ghcr.io/a/b@sha256:00", "ghcr.io", "ghcr.io/a/b@sha256:00"),
        ("localhost/a", "localhost", "localhost/a"),
        ("registry:5000/a:1", "registry:5000", "registry:5000/a:1"),
    ],
)
def test_an_image_s_registry(image: str, registry: str, name: str) -> None:
    """A first part that looks like a host is one, everything else is Docker Hub's."""
    assert (registry, name) == split_image(image)


async def test_without_a_configuration_pulls_are_anonymous(tmp_path: Path) -> None:
    """Which is enough for most images."""
    assert await asked("nginx", {}, tmp_path) is None


@pytest.mark.parametrize(
    ("key", "image"),
    [
        ("https://index.docker.io/v1/", "rancher/k3s"),
        ("docker.io", "rancher/k3s"),
        ("ghcr.io", "ghcr.io/a/b"),
        ("https://ghcr.io/v2/", "ghcr.io/a/b"),
        ("registry:5000", "registry:5000/a"),
    ],
)
async def test_logins_in_the_file(tmp_path: Path, key: str, image: str) -> None:
    """Under today's keys and those of older versions."""
    environ = configure(
        tmp_path, auths={key: plain("me", "pass:word"), "other.org": plain("x", "y")}
    )

    found = await asked(image, environ, tmp_path)

    assert ("me", "pass:word") == (found["username"], found["password"])


async def test_an_identity_token_in_the_file(tmp_path: Path) -> None:
    """It goes instead of a password."""
    environ = configure(tmp_path, auths={"a.org": {"identitytoken": "t"}})

    assert {"identitytoken": "t", "serveraddress": "a.org"} == await asked(
        "a.org/b", environ, tmp_path
    )


@asyncio_only
async def test_the_credential_store(tmp_path: Path) -> None:
    """Asked by the key docker would use, for every registry."""
    environ = configure(tmp_path, credsStore="test")

    found = await asked("nginx", environ, tmp_path)

    expected = {
        "username": "hub",
        "password": "s",
        "serveraddress": "https://index.docker.io/v1/",
    }
    assert expected == found
    log = (tmp_path / "docker-credential-test.log").read_text()
    assert "get https://index.docker.io/v1/\n" == log


@asyncio_only
async def test_a_registry_s_own_helper(tmp_path: Path) -> None:
    """It wins over the store, and may give a token."""
    environ = configure(tmp_path, credHelpers={"token.example.org": "test"}, credsStore="absent")

    found = await asked("token.example.org/a", environ, tmp_path)

    assert {"identitytoken": "t", "serveraddress": "token.example.org"} == found


@asyncio_only
@pytest.mark.parametrize("store", ["test", "absent"])
@pytest.mark.parametrize("registry", ["unknown.example.org", "garbage.example.org"])
async def test_a_helper_that_cannot_help(tmp_path: Path, store: str, registry: str) -> None:
    """The pull is anonymous: the registry will say if that is not enough."""
    environ = configure(tmp_path, credsStore=store)

    assert await asked(f"{registry}/a", environ, tmp_path) is None


@pytest.mark.parametrize("auth", ["%%%", base64.b64encode(b"\xff\xfe:x").decode()])
async def test_an_entry_that_is_no_login(tmp_path: Path, auth: str) -> None:
    """It counts as none."""
    environ = configure(tmp_path, auths={"a.org": {"auth": auth}})

    assert await asked("a.org/b", environ, tmp_path) is None


async def test_an_unreadable_configuration(tmp_path: Path) -> None:
    """It counts as none."""
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker" / "config.json").write_text("{")

    assert await asked("nginx", {}, tmp_path) is None
