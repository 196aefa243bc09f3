"""Which images and archives are meant by what was typed. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from k3dasync.errors import ImageNotFound, SpecError
from k3dasync.runtime import ImageState

STDIN = "-"
SHORTEST_ID = 4
"""Characters of an id that is typed in part: docker takes fewer, and then words are ids."""
_HEX = frozenset("0123456789abcdef")
_PREFIXES = ("docker.io/library/", "docker.io/", "library/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be imported: tags of the engine's images, archives, and perhaps the input.

    `size` is what the images have together, in bytes: about what their archive has.
    """

    tags: tuple[str, ...]
    files: tuple[str, ...]
    stdin: bool
    size: int = 0


def match(
    words: Sequence[str], images: Sequence[ImageState], is_file: Callable[[str], bool]
) -> Asked:
    """Tell files, images and `-` apart; a file wins over an image of its name.

    Raises ImageNotFound with everything that is neither, SpecError for an image that a node could
    not find again, as it has no tag.
    """
    files: list[str] = []
    tags: dict[str, ImageState] = {}
    missing: list[str] = []
    for word in words:
        if word == STDIN:
            continue
        if is_file(word):
            files.append(word)
            continue
        found = find(word, images)
        if found is None:
            missing.append(word)
        else:
            tags[found[0]] = found[1]
    if missing:
        raise ImageNotFound(missing)
    distinct = {image.id: image for image in tags.values()}
    return Asked(
        tags=tuple(tags),
        files=tuple(dict.fromkeys(files)),
        stdin=STDIN in words,
        size=sum(image.size for image in distinct.values()),
    )


def find(word: str, images: Sequence[ImageState]) -> tuple[str, ImageState] | None:
    """Return the tag and image that a name, an id or a digest means, None if there is none.

    Raises SpecError if the id is that of several images, or the image has no tag.
    """
    wanted = {_short(name) for name in _readings(word)}
    for image in images:
        for tag in image.tags:
            if _short(tag) in wanted:
                return tag, image
    for image in images:
        if any(_short(digest) == _short(word) for digest in image.digests):
            return _tag_of(word, image), image
    return _by_id(word, images)


def _readings(word: str) -> tuple[str, ...]:
    """Return the word and, where it has no tag, the word with the one that is meant."""
    if "@" in word or ":" in word.rpartition("/")[2]:
        return (word,)
    return (word, f"{word}:latest")


def _short(name: str) -> str:
    """Return a name without what may be left out of it."""
    prefix = next((one for one in _PREFIXES if name.startswith(one)), "")
    return name.removeprefix(prefix)


def _by_id(word: str, images: Sequence[ImageState]) -> tuple[str, ImageState] | None:
    id = word.removeprefix("sha256:")
    if len(id) < SHORTEST_ID or not set(id) <= _HEX:
        return None
    found = [image for image in images if image.id.removeprefix("sha256:").startswith(id)]
    if len(found) > 1:
        raise SpecError(f"image {word}: {len(found)} images have an id that begins like this")
    return (_tag_of(word, found[0]), found[0]) if found else None


def _tag_of(word: str, image: ImageState) -> str:
    if not image.tags:
        raise SpecError(
            f"image {word} has no tag, so nothing in a node could refer to it; "
            f"tag it first: docker tag {word} NAME:TAG"
        )
    repository = _short(word.partition("@")[0])
    same = (tag for tag in image.tags if _short(tag).rpartition(":")[0] == repository)
    return next(same, image.tags[0])


def is_listed(name: str, listed: frozenset[str]) -> bool:
    """Say whether an image of an archive is among what a node's containerd lists.

    A name without a repository, `:v1`, gets one from ctr: `import-2026-11-22:v1`.
    """
    if name.startswith(":"):
        return any(one.startswith("import-") and one.endswith(name) for one in listed)
    return name in listed
