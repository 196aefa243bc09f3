"""`__complete WORD…`: what the scripts of `completion` ask at every press of the key.

A line for each candidate, what it is for behind a tab; `:files` and `:yaml` leave it to the shell.
"""

from collections.abc import Sequence

import anyio
from cyclopts import App

from k3dasync import backend
from k3dasync.completion.offer import Offer, offer
from k3dasync.completion.values import Source, without

PATIENCE = 2.0
"""Seconds for an engine's answer; a listing takes 2 ms, and somebody waits at the key."""


def run(app: App, words: Sequence[str]) -> int:
    """Print the candidates for the last word; whatever is wrong, there are just none."""
    from k3dasync.streams import show

    try:
        text = "\n".join(lines(app, words))
        if text:
            show(text)
    except Exception:  # noqa: BLE001 - an error in the middle of what is typed helps nobody
        return 0
    return 0


def lines(app: App, words: Sequence[str]) -> list[str]:
    """Return what is printed; raises what an engine's failure raises."""
    found = offer(app, words)
    current = words[-1] if words else ""
    candidates = [*found.words, *((found.prefix + name, "") for name in _names(found))]
    result = [
        f"{word}\t{' '.join(help.split())}" if help else word
        for word, help in candidates
        if word.startswith(current)
    ]
    if found.source in (Source.FILES, Source.YAML):
        result.append(f":{found.source.name.lower()}")
    return result


def _names(wanted: Offer) -> Sequence[str]:
    """Return the names that an engine knows, if such are wanted."""
    if wanted.source in (None, Source.FILES, Source.YAML) or wanted.runtime != backend.DEFAULT:
        return ()
    return without(anyio.run(_ask, wanted.source), wanted.given)


async def _ask(source: Source) -> Sequence[str]:
    from k3dasync.operations.names import names

    with anyio.fail_after(PATIENCE):
        async with backend.reading(backend.DEFAULT, patience=PATIENCE) as engine:
            found = await names(engine)
    result: dict[Source, Sequence[str]] = {
        Source.CLUSTERS: found.clusters,
        Source.REMAINS: found.remains,
        Source.NODES: found.nodes,
        Source.REGISTRIES: found.registries,
    }
    return result[source]
