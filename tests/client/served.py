"""A fake service in a thread of its own, as a blocking program meets it."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator

from retouch.testing import FakeServer


@contextlib.contextmanager
def served_in_thread() -> Iterator[FakeServer]:
    """Serves until the block ends; raises there what the fake raises, such as faults left over."""
    ready, loop, stop, fake = threading.Event(), asyncio.new_event_loop(), asyncio.Event(), FakeServer()
    errors: list[BaseException] = []

    async def serve() -> None:
        async with fake:
            ready.set()
            await stop.wait()

    def run() -> None:
        try:
            loop.run_until_complete(serve())
        except BaseException as error:
            errors.append(error)
        finally:
            loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    ready.wait()
    try:
        yield fake
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
    if errors:
        raise errors[0]
