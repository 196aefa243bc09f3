"""JSON documents out of pieces of a stream."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k3dasync.jsonlines import JsonLines


async def documents(*chunks: bytes) -> list[Any]:
    async def deliver() -> AsyncGenerator[bytes, None]:
        for chunk in chunks:
            yield chunk

    async with aclosing(deliver()) as stream:
        return [document async for document in JsonLines(stream)]


async def test_documents_however_they_are_cut() -> None:
    """In pieces, several at once, with either line end, with empty lines, without a last end."""
    found = await documents(b'{"a":', b'1}\r\n{"b":2}\n', b"\n\n[", b"3", b"]")

    assert [{"a": 1}, {"b": 2}, [3]] == found


async def test_a_line_longer_than_any_buffer() -> None:
    """A Node that lists its images takes more than 64 KiB."""
    long = b'"' + b"x" * 3_000_000 + b'"'

    (found,) = await documents(*(long[at : at + 1000] for at in range(0, len(long), 1000)))

    assert 3_000_000 == len(found)


async def test_nothing_but_an_end() -> None:
    """No document."""
    assert [] == await documents()


async def test_a_line_that_is_no_json() -> None:
    """It is not passed over."""
    with pytest.raises(ValueError, match="Expecting"):
        await documents(b"{\n")


@given(st.lists(st.integers(0, 200)), st.data())
def test_cuts_do_not_matter(numbers: list[int], data: st.DataObject) -> None:
    """The same documents come out of any division of the same bytes."""
    whole = b"".join(b"%d\n" % number for number in numbers)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)))))
    lines = JsonLines(iter([]))  # type: ignore[arg-type]
    for begin, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        lines._feed(whole[begin:end])

    assert numbers == [int(line) for line in lines._lines]
