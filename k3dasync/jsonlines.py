"""JSON documents, one a line, out of the pieces in which a network delivers them. Pure."""

import json
from collections import deque
from collections.abc import AsyncIterator
from typing import Any


class JsonLines:
    """An iterator over the documents of a byte stream; the last line may lack its end.

    Lines may be of any length: a Node object that lists its images is longer than the 64 KiB at
    which readers of lines commonly give up. An object rather than a generator, so that leaving it
    half-read leaves nothing to be closed later.
    """

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._pieces: list[bytes] = []  # of the line that is not complete yet
        self._lines: deque[bytes] = deque()

    def __aiter__(self) -> "JsonLines":
        return self

    async def __anext__(self) -> Any:
        while not self._lines:
            try:
                chunk = await anext(self._chunks)
            except StopAsyncIteration:
                self._feed(b"\n")  # a last line without an end is a line
                if not self._lines:
                    raise
            else:
                self._feed(chunk)
        return json.loads(self._lines.popleft())

    def _feed(self, chunk: bytes) -> None:
        first, *others = chunk.split(b"\n")
        self._pieces.append(first)
        for piece in others:
            line = b"".join(self._pieces).strip()
            self._pieces = [piece]
            if line:
                self._lines.append(line)
