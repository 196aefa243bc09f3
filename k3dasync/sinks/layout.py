"""Which rows of which boards find room on a screen. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from k3dasync.sinks.board import Board, Row

LEAST_LINES = 3
"""Of one board among several, besides its title: two rows, and how many more there are. A board
that gets fewer is folded to its title, so that all of many boards look alike."""
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Part:
    """What is shown of one board: its title, rows, and how many more there are unless folded."""

    board: Board
    rows: Sequence[Row]
    hidden: int = 0
    is_folded: bool = False

    @property
    def height(self) -> int:
        """How many lines it takes."""
        return 1 + len(self.rows) + (self.hidden > 0 and not self.is_folded)


@dataclass(frozen=True, slots=True)
class Layout:
    """What is shown of all boards, and how many not even with their titles."""

    parts: Sequence[Part]
    hidden: int = 0

    @property
    def height(self) -> int:
        """How many lines it takes."""
        return sum(part.height for part in self.parts) + (self.hidden > 0)


def arrange(boards: Sequence[Board], height: int) -> Layout:
    """Share *height* lines among boards; the layout is never higher, if that is at least one.

    Every board has its title line; what has ended is no more than that, and makes room first.
    """
    shown = list(boards)
    if len(boards) > height:
        keep = max(height - 1, 0)
        shown = _first(boards, [bool(board.ended) for board in boards], keep)
    hidden = len(boards) - len(shown)
    rows = [[] if board.ended else list(board.rows.values()) for board in shown]
    room = height - len(shown) - (hidden > 0)
    given = share([len(one) for one in rows], room)
    least = 1 if len(boards) == 1 else LEAST_LINES
    parts = [_part(*one, least) for one in zip(shown, rows, given, strict=True)]
    return Layout(parts, hidden)


def share(wanted: Sequence[int], room: int) -> list[int]:
    """Return how much of *room* each gets: what it wants, or else as much as any other."""
    given = [0] * len(wanted)
    for place, index in enumerate(sorted(range(len(wanted)), key=wanted.__getitem__)):
        given[index] = min(wanted[index], max(room, 0) // (len(wanted) - place))
        room -= given[index]
    return given


def _part(board: Board, rows: list[Row], lines: int, least: int) -> Part:
    if len(rows) <= lines:
        return Part(board, rows)
    if lines < least:
        return Part(board, (), len(rows), is_folded=True)
    shown = _first(rows, [_rank(board, row) for row in rows], lines - 1)
    return Part(board, shown, len(rows) - len(shown))


def _rank(board: Board, row: Row) -> int:
    """Return how soon a row makes room: what is finished first, then what only waits."""
    if not board.is_open(row):
        return 2
    return 0 if row.is_active() else 1


def _first(all: Sequence[_T], ranks: Sequence[int], keep: int) -> list[_T]:
    """Return the *keep* members of lowest rank, in the order they have."""
    best = sorted(range(len(all)), key=ranks.__getitem__)[:keep]
    return [all[index] for index in sorted(best)]
