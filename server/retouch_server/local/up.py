"""A whole service on this machine: Triton under supervision, and an orchestrator in front of it."""

import asyncio
import fcntl
import os
import signal
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from retouch_server.app import App
from retouch_server.config import ConfigError, Settings
from retouch_server.local.control import ModelLoadError
from retouch_server.local.launch import LocalTritonError, LocalTritonSettings
from retouch_server.local.repository import IMPORTED, RepositoryError, assemble, default_source
from retouch_server.local.runtime import MissingError
from retouch_server.local.triton import LocalTriton
from retouch_server.pipeline.policy import PolicyError

FAILURES = (MissingError, RepositoryError, ModelLoadError, LocalTritonError, ConfigError, PolicyError, OSError)
"""What can keep a local service from starting; each says what to do."""


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """Where a local service listens and keeps its state. Port 0: a free one. No model_repositories: the product's.

    Served beside them: what `retouch models import` put into the state.
    """

    host: str = "127.0.0.1"
    port: int = 0
    metrics_port: int = 0
    state_dir: Path = Path("var")
    model_repositories: tuple[Path, ...] = ()
    server: Mapping[str, object] = field(default_factory=dict[str, object])
    """Further fields of the orchestrator's Settings."""


@dataclass(frozen=True, slots=True)
class LocalService:
    """A service that runs."""

    app: App
    triton: LocalTriton

    @property
    def target(self) -> str:
        """host:port for clients."""
        return f"{self.app.settings.host}:{self.app.port}"

    @property
    def urls(self) -> dict[str, str]:
        """What serves where, by name."""
        return {
            "grpc": self.target,
            "metrics": f"http://{self.app.settings.host}:{self.app.metrics_port}/metrics",
            "ready": f"http://{self.app.settings.host}:{self.app.metrics_port}/readyz",
            "triton": self.triton.http_url,
            "triton metrics": self.triton.metrics_url,
            "triton log": str(self.triton.log_path),
        }


def model_slots() -> int:
    """How many windows the models of this machine are given at once: one for each core, and one that is on its way."""
    return len(os.sched_getaffinity(0)) + 1


@asynccontextmanager
async def local_service(settings: LocalSettings) -> AsyncGenerator[LocalService]:
    """A service that is ready; drained and taken down, with all that it started, on the way out.

    Errors: MissingError, RepositoryError, ModelLoadError, LocalTritonError with what to do; OSError when a port is taken.
    """
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    with _only_user_of(settings.state_dir):
        async with _running(settings) as service:
            yield service


@contextmanager
def _only_user_of(state_dir: Path) -> Generator[None]:
    """Holds the folder until the end of this process at the latest. Errors: LocalTritonError when another one has it."""
    with (state_dir / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LocalTritonError(
                f"{state_dir} is in use by another `retouch up`; give this one its own --state-dir"
            ) from None
        yield


@asynccontextmanager
async def _running(settings: LocalSettings) -> AsyncGenerator[LocalService]:
    repository = settings.state_dir / "models"
    sources = [*(settings.model_repositories or (default_source(),))]
    if (imported := settings.state_dir / IMPORTED).is_dir():
        sources.append(imported)
    await asyncio.to_thread(assemble, sources, repository)
    traces_url = traces_over_http(str(settings.server.get("otlp_endpoint", "")))
    triton = LocalTriton(LocalTritonSettings(repository, settings.state_dir / "triton", traces_url=traces_url))
    async with triton:
        values: dict[str, object] = {
            "host": settings.host,
            "port": settings.port,
            "metrics_port": settings.metrics_port,
            "triton_urls": triton.grpc_url,
            "mask_store": f"sqlite+aiosqlite:///{settings.state_dir / 'masks.sqlite'}",
            "model_slots": model_slots(),
            **settings.server,
        }
        app = App(Settings(**values))  # pyright: ignore[reportArgumentType]  # checked by Settings itself
        try:
            await app.start()
            yield LocalService(app, triton)
            await app.drain()
        finally:
            await app.stop()


def traces_over_http(endpoint: str) -> str:
    """Where the collector that takes OTLP over gRPC at `endpoint` takes it over HTTP, which is all that Triton speaks: the next
    port, as 4318 comes after 4317 by default. Empty without an endpoint.

    >>> traces_over_http("http://collector:4317")
    'http://collector:4318/v1/traces'
    """
    if not endpoint:
        return ""
    url = urlsplit(endpoint)
    host = url.netloc.rpartition(":")[0] if url.port else url.netloc
    return f"{url.scheme}://{host}:{(url.port or 4317) + 1}/v1/traces"


def run(
    *,
    host: str,
    port: int,
    metrics_port: int,
    state_dir: Path,
    model_repositories: list[Path],
    on_ready: Callable[[Mapping[str, str]], None],
    server: Mapping[str, object] | None = None,
) -> int:
    """Serves until SIGINT or SIGTERM, then drains; `on_ready` gets the addresses.

    server: further settings of the orchestrator. Returns the exit code. Errors: as above.
    """
    settings = LocalSettings(host, port, metrics_port, state_dir, tuple(model_repositories), server or {})

    async def serve() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        async with local_service(settings) as service:
            on_ready(service.urls)
            await stop.wait()

    asyncio.run(serve())
    return 0
