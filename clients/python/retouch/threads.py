"""Blocking work beside the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """`function(…)` in a thread of the loop's executor. When cancelled, waits until the thread is out of it."""
    return await in_executor(None, lambda: function(*arguments, **named))


async def in_executor(
    executor: Executor | None, function: Callable[[], T], *, on_cancel: Callable[[], None] | None = None
) -> T:
    """`function()` in `executor`. When cancelled, calls `on_cancel` and waits until the thread is out: what it uses may go."""
    future = asyncio.get_running_loop().run_in_executor(executor, function)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        if on_cancel is not None:
            on_cancel()
        await asyncio.wait([future])
        if not future.cancelled():
            future.exception()  # the cancellation wins; asked for so that it does not count as never retrieved
        raise
