"""Which servers an etcd can do without. Pure."""

from collections.abc import Collection, Sequence


def why_not(members: Collection[str], running: Collection[str], leaving: Sequence[str]) -> str:
    """Return why these members cannot leave one after the other; nothing if they can.

    Etcd agrees to a change as long as more than half of its members are there, and to the going of
    one that is there if that holds afterwards, too. The dead go first.
    """
    there, alive = set(members), set(running) & set(members)
    for one in sorted(leaving, key=lambda name: name in alive):
        if not _is_quorum(alive, there):
            return f"its etcd has no quorum: {len(alive)} of {len(there)} servers run"
        there.discard(one)
        alive.discard(one)
        if not _is_quorum(alive, there):
            return f"its etcd would lose its quorum: {len(alive)} of {len(there)} servers would run"
    return ""


def is_lost_without(
    members: Collection[str], running: Collection[str], stopping: Collection[str]
) -> bool:
    """Say whether there is a quorum, and none when these have stopped, which stay members."""
    alive = set(running) & set(members)
    return _is_quorum(alive, members) and not _is_quorum(alive - set(stopping), members)


def _is_quorum(alive: Collection[str], members: Collection[str]) -> bool:
    return 2 * len(alive) > len(members)
