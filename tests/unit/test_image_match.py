"""What is meant by the words of an import."""

import pytest

from k3dasync.errors import ImageNotFound, SpecError
from k3dasync.image_match import find, is_listed, match
from k3dasync.runtime import ImageState

APP = ImageState(
    id="sha256:abc1230000", tags=("app:latest", "app:1"), digests=("app@sha256:77",), size=5
)
OURS = ImageState(id="sha256:abc4560000", tags=("r.example:5000/us/app:2",), size=7)
BARE = ImageState(id="sha256:def0000000", tags=(), digests=("u/bare@sha256:88",), size=9)
LIBRARY = ImageState(id="sha256:fff0000000", tags=("docker.io/library/old:1",))
IMAGES = (APP, OURS, BARE, LIBRARY)


@pytest.mark.parametrize(
    ("word", "tag"),
    [
        ("app", "app:latest"),
        ("app:1", "app:1"),
        ("docker.io/library/app:1", "app:1"),
        ("docker.io/app", "app:latest"),
        ("library/app:1", "app:1"),
        ("old:1", "docker.io/library/old:1"),
        ("r.example:5000/us/app:2", "r.example:5000/us/app:2"),
        ("abc123", "app:latest"),
        ("sha256:abc1230000", "app:latest"),
        ("app@sha256:77", "app:latest"),
        ("docker.io/library/app@sha256:77", "app:latest"),
    ],
)
def test_names_ids_and_digests_find_an_image(word: str, tag: str) -> None:
    """Each of the ways in which people name an image leads to a tag of it."""
    found = find(word, IMAGES)

    assert found is not None
    assert tag == found[0]


@pytest.mark.parametrize("word", ["app:3", "us/app:2", "r.example:5000/us/app", "abc", "zzzz", ""])
def test_what_is_none(word: str) -> None:
    """Another tag, another registry, too short an id."""
    assert find(word, IMAGES) is None


def test_what_cannot_be_used() -> None:
    """An id that is not unique, and an image without a tag, by id and by digest."""
    with pytest.raises(SpecError, match="2 images"):
        find("abc1", (APP, ImageState(id="sha256:abc1999", tags=("x:1",))))
    for word in ("def0", "u/bare@sha256:88"):
        with pytest.raises(SpecError, match=f"image {word} has no tag"):
            find(word, IMAGES)


def test_files_win_and_everything_missing_is_named() -> None:
    """A file of an image's name is the file; each image counts once."""
    asked = match(["app", "a.tar", "abc123", "-", "a.tar", "app:1"], IMAGES, "a.tar".__eq__)
    assert (("app:latest", "app:1"), ("a.tar",), True, 5) == (
        asked.tags,
        asked.files,
        asked.stdin,
        asked.size,
    )
    assert ("app",) == match(["app"], IMAGES, "app".__eq__).files

    with pytest.raises(ImageNotFound, match="none, nor:this"):
        match(["app", "none", "nor:this"], IMAGES, lambda _: False)


def test_a_tag_alone_is_found_under_the_name_that_ctr_makes_up() -> None:
    """Ctr puts the day before it."""
    listed = frozenset({"import-2026-11-22:v1", "docker.io/library/app:1"})

    assert is_listed(":v1", listed)
    assert not is_listed(":1", listed)
    assert is_listed("docker.io/library/app:1", listed)
