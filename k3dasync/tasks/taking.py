"""k3d's load balancer image, which makes nginx's configuration of k3d's file by itself.

A watch of its own tells it that the file has changed; then it renders, checks and loads.
"""

from collections.abc import Callable

import anyio

from k3dasync import nginx, pauses
from k3dasync.errors import NotFound
from k3dasync.runtime import Runtime


async def takes(
    runtime: Runtime, name: str, is_taken: Callable[[bytes], bool], *, seconds: float
) -> bool:
    """Say whether nginx's configuration there is as wanted within that time."""
    with anyio.move_on_after(seconds):
        for pause in pauses.growing():
            try:
                if is_taken(await runtime.read_file(name, nginx.CONFIG_PATH)):
                    return True
            except NotFound:
                pass  # not made yet
            await anyio.sleep(pause)
    return False
