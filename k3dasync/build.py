"""Building images: what is asked for, and who can be asked. Pure."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

STDIN = "-"
DOCKERFILE = "Dockerfile"
_REMOTE = ("http://", "https://", "git://", "ssh://", "git@", "github.com/")
"""What a context begins with that the engine fetches by itself; docker's own list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """A build as it stands on the command line.

    `context` is a folder, an address or `-`; `file` the path of the Dockerfile, empty for the one
    in the context; `arguments` are `KEY=VALUE`, or `KEY` for the environment's; `further` are
    flags for docker's own command.
    """

    tags: tuple[str, ...]
    context: str = field(default=".", repr=False)  # addresses have passwords
    file: str = ""
    arguments: tuple[str, ...] = field(default=(), repr=False)  # people put secrets there
    target: str = ""
    platform: str = ""
    no_cache: bool = False
    pull: bool = False
    further: tuple[str, ...] = field(default=(), repr=False)  # same

    @property
    def is_remote(self) -> bool:
        """Whether the context is fetched by whoever builds."""
        return self.context.startswith(_REMOTE)

    @property
    def shown(self) -> str:
        """The context for events and messages: an address without what stands before its host."""
        if self.context == STDIN:
            return "standard input"
        scheme, separator, rest = self.context.partition("://")
        host, slash, path = rest.partition("/")
        return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}"

    @property
    def reads_stdin(self) -> bool:
        """Whether standard input is part of it."""
        return STDIN in {self.context, self.file}


class Builder(Protocol):
    """Whoever builds images for the engine."""

    async def build(self, request: BuildRequest) -> None:
        """Build it; what is said meanwhile goes to standard error.

        Raises BuildFailed with the last words; cancelled, the build ends first.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildSpec:
    """A build as an engine is asked for it.

    `dockerfile` is a path in the context, `arguments` with the value None are not set. `remote` is
    an address in place of a context. `bases` are the images it begins with, as far as known: what
    credentials are looked for.
    """

    tags: tuple[str, ...]
    dockerfile: str = DOCKERFILE
    arguments: Mapping[str, str | None] = field(default_factory=dict, repr=False)
    target: str = ""
    platform: str = ""
    no_cache: bool = False
    pull: bool = False
    remote: str = ""
    bases: tuple[str, ...] = ()


class ImageBuilder(Protocol):
    """An engine that builds images by itself."""

    async def build_image(
        self, context: AsyncIterator[bytes] | None, spec: BuildSpec, say: Callable[[str], None]
    ) -> None:
        """Build an image from a context, a tar; *say* gets what the engine tells meanwhile.

        The context is None for a remote one. Raises BuildFailed with the engine's words, and
        whatever the context raises. Cancelled, the build ends, and its tags are as they were.
        """


def arguments_of(words: tuple[str, ...], environ: Mapping[str, str]) -> dict[str, str | None]:
    """Return build arguments by name; one without a value has the environment's, if any."""
    found: dict[str, str | None] = {}
    for word in words:
        key, equals, value = word.partition("=")
        found[key] = value if equals else environ.get(key)
    return found
