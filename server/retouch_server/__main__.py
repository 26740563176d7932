"""`python -m retouch_server`: one orchestrator, configured by the environment, until SIGTERM."""

import asyncio
import signal
import sys

from retouch_server.app import App
from retouch_server.config import ConfigError, Settings
from retouch_server.masks.database import DatabaseUrlError
from retouch_server.pipeline.policy import PolicyError
from retouch_server.telemetry.logging import set_up_logging


async def serve(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT, then drains."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    app = App(settings)
    starting = asyncio.create_task(app.start())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
    try:
        if starting.done():
            starting.result()
            await stopping
            await app.drain()
        else:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
    finally:
        await app.stop()


def main() -> int:
    """Exit code: 0 after a drain, 2 for a setting that cannot be used, 1 for a port that is taken or a database away."""
    try:
        settings = Settings.from_environment()
        set_up_logging(settings.log_level)
        asyncio.run(serve(settings))
    except (ConfigError, OSError, ValueError) as error:
        print(f"retouch-server: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError | PolicyError | DatabaseUrlError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
