"""Tags of a component, from a registry that wants a login and gives them in pages."""

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from aiohttp import web

from k3dasync import registry_api
from k3dasync.access_errors import TagsUnavailable
from k3dasync.cli import main
from k3dasync.operations.tags import UNUSUAL, Choice, in_order, list_tags
from tests.support import asyncio_only

TAGS = [
    "v1.30.1-k3s1",
    "latest",
    "v1.31.0-k3s2",
    "v1.31.0-rc1-k3s1",
    "v1.31.0-k3s10",
    "v1.9.0-k3s1",
]
USER, PASSWORD = "me", "sesame"
BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


class Registry:
    """As much of a registry as a list of tags needs; *kind* says how it wants to be asked."""

    def __init__(self) -> None:
        self.kind, self.page, self.port, self.url = "open", 4, 0, ""
        self.answer = ""
        self.asked: list[str] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/token":
            return await self.token(request)
        self.asked.append(request.path_qs)
        if self.answer:
            return web.Response(text=self.answer)
        if request.path != "/v2/some/thing/tags/list":
            words = '{"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known"}]}'
            return web.Response(status=404, text=words)
        given = request.headers.get("Authorization", "")
        if self.kind == "basic" and given != BASIC:
            return self.challenge('Basic realm="here"')
        if self.kind == "bearer" and given != "Bearer T1":
            scope = 'scope="repository:some/thing:pull"'
            return self.challenge(f'Bearer realm="{self.url}/token",service="s",{scope}')
        return self.tags(request)

    def challenge(self, text: str) -> web.Response:
        return web.Response(status=401, headers={"WWW-Authenticate": text})

    async def token(self, request: web.Request) -> web.Response:
        asked = request.query if request.method == "GET" else parse_qs(await request.text())
        assert "repository:some/thing:pull" in str(asked["scope"])
        self.asked.append(f"{request.method} token")
        has_login = request.headers.get("Authorization") == BASIC
        if has_login or "refreshing" in str(asked.get("refresh_token")):
            return web.json_response({"access_token": "T1"})
        return web.json_response({"message": "who are you"}, status=401)

    def tags(self, request: web.Request) -> web.Response:
        first = TAGS.index(request.query["last"]) + 1 if "last" in request.query else 0
        some = TAGS[first : first + self.page]
        headers = {}
        if first + self.page < len(TAGS):
            link = f"/v2/some/thing/tags/list?last={some[-1]}&n={self.page}"
            headers["Link"] = f'<{link}>; rel="next"'
        return web.json_response({"name": "some/thing", "tags": some}, headers=headers)


@pytest.fixture
async def registry() -> AsyncIterator[Registry]:
    found = Registry()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", found.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.port = runner.addresses[0][1]
    found.url = f"http://127.0.0.1:{found.port}"
    yield found
    await runner.cleanup()


def log_in(home: Path, registry: Registry, entry: dict[str, str]) -> None:
    (home / ".docker").mkdir()
    said = {"auths": {f"localhost:{registry.port}": entry}}
    (home / ".docker" / "config.json").write_text(json.dumps(said))


ALL = Choice(exclude="^$", order="off")


@asyncio_only
@pytest.mark.parametrize("kind", ["open", "basic", "bearer"])
async def test_all_pages_with_docker_s_login(
    registry: Registry, own_directories: Path, kind: str
) -> None:
    """Asked once without a login, as docker does; the answer says which one is wanted."""
    registry.kind = kind
    log_in(own_directories, registry, {"username": USER, "password": PASSWORD})
    repository, tags = await list_tags(f"localhost:{registry.port}/some/thing", ALL)

    assert (f"localhost:{registry.port}/some/thing", TAGS) == (repository, tags)
    pages = [path for path in registry.asked if path.startswith("/v2")]
    assert (2 if kind == "open" else 3) == len(pages)


@asyncio_only
async def test_an_identity_token_is_exchanged(registry: Registry, own_directories: Path) -> None:
    """What docker keeps of some logins."""
    registry.kind = "bearer"
    log_in(own_directories, registry, {"identitytoken": "refreshing"})

    assert TAGS == (await list_tags(f"localhost:{registry.port}/some/thing", ALL))[1]
    assert "POST token" in registry.asked


@asyncio_only
@pytest.mark.parametrize(
    ("kind", "path", "answer", "words"),
    [
        ("bearer", "some/thing", "", r"who are you \(HTTP 401\)"),
        ("basic", "some/thing", "", r"a login is needed \(HTTP 401\)"),
        ("open", "no/thing", "", r"repository name not known \(HTTP 404\)"),
        ("open", "some/thing", "<html>", "the answer is no list of tags"),
        ("open", "some/thing", "[]", "the answer is no list of tags"),
    ],
)
async def test_refusals(registry: Registry, kind: str, path: str, answer: str, words: str) -> None:
    """In the registry's words where it has some."""
    registry.kind, registry.answer = kind, answer
    with pytest.raises(TagsUnavailable, match=words):
        await registry_api.tags(f"localhost:{registry.port}", path)


def test_a_registry_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    """One line, exit code 1."""
    assert 1 == main(["version", "list", "localhost:1/some/thing"])
    error = capsys.readouterr().err
    assert 1 == len(error.splitlines())
    assert "cannot list the tags of localhost:1/some/thing" in error


def test_the_order_is_that_of_versions() -> None:
    """Numbers count as numbers; what is no version stands behind."""
    descending = [
        "v1.31.0-rc1-k3s1",
        "v1.31.0-k3s10",
        "v1.31.0-k3s2",
        "v1.30.1-k3s1",
        "v1.9.0-k3s1",
    ]
    assert [*descending, "latest"] == in_order(TAGS, "desc")
    assert [*reversed(descending), "latest"] == in_order(TAGS, "asc")
    assert TAGS == in_order(TAGS, "off")
    assert ["v5.9.0", "5.9.0-rc.1", "v5.8.0"] == in_order(
        ["5.9.0-rc.1", "v5.8.0", "v5.9.0"], "desc"
    )


@asyncio_only
@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (Choice(), ["v1.31.0-k3s10", "v1.31.0-k3s2", "v1.30.1-k3s1", "v1.9.0-k3s1"]),
        (Choice(limit=1), ["v1.31.0-k3s10"]),
        (Choice(limit=99, include="30|9"), ["v1.30.1-k3s1", "v1.9.0-k3s1"]),
        (Choice(include="late", exclude="x"), ["latest"]),
        (Choice(include="rc", exclude="late"), ["v1.31.0-rc1-k3s1"]),
    ],
)
async def test_which_tags(registry: Registry, choice: Choice, expected: list[str]) -> None:
    """Found and not left out, by version, not more than wanted; `latest` has `test` in it."""
    assert expected == (await list_tags(f"localhost:{registry.port}/some/thing", choice))[1]
    assert UNUSUAL == Choice().exclude


@pytest.mark.parametrize(
    "words",
    [
        ["list"],
        ["list", "k9s"],
        ["list", "k3s", "--include", "("],
        ["list", "k3s", "--limit", "-1"],
        ["list", "k3s", "--sort", "up"],
        ["list", "k3s", "-o", "raw", "-f", "repo"],
    ],
)
def test_what_cannot_be_meant(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody is asked."""
    assert 2 == main(["version", *words])
    assert "" == capsys.readouterr().out
