"""Reading a text from left to right, and saying where it stopped making sense."""

import re
from dataclasses import dataclass
from typing import NoReturn

from k3dasync.errors import InvalidSyntax


@dataclass(slots=True)
class Text:
    """A text that is being read; `at` is how much of it has been understood."""

    whole: str
    at: int = 0
    error: type[InvalidSyntax] = InvalidSyntax

    @property
    def rest(self) -> str:
        """What has not been read yet."""
        return self.whole[self.at :]

    @property
    def is_over(self) -> bool:
        """Whether all has been read."""
        return self.at == len(self.whole)

    def take(self, pattern: str) -> str:
        """Read what the pattern matches here and return it, the empty text if it does not."""
        found = re.compile(pattern, re.ASCII).match(self.whole, self.at)
        if found is None:
            return ""
        self.at = found.end()
        return found[0]

    def need(self, pattern: str, expected: str) -> str:
        """Read what the pattern matches here; raises InvalidSyntax if it does not."""
        found = self.take(pattern)
        return found or self.fail(expected)

    def end(self, expected: str) -> None:
        """Raise InvalidSyntax if anything is left."""
        if not self.is_over:
            self.fail(expected)

    def fail(self, expected: str) -> NoReturn:
        """Raise InvalidSyntax for what stands here."""
        raise self.error(self.whole, self.at, expected)
