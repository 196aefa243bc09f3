"""A document without what is wrong in it, so that the rest can be read too. Pure."""

from collections.abc import Iterable
from copy import deepcopy
from typing import Any

from k3dasync.config.places import Path, Places, Violation


def pruned(document: dict[str, Any], wrong: Iterable[Violation]) -> dict[str, Any]:
    """Return a copy without the fields that are wrong.

    A list's entry becomes None, so that the others keep their numbers.
    """
    left = deepcopy(document)
    for one in wrong:
        _cut(left, one.path)
    return left


def _cut(document: Any, path: Path) -> None:
    for part in path[:-1]:
        try:
            document = document[part]
        except (KeyError, IndexError, TypeError):
            return  # it went with what is round it
    if not path:
        return
    if isinstance(document, dict):
        document.pop(path[-1], None)
    elif isinstance(document, list):
        document[int(path[-1])] = None


def besides(
    found: Iterable[Violation], known: Iterable[Violation], places: Places
) -> list[Violation]:
    """Return what does not follow from what is known: a cut field is no absent one."""
    cut = {one.path[:length] for one in known for length in range(len(one.path) + 1)}
    return [one for one in found if places.before(one.path) not in cut]
