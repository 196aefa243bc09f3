"""What an engine says while it pulls an image, and when it cannot. Pure."""

from collections.abc import Sequence

from k3dasync.docker.translate import Json, one_line
from k3dasync.errors import ImageUnavailable


class PullTally:
    """Adds up the layers of one pull. Only bytes that are fetched count, not their unpacking."""

    def __init__(self) -> None:
        self._done: dict[str, int] = {}
        self._total: dict[str, int | None] = {}

    def feed(self, message: Json) -> tuple[int, int | None]:
        """Take in one message of the stream and return bytes done and in all, if all are known."""
        layer, status = str(message.get("id", "")), str(message.get("status", ""))
        detail = message.get("progressDetail") or {}
        if status in {"Pulling fs layer", "Waiting"}:
            self._total.setdefault(layer, None)
        elif status == "Downloading" and detail.get("total"):
            self._total[layer] = int(detail["total"])
            self._done[layer] = int(detail.get("current", 0))
        elif status in {"Verifying Checksum", "Download complete", "Pull complete"}:
            # A layer that came in one piece never had its size told.
            size = self._total.get(layer) or self._done.get(layer, 0)
            self._total[layer] = self._done[layer] = size
        sizes = list(self._total.values())
        done = sum(self._done.values())
        known = [size for size in sizes if size is not None]
        return done, sum(known) if known and len(known) == len(sizes) else None


_PULL_HINTS: Sequence[tuple[tuple[str, ...], str]] = (
    (("toomanyrequests", "rate limit"), "log in with docker login, or load the image: docker load"),
    (
        ("unauthorized", "authentication required", "no basic auth", "denied", "forbidden"),
        "check the name, or log in with docker login",
    ),
    (("manifest unknown", "not found", "manifest for"), "check the image's name and tag"),
    (
        ("no such host", "timeout", "refused", "unreachable", "proxy", "x509", "dial tcp"),
        "check the engine's way to the registry (network, proxy, certificates)",
    ),
)


def pull_error(image: str, words: str, status: int = 0) -> ImageUnavailable:
    """Return the error for a pull that failed, with what to do about it."""
    text = one_line(words)
    lower = text.lower()
    hints = (hint for needles, hint in _PULL_HINTS if any(needle in lower for needle in needles))
    hint = next(hints, "")
    return ImageUnavailable("pull", f"image {image}", text, hint=hint, status=status)
