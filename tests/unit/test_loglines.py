"""Lines out of the frames of an engine's answer."""

import random

import pytest

from k3dasync.loglines import LONGEST, Frames, LogBroken, LogLine, nanoseconds, stamp

STAMP = "2026-01-02T03:04:05.000000006Z"
AT = 1767323045_000000006


def frame(text: str, *, stream: int = 1, at: str = STAMP) -> bytes:
    payload = f"{at} {text}".encode()
    return bytes([stream, 0, 0, 0]) + len(payload).to_bytes(4, "big") + payload


def lines(*pieces: bytes) -> list[LogLine]:
    frames = Frames()
    found = [line for piece in pieces for line in frames.feed(piece)]
    return [*found, *frames.end()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (STAMP, AT),
        ("2026-01-02T03:04:05Z", 1767323045_000000000),
        ("2026-01-02T05:04:05.5+02:00", 1767323045_500000000),
        ("2026-13-02T03:04:05Z", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_times(text: str, expected: int | None) -> None:
    """To the nanosecond, in any zone; what is none is none."""
    assert expected == nanoseconds(text)


def test_a_time_is_written_as_it_was_read() -> None:
    """So that what is shown can be given back."""
    assert STAMP == stamp(AT)


def test_both_streams_are_lines_in_order() -> None:
    """Whichever stream they were written to."""
    found = lines(frame("one\n") + frame("two\r\n", stream=2), frame("\n"))

    assert ["one", "two", ""] == [line.text for line in found]
    assert {AT} == {line.at for line in found}


def test_pieces_may_end_anywhere() -> None:
    """In a header, in a time, in a letter."""
    whole = b"".join(frame(f"line {number} \u00e9\n") for number in range(50))
    cuts = sorted(random.Random(1).sample(range(len(whole)), 40))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]

    assert [f"line {number} \u00e9" for number in range(50)] == [one.text for one in lines(*pieces)]


def test_a_long_line_comes_in_several_frames() -> None:
    """Each with a time, of which the first is the line's; the other stream may come between."""
    later = "2026-01-02T03:04:06Z"
    found = lines(
        frame("a" * 16384), frame("other\n", stream=2), frame("b\n", at=later), frame("no end")
    )

    assert ["other", "a" * 16384 + "b", "no end"] == [line.text for line in found]
    assert AT == found[1].at


def test_a_line_without_an_end_does_not_fill_the_memory() -> None:
    """It is cut."""
    frames = Frames()
    found = [line for _ in range(200) for line in frames.feed(frame("x" * 16384))]

    assert all(len(line.text) < 2 * LONGEST for line in found)
    assert len(found) > 1


def test_a_terminal_has_no_frames() -> None:
    """Only text, in which a return is no end of a line."""
    found = lines(f"{STAMP} on".encode(), f"e\r\n{STAMP} 10%\r20%\n{STAMP} rest".encode())

    assert ["one", "10%\r20%", "rest"] == [line.text for line in found]


def test_a_line_without_a_time_has_the_last_ones() -> None:
    """Engines write it; if one does not, nothing is lost."""
    found = lines(frame("a\n") + bytes([1, 0, 0, 0, 0, 0, 0, 2]) + b"b\n")

    assert [LogLine(AT, "a"), LogLine(AT, "b")] == found


def test_trouble_of_the_engine_is_no_line() -> None:
    """It has a stream of its own."""
    with pytest.raises(LogBroken, match="Error grabbing logs: EOF"):
        lines(bytes([3, 0, 0, 0, 0, 0, 0, 24]) + b"Error grabbing logs: EOF")
