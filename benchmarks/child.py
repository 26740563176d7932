"""Processes beside the benchmark: started ready to serve, and gone when it is gone, however it ends.

`python -m benchmarks.child MODULE ARGUMENT...` runs a module as a program that gets SIGTERM when its parent dies.
"""

import asyncio
import contextlib
import ctypes
import os
import runpy
import signal
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_STOP_S = 15.0


class ChildError(Exception):
    """A process ended, or did not serve in time; the message has the end of its log."""


@contextlib.asynccontextmanager
async def child(
    module: str,
    arguments: list[str],
    log: Path,
    *,
    environment: Mapping[str, str] | None = None,
    is_ready: Callable[[], Awaitable[bool]],
    start_s: float = 60.0,
) -> AsyncGenerator[int]:
    """`python -m module`; the process id, once `is_ready` says so. Ended and awaited on the way out. Errors: ChildError."""
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "benchmarks.child",
            module,
            *arguments,
            stdout=output,
            stderr=output,
            env={**os.environ, **(environment or {})},
        )
    try:
        await await_ready(process, is_ready, start_s, f"python -m {module}", log)
        yield process.pid
    finally:
        await end(process)


async def await_ready(
    process: asyncio.subprocess.Process, is_ready: Callable[[], Awaitable[bool]], start_s: float, what: str, log: Path
) -> None:
    """Returns once `is_ready` says so. Errors: ChildError; the process is left as it is."""
    until = asyncio.get_running_loop().time() + start_s
    while not await is_ready():
        if process.returncode is not None:
            raise ChildError(f"{what} ended with status {process.returncode}:\n{_tail(log)}")
        if asyncio.get_running_loop().time() > until:
            raise ChildError(f"{what} did not serve within {start_s:g} s:\n{_tail(log)}")
        await asyncio.sleep(0.05)


async def end(process: asyncio.subprocess.Process) -> None:
    """Asks the process to leave, ends it where it does not, and returns when it is gone."""
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(_STOP_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-20:])


def main() -> None:
    """Runs the module named on the command line."""
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died in between
        sys.exit(1)
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
