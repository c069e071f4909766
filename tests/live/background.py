"""A loop in a thread, so that ordinary test code can call coroutines."""

import asyncio
import threading
import time
from typing import Any, Awaitable, Callable, Coroutine

PAUSE_SECONDS = 0.3


class Background:
    """Runs from `start` to `close`; `ask` is the way in."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def start(self) -> None:
        self.thread.start()

    def ask(self, coroutine: Coroutine[Any, Any, Any], seconds: float = 60) -> Any:
        """Runs a coroutine to its end within `seconds`."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        try:
            return future.result(seconds)
        except TimeoutError:
            future.cancel()
            raise

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)


async def until(condition: Callable[[], Awaitable[Any]], what: str, seconds: float = 30) -> Any:
    """The first true answer of `condition`; an `AssertionError` with the last answer where there is none."""
    end = time.monotonic() + seconds
    while True:
        answer = await condition()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s for {what}; the last answer is {answer!r}")
        await asyncio.sleep(PAUSE_SECONDS)
