"""What of a cluster must not be shown to anybody: read from its containers. Pure."""

from collections.abc import Iterable, Iterator

from k3dasync import masks
from k3dasync.cluster import LABEL_TOKEN
from k3dasync.runtime import ContainerDetail

DATASTORE = "K3S_DATASTORE_ENDPOINT"


def secrets_of(details: Iterable[ContainerDetail], token: str = "") -> tuple[str, ...]:
    """Return the secrets that containers were given, each once: tokens, passwords, endpoints."""
    return tuple(dict.fromkeys(filter(None, (token, *_given(details)))))


def _given(details: Iterable[ContainerDetail]) -> Iterator[str]:
    for found in details:
        yield found.state.labels.get(LABEL_TOKEN, "")
        for entry in found.env:
            key, _, value = entry.partition("=")
            if masks.is_secret(key) or key == DATASTORE:
                yield value
        yield from _of_command((*found.entrypoint, *found.command))


def _of_command(words: Iterable[str]) -> Iterator[str]:
    """Yield what secret flags are given, behind an equals sign or as the next word."""
    flag = ""
    for word in words:
        name, equals, value = word.partition("=")
        if flag and not word.startswith("-"):
            yield word
        elif equals and name.startswith("-") and masks.is_secret(name):
            yield value
        flag = name if name.startswith("-") and masks.is_secret(name) and not equals else ""
