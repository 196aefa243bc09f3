"""Waiting for any change of something that many watch."""

import anyio


class Changed:
    """Wakes everyone who waits, as often as told. What has changed, they see for themselves."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    def tell(self) -> None:
        """Wake everyone who waits now."""
        self._event.set()
        self._event = anyio.Event()

    async def wait(self) -> None:
        """Return at the next `tell`."""
        await self._event.wait()
