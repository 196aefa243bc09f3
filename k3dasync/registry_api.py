"""A registry's list of tags, by its HTTP API (distribution spec, v2); logs in as docker does."""

import base64
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import anyio

from k3dasync.access_errors import TagsUnavailable

SECONDS = 60.0
"""For all pages: Docker Hub takes 0.5 s for one of the five that k3s has."""
PAGE = 1000
"""Tags asked for at a time; registries that want to give fewer do."""
MOST_PAGES = 200
"""A registry whose pages lead in a circle is noticed."""
DOCKER_HUB, DOCKER_HUB_API = "docker.io", "registry-1.docker.io"
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
"""Hosts that docker, too, asks without TLS."""
_PAIRS = re.compile(r'(\w+)="([^"]*)"')

Login = Mapping[str, str]
"""What docker keeps of a registry: `username` and `password`, or a token."""


async def tags(registry: str, path: str, login: Login | None = None) -> list[str]:
    """Return all tags of a repository, in the registry's order.

    Raises TagsUnavailable, in one line, for whatever keeps us from them.
    """
    import aiohttp  # only for those who ask

    name = f"{registry}/{path}"
    try:
        with anyio.fail_after(SECONDS):
            # trust_env: proxies of the environment, as every other program uses them.
            async with aiohttp.ClientSession(trust_env=True) as session:
                return await _Listing(session, name, login or {}).all(_base(registry), path)
    except (aiohttp.ClientError, OSError) as error:
        words = " ".join(str(error).split()) or "no answer in time"
        raise TagsUnavailable(name, words) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TagsUnavailable(name, "the answer is no list of tags") from error


def _base(registry: str) -> str:
    host = DOCKER_HUB_API if registry == DOCKER_HUB else registry
    is_local = urlsplit(f"//{host}").hostname in _LOCAL
    return f"{'http' if is_local else 'https'}://{host}"


class _Listing:
    """One listing. The first page may be refused once: then we log in."""

    def __init__(self, session: Any, name: str, login: Login) -> None:
        self._session, self._name, self._login = session, name, login
        self._headers: dict[str, str] = {}

    async def all(self, base: str, path: str) -> list[str]:
        found: list[str] = []
        url: str | None = f"{base}/v2/{path}/tags/list?n={PAGE}"
        for _ in range(MOST_PAGES):
            page, url = await self._page(url or "")
            found += page
            if url is None:
                return found
        raise TagsUnavailable(self._name, "its pages have no end")

    async def _page(self, url: str) -> tuple[list[str], str | None]:
        async with self._session.get(url, headers=self._headers) as answer:
            if answer.status != 401 or self._headers:
                return await self._read(answer)
            challenge = answer.headers.get("WWW-Authenticate", "")
        self._headers = {"Authorization": await self._authorization(url, challenge)}
        async with self._session.get(url, headers=self._headers) as answer:
            return await self._read(answer)

    async def _read(self, answer: Any) -> tuple[list[str], str | None]:
        if answer.status != 200:
            raise TagsUnavailable(self._name, _refusal(answer.status, await answer.text()))
        found = (await answer.json(content_type=None))["tags"]
        following = answer.links.get("next", {}).get("url")
        # Only there: who we are is nobody else's business.
        is_there = following is not None and following.host == answer.url.host
        return [str(tag) for tag in found or ()], str(following) if is_there else None

    async def _authorization(self, url: str, challenge: str) -> str:
        kind, _, rest = challenge.partition(" ")
        asked = dict(_PAIRS.findall(rest))
        if kind.lower() == "basic":
            return self._basic()
        if kind.lower() != "bearer" or "realm" not in asked:
            raise TagsUnavailable(self._name, "it wants a login of an unknown kind")
        if "registrytoken" in self._login:
            return f"Bearer {self._login['registrytoken']}"
        realm = asked.pop("realm")
        if urlsplit(realm).scheme != "https" and urlsplit(url).scheme == "https":
            raise TagsUnavailable(self._name, "it wants a login without TLS")
        async with self._ask_token(realm, asked) as answer:
            if answer.status != 200:
                raise TagsUnavailable(self._name, _refusal(answer.status, await answer.text()))
            said = await answer.json(content_type=None)
        return f"Bearer {said.get('token') or said['access_token']}"

    def _ask_token(self, realm: str, asked: dict[str, str]) -> Any:
        if "identitytoken" in self._login:
            grant = {"grant_type": "refresh_token", "client_id": "k3dasync"}
            form = {**asked, **grant, "refresh_token": self._login["identitytoken"]}
            return self._session.post(realm, data=form)
        headers = {"Authorization": self._basic()} if self._login.get("password") else {}
        return self._session.get(realm, params=asked, headers=headers)

    def _basic(self) -> str:
        pair = f"{self._login.get('username', '')}:{self._login.get('password', '')}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"


def _refusal(status: int, body: str) -> str:
    """Return a registry's own words, or what the status means."""
    found = re.search(r'"message" *: *"([^"]+)"', body)
    known = {401: "a login is needed", 403: "not allowed", 404: "there is no such repository"}
    words = found[1] if found else known.get(status, "it refuses")
    return f"{words} (HTTP {status})"
