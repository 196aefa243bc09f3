"""`completion`, and the hidden command by which shells ask what may stand next."""

from collections.abc import Sequence
from typing import Literal

from cyclopts import App

Shell = Literal["bash", "zsh", "fish"]
SECONDS = 2.0
"""For an engine that hangs: whoever presses a key does not wait longer than that."""


def completion(shell: Shell, /) -> None:
    """Print what makes a shell complete command lines of k3dasync; how to use it stands in it."""
    from k3dasync.completion.shells import SCRIPTS
    from k3dasync.streams import show

    show(SCRIPTS[shell].removesuffix("\n"))


def complete(app: App, arguments: Sequence[str]) -> int:
    """Print a line for each word that may stand next: the word, a tab, what it is.

    *arguments* are the shell's name and the words behind `k3dasync`, the last one unfinished.
    Never tells of an error: a prompt is no place for it.
    """
    import contextlib

    from k3dasync.completion.candidates import candidates

    shell, words = (arguments[0], list(arguments[1:])) if arguments else ("", [])
    cut = ""
    if shell == "bash":
        words, cut = _joined(words)
    with contextlib.suppress(Exception):
        for one in candidates(app, words, names_of):
            print(f"{one.word.removeprefix(cut)}\t{one.about}")  # noqa: T201 - read by a shell
    return 0


def _joined(words: Sequence[str]) -> tuple[list[str], str]:
    """Undo what bash does to `--flag=value`, three words to it; return what it does not replace."""
    result: list[str] = []
    cut = ""
    for index, word in enumerate(words):
        is_behind = index > 0 and words[index - 1] == "=" and len(result) > 0
        if word == "=" and result and result[-1].startswith("--"):
            result[-1] += "="
            cut = result[-1]
        elif is_behind and result[-1].endswith("="):
            result[-1] += word
        else:
            result.append(word)
            cut = ""
    return result, cut


def names_of(kind: str) -> list[str]:
    """Return the names of what of a kind a local engine has."""
    import anyio

    from k3dasync import backend
    from k3dasync.cluster import APP, LABEL_CLUSTER, LABEL_ROLE, Role
    from k3dasync.operations import listing

    found: list[str] = []

    async def ask() -> None:
        with anyio.move_on_after(SECONDS):
            async with backend.reading(backend.DEFAULT, patience=SECONDS) as engine:
                if kind == "cluster":
                    found.extend(one.name for one in await listing.list_clusters(engine))
                    return
                if kind in {"volume", "network"}:
                    ask_for = engine.volumes if kind == "volume" else engine.networks
                    parts = await ask_for(APP)
                    # A cluster's own go with it.
                    found.extend(one.name for one in parts if LABEL_CLUSTER not in one.labels)
                    return
                nodes = await listing.list_nodes(engine)
                is_meant = {kind, *(Role if kind == "node" else ())}
                found.extend(one.name for one in nodes if one.labels.get(LABEL_ROLE) in is_meant)

    anyio.run(ask)
    return found
