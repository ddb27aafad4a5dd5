"""Wait for what must come, with a deadline and never longer than it takes."""

import asyncio
from collections.abc import Awaitable, Callable

LOOK_EVERY_S = 0.01


async def eventually(
    holds: Callable[[], bool | Awaitable[bool]], *, within_s: float = 30.0
) -> None:
    """
    Return once ``holds()`` is true.

    Raises:
        TimeoutError: it was not true within ``within_s`` seconds.
    """
    async with asyncio.timeout(within_s):
        while True:
            held = holds()
            if held if isinstance(held, bool) else await held:
                return
            await asyncio.sleep(LOOK_EVERY_S)
