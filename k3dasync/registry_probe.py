"""Whether a registry answers where it is published: the first question of its own API."""

from collections.abc import Awaitable, Callable

RegistryAnswers = Callable[[str, int], Awaitable[bool]]
"""Asked with host and port; never raises."""

SECONDS = 5.0
"""For one small answer: a registry that is up gives it in milliseconds."""
_LONGEST_LINE = 200
"""Of an answer, enough for the line with its status."""


async def answers(host: str, port: int) -> bool:
    """Say whether a registry answers: at `/v2/`, as the distribution specification has it.

    A refusal, such as of who has no password, is an answer; a server's error is none.
    """
    import anyio

    name = f"[{host}]" if ":" in host else host
    request = f"GET /v2/ HTTP/1.0\r\nHost: {name}:{port}\r\nUser-Agent: k3dasync\r\n\r\n"
    try:
        with anyio.fail_after(SECONDS):
            async with await anyio.connect_tcp(host, port) as stream:
                await stream.send(request.encode())
                return _is_answer(await stream.receive(_LONGEST_LINE))
    except (OSError, TimeoutError, anyio.EndOfStream, anyio.BrokenResourceError):
        return False


def _is_answer(begin: bytes) -> bool:
    version, _, rest = begin.partition(b" ")
    code = rest[:3]
    return version.startswith(b"HTTP/") and code.isdigit() and 200 <= int(code) < 500
