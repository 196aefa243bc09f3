"""What tests of several files share."""

import pytest

virtual_time = pytest.mark.parametrize("anyio_backend", ["trio"], indirect=True)
"""For tests about durations: on trio, where time jumps."""
asyncio_only = pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
"""For tests that touch aiodocker or aiohttp."""
