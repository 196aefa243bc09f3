"""Texts that go to strangers, without secrets: those that are known, and whatever looks like one.

Pure. Rather one word too many is masked than one too few.
"""

import base64
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote

from k3dasync import masks
from k3dasync.masks import MASK

SHORTEST = 4
"""Letters of a secret that is looked for in its other spellings, or inside of an address: what is
shorter occurs in every text by chance."""
_BEGIN, _END = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY"), re.compile(r"-----END [A-Z ]*PRIVATE")
_PATTERNS = (
    # k3s's tokens: the authority's hash, a user, the secret.
    (re.compile(r"\bK10[0-9a-f]{8,}::[^\s\"'\\]+"), f"K10{MASK}"),
    # A private key on one line, as JSON has it.
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----"), MASK),
    # Tokens of service accounts, and what HTTP is told of who asks.
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}"), MASK),
    (re.compile(r"\b(Bearer|Basic) +[\w.~+/=-]{8,}", re.IGNORECASE), rf"\1 {MASK}"),
    (
        re.compile(
            r"((?:^|[^\w])[\w.-]*(?:client-key-data|password|passwd|token|secret|secret[_-]key"
            r"|access[_-]key|api[_-]?key)[\"']?\s*[:=]\s*[\"']?)(?!\s)[^\s\"',;&}\]]+",
            re.IGNORECASE,
        ),
        rf"\1{MASK}",
    ),
)
_PASSWORD = re.compile(r"://[^\s:/?#@]*:([^\s@]+)@")


class Scrubber:
    """Takes the secrets out of a text, line by line: a private key can be many of them."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._hide = masks.hiding(dict.fromkeys(_spellings(secrets)))
        self._is_in_key = False

    def line(self, text: str) -> str:
        """Return the next line of a text."""
        if self._is_in_key:
            self._is_in_key = _END.search(text) is None
            return MASK
        found = _BEGIN.search(text)
        if found is not None and _END.search(text, found.end()) is None:
            self._is_in_key = True
            return text[: found.start()] + MASK
        shown = masks.address(self._hide(text))
        for pattern, mask in _PATTERNS:
            shown = pattern.sub(mask, shown)
        return shown

    def text(self, text: str) -> str:
        """Return a whole text."""
        shown = "\n".join(self.line(line) for line in text.split("\n"))
        self._is_in_key = False
        return shown


def passwords_in(texts: Iterable[str]) -> Iterator[str]:
    """Yield the passwords of the addresses in texts."""
    for text in texts:
        yield from (found for found in _PASSWORD.findall(text) if len(found) >= SHORTEST)


def _spellings(secrets: Iterable[str]) -> Iterator[str]:
    """Yield secrets as they are, and as they are written in other places."""
    for secret in secrets:
        yield secret
        if len(secret) < SHORTEST:
            continue
        yield quote(secret, safe="")
        yield base64.b64encode(secret.encode()).decode().rstrip("=")
