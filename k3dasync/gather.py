"""Asking for several things at once."""

from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

import anyio

ResultT = TypeVar("ResultT")


async def gather(
    calls: Iterable[Callable[[], Coroutine[Any, Any, ResultT]]], *, at_once: int | None = None
) -> list[ResultT]:
    """Return what the calls return, in their order; at most *at_once* of them run at a time.

    If one raises, the others are cancelled and, when none of them runs any more, its error is
    raised as it is: one cause, not a group.
    """
    slots = anyio.CapacityLimiter(at_once or float("inf"))
    results: dict[int, ResultT] = {}
    failures: list[Exception] = []

    async def run(number: int, call: Callable[[], Coroutine[Any, Any, ResultT]]) -> None:
        try:
            async with slots:
                results[number] = await call()
        except Exception as error:  # noqa: BLE001 - raised below
            failures.append(error)
            group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        for number, call in enumerate(calls):
            group.start_soon(run, number, call)
    if failures:
        raise failures[0]
    return [results[number] for number in sorted(results)]
