"""Which servers an etcd can do without. Pure."""

from collections.abc import Collection, Sequence


def why_not(members: Collection[str], running: Collection[str], leaving: Sequence[str]) -> str:
    """Return why these members cannot leave one after the other; nothing if they can.

    Etcd agrees to a change as long as more than half of its members are there, and to the going of
    one that is there if that holds afterwards, too. The dead go first.
    """
    there, alive = set(members), set(running) & set(members)
    for one in sorted(leaving, key=lambda name: name in alive):
        if 2 * len(alive) <= len(there):
            return f"its etcd has no quorum: {len(alive)} of {len(there)} servers run"
        there.discard(one)
        alive.discard(one)
        if 2 * len(alive) <= len(there):
            return f"its etcd would lose its quorum: {len(alive)} of {len(there)} servers would run"
    return ""
