r"""Values with filters: `VALUE[@FILTER[;FILTER…]…]`, as flags have them.

`\@` stands for an `@` that belongs to the value, `\\` before an `@` for a backslash that does.
Several filters are joined by `;`, or by `@` as before k3d's version 5.
"""

import re
from dataclasses import dataclass, field

from k3dasync.errors import InvalidFilter
from k3dasync.grammar import filters
from k3dasync.grammar.filters import NodeFilter


@dataclass(frozen=True, slots=True)
class Filtered:
    """A value, and the nodes it is for; without filters whoever uses it decides.

    `origin`: where it was written, `--port` or `ports[0]`.
    """

    value: str
    filters: tuple[NodeFilter, ...] = ()
    origin: str = field(default="", compare=False)

    def __str__(self) -> str:
        value = re.sub(r"(\\*)@", lambda found: f"{2 * found[1]}\\@", self.value)
        value = re.sub(r"\\+\Z", lambda found: 2 * found[0], value) if self.filters else value
        return value + (f"@{';'.join(map(str, self.filters))}" if self.filters else "")


def parse(text: str) -> Filtered:
    """Read one value of a flag. Raises InvalidFilter if a filter is none."""
    value, start = _split(text)
    if start == len(text):
        return Filtered(value)  # `VALUE@` is k3d's way to say: no filter
    found = []
    for word in re.split("[@;]", text[start:]):
        found.append(_filter(text, word, start))
        start += len(word) + 1
    return Filtered(value, tuple(found))


def _filter(text: str, word: str, start: int) -> NodeFilter:
    try:
        return filters.parse(word)
    except InvalidFilter as error:
        raise InvalidFilter(text, start + error.at, error.expected) from None


def _split(text: str) -> tuple[str, int]:
    r"""Return the value without its escapes, and where the filters begin."""
    value = ""
    position = 0
    for found in re.finditer(r"(\\*)@", text):
        value += text[position : found.start()] + found[1][: len(found[1]) // 2]
        position = found.end()
        if len(found[1]) % 2 == 0:
            return value, position
        value += "@"
    return value + text[position:], len(text)
