"""How old things are, and when a cluster's time is over: by the engine's clock."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime

from k3dasync.cluster import LABEL_EXPIRES
from k3dasync.runtime import EngineFacts


def now_of(facts: EngineFacts) -> float:
    """Return the time, in seconds since 1970; ours if the engine does not tell its own."""
    return facts.time or time.time()


def expiry(ttl: float | None, facts: EngineFacts) -> str:
    """Return when so many seconds are over, RFC 3339; nothing for None."""
    if not ttl:
        return ""
    moment = datetime.fromtimestamp(now_of(facts) + ttl, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def has_expired(labels: Mapping[str, str], now: float) -> bool:
    """Say whether a node's labels say that the time of its cluster is over."""
    try:
        moment = datetime.fromisoformat(labels.get(LABEL_EXPIRES, ""))
    except ValueError:
        return False
    return moment.timestamp() <= now
