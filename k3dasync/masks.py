"""What is shown in place of secrets. Pure.

A secret is known by the name that it is given, or by its place in an address.
"""

import re
from collections.abc import Callable, Collection, Iterable, Sequence

MASK = "***"

TOKENS = frozenset({"K3S_TOKEN", "K3S_AGENT_TOKEN", "--token", "-t", "--agent-token"})
"""Names under which k3s is given the secrets that nodes join with; `list --token` shows them."""

_NAMES = re.compile(
    r"(^|[_-])(token|password|passwd|secret|secret[_-]key|access[_-]key|api[_-]?key|private[_-]key"
    r"|vpn[_-]auth|datastore[_-]endpoint)$",
    re.IGNORECASE,
)
# Greedy up to the last `@`: a password may hold one although it ought to be escaped.
_IN_ADDRESS = re.compile(r"(?<=://)([^\s:/?#]*):\S*@|([?&]password=)[^&\s]*", re.IGNORECASE)


def is_secret(name: str) -> bool:
    """Say whether what goes by that name, a variable's or a flag's, is a secret."""
    return name in TOKENS or _NAMES.search(name) is not None


def address(text: str) -> str:
    """Return *text* with the passwords of the addresses in it masked."""
    return _IN_ADDRESS.sub(
        lambda found: f"{found[2]}{MASK}" if found[2] else f"{found[1]}:{MASK}@", text
    )


def variable(entry: str, *, shown: Collection[str] = ()) -> str:
    """Return a container's variable, `KEY=VALUE`, masked unless its key is among *shown*."""
    key, equals, value = entry.partition("=")
    if key in shown:
        return entry
    return f"{key}{equals}{MASK if value and is_secret(key) else address(value)}"


def command(words: Sequence[str], *, shown: Collection[str] = ()) -> list[str]:
    """Return a command with the values of its secret flags masked, but for those *shown*."""
    masked: list[str] = []
    flag = ""
    for word in words:
        if flag and not word.startswith("-"):
            masked.append(MASK)
            flag = ""
            continue
        name, equals, value = word.partition("=")
        is_masked = name.startswith("-") and name not in shown and is_secret(name)
        masked.append(f"{name}={MASK}" if is_masked and value else address(word))
        flag = name if is_masked and not equals else ""
    return masked


def hiding(secrets: Iterable[str]) -> Callable[[str], str]:
    """Return what replaces these texts in a line, wherever they stand in it."""
    # The longest first: one may be a part of another.
    known = sorted(filter(None, secrets), key=len, reverse=True)

    def hide(line: str) -> str:
        for secret in known:
            line = line.replace(secret, MASK)
        return line

    return hide
