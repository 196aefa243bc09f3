"""Images built by an engine's own builder, for those who have no docker command."""

import base64
import json
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from k3dasync.build import BuildSpec
from k3dasync.docker import credentials
from k3dasync.docker.connection import Connection
from k3dasync.errors import EngineError, EngineUnavailable
from k3dasync.image_errors import BuildFailed
from k3dasync.jsonlines import JsonLines

_BUILT = "Successfully built"
"""How a build ends whose image has no id in a message of its own."""


async def built(
    connection: Connection,
    context: AsyncIterator[bytes] | None,
    spec: BuildSpec,
    headers: Mapping[str, str],
    say: Callable[[str], None],
) -> None:
    """Build; raises what ImageBuilder says."""
    body = _Body(context) if context is not None else None
    try:
        with connection.mapped("build", f"image {', '.join(spec.tags)}"):
            async with connection.content(
                "POST", "build", params=parameters(spec), headers=headers, data=body
            ) as content:
                await _follow(JsonLines(content.iter_any()), spec, say)
    except (EngineError, EngineUnavailable) as error:
        if body is not None and body.failure is not None:
            raise body.failure from error
        if isinstance(error, EngineError):
            raise BuildFailed(spec.tags, error.words) from error
        raise


async def _follow(messages: JsonLines, spec: BuildSpec, say: Callable[[str], None]) -> None:
    """Read what the engine tells; the end of it proves nothing."""
    is_built = False
    async for message in messages:
        if "error" in message or "errorDetail" in message:
            detail = message.get("errorDetail") or {}
            raise BuildFailed(spec.tags, str(detail.get("message") or message.get("error")))
        text = str(message.get("stream") or message.get("status") or "").rstrip("\n")
        aux = message.get("aux")
        has_id = isinstance(aux, dict) and bool(aux.get("ID"))
        is_built = is_built or has_id or text.startswith(_BUILT)
        # How far a layer of a base has come is told a hundred times, and nothing else.
        if text and not message.get("progressDetail"):
            say(text)
    if not is_built:
        raise BuildFailed(spec.tags, "the engine's answer ended early")


def parameters(spec: BuildSpec) -> list[tuple[str, str]]:
    """Return what stands in the address; `rm`, `forcerm`: no container of a step stays."""
    given = {
        "dockerfile": spec.dockerfile,
        "remote": spec.remote,
        "target": spec.target,
        "platform": spec.platform,
        "nocache": "1" * spec.no_cache,
        "pull": "1" * spec.pull,
        "buildargs": json.dumps(dict(spec.arguments)) if spec.arguments else "",
        "rm": "1",
        "forcerm": "1",
    }
    found = [("t", tag) for tag in spec.tags]
    return found + [(key, value) for key, value in given.items() if value]


async def build_headers(spec: BuildSpec, environ: Mapping[str, str], home: Path) -> dict[str, str]:
    """Return the headers of a build: its type, and the credentials for its bases' registries."""
    known: dict[str, Any] = {}
    for image in spec.bases:
        if auth := await credentials.registry_auth(image, environ, home):
            found = json.loads(base64.urlsafe_b64decode(auth))
            known[found["serveraddress"]] = found
    headers = {"Content-Type": "application/x-tar"}
    if known:
        headers["X-Registry-Config"] = base64.urlsafe_b64encode(json.dumps(known).encode()).decode()
    return headers


class _Body:
    """A context on its way; what it raises would else be lost in aiohttp."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces
        self.failure: Exception | None = None

    def __aiter__(self) -> "_Body":
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._pieces)
        except StopAsyncIteration:
            raise
        except Exception as error:
            self.failure = error
            raise
