"""k3s's release channels: which version `stable` or `v1.31` is now."""

import json
from collections.abc import Mapping
from typing import Any

import anyio

from k3dasync.errors import ChannelError
from k3dasync.images import K3S

URL = "https://update.k3s.io/v1-release/channels"
"""k3s's own list, which its installer and k3d ask too."""
SECONDS = 15.0
"""For one small answer; a proxy that never gives one must not keep a create waiting."""


async def image_of(channel: str, *, url: str = URL) -> str:
    """Return the image of the version that a channel has now; `+` alone is the usual one.

    Raises ChannelError if the list cannot be had, or knows no such channel.
    """
    name = channel.removeprefix("+")
    if not name:
        return K3S
    entries = await _entries(channel, url)
    versions = {str(entry.get("name")): entry.get("latest") for entry in entries}
    version = versions.get(name)
    if not version:
        known = ", ".join(sorted(key for key, latest in versions.items() if latest))
        raise ChannelError(channel, f"there is no such channel; there are {known}")
    # A tag may not hold the + of a version.
    return f"{K3S.rpartition(':')[0]}:{str(version).replace('+', '-')}"


async def _entries(channel: str, url: str) -> list[Mapping[str, Any]]:
    import aiohttp  # only for those who ask

    try:
        with anyio.fail_after(SECONDS):
            # trust_env: proxies of the environment, as every other program uses them.
            async with aiohttp.ClientSession(trust_env=True) as session, session.get(url) as answer:
                text = await answer.text()
                if answer.status != 200:
                    raise ChannelError(channel, f"{url} answers {answer.status}")
        found = json.loads(text)["data"]
        return [entry for entry in found if isinstance(entry, dict)]
    except (aiohttp.ClientError, OSError) as error:
        reason = " ".join(str(error).split()) or "no answer in time"
        raise ChannelError(channel, f"cannot ask {url}: {reason}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ChannelError(channel, f"what {url} answers is no list of channels") from error
