"""A fake service in a thread of its own, as a blocking program meets it."""

import asyncio
import contextlib
import threading
from collections.abc import Generator

from retouch.testing import FakeServer


@contextlib.contextmanager
def served_in_thread() -> Generator[FakeServer]:
    """Serves until the block ends; raises there what the fake raises, such as faults left over."""
    ready, stop, runner, fake = threading.Event(), asyncio.Event(), asyncio.Runner(), FakeServer()
    loop = runner.get_loop()
    errors: list[BaseException] = []

    async def serve() -> None:
        async with fake:
            ready.set()
            await stop.wait()
        # Calls that the stopped server still owes their end, such as a Watch: a task that is destroyed while it waits complains
        # wherever it is found, in the middle of another test.
        owed = asyncio.all_tasks() - {asyncio.current_task()}
        if owed:
            await asyncio.wait(owed, timeout=5)

    def run() -> None:
        try:
            with runner:
                runner.run(serve())
        except BaseException as error:
            errors.append(error)

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
