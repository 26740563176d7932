"""The composition root: builds every adapter, starts them, and takes them down in order."""

import asyncio
import contextlib
import ctypes
import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import partial
from importlib.metadata import version
from pathlib import Path

import cv2
import grpc

from retouch_server.cache.guard import GuardedStore
from retouch_server.cache.results import Results
from retouch_server.cache.store import MemoryStore, ResultStore
from retouch_server.config import ConfigError, Settings
from retouch_server.errors import MasksUnavailable, ModelUnavailable
from retouch_server.masks.registry import Retention
from retouch_server.masks.store import MaskStore
from retouch_server.models.backend import ModelBackend
from retouch_server.models.catalogue import Catalogue
from retouch_server.models.dispatch import Dispatcher
from retouch_server.models.pools import Pools
from retouch_server.models.triton import TritonServer
from retouch_server.pipeline.admission import Admission, Limits
from retouch_server.pipeline.edit import Editor
from retouch_server.pipeline.estimate import Estimator, measure
from retouch_server.pipeline.findings import Precheck
from retouch_server.pipeline.policy import load_policy
from retouch_server.pipeline.slots import Slots
from retouch_server.rpc.edit_service import EditServicer, Patience
from retouch_server.rpc.mask_service import MaskService
from retouch_server.rpc.masks import MaskResolver
from retouch_server.rpc.model_service import ModelServicer
from retouch_server.rpc.precheck_service import PrecheckServicer
from retouch_server.rpc.server import Server
from retouch_server.telemetry.http import OperatorServer
from retouch_server.telemetry.metrics import Metrics
from retouch_server.telemetry.tracing import Tracing

log = logging.getLogger(__name__)

PRUNE_S = 3600.0
_M_MMAP_THRESHOLD = -3  # malloc.h
_LARGE_BYTES = 4 << 20


class App:
    """An orchestrator. `start`, then `drain` and `stop`; `port` and `metrics_port` say where it listens."""

    def __init__(self, settings: Settings, backend: ModelBackend | None = None) -> None:
        """backend: in place of Triton, for tests."""
        self.settings = settings
        self.metrics = Metrics(version=version("retouch-server"))
        self.port = 0
        self._backend = backend
        self._executor = ThreadPoolExecutor(settings.threads, thread_name_prefix="pixels")
        self._operator = OperatorServer(self.metrics, self._readiness)
        self._is_draining = False
        self._has_started = False
        self._opened = AsyncExitStack()
        self.admission = Admission(Limits(settings.budget_px, settings.queue, settings.client_budget_px), self.metrics)

    @property
    def metrics_port(self) -> int:
        return self._operator.port

    async def start(self) -> None:
        """Listens and serves once the models are known.

        Errors: OSError when a port is taken, DatabaseUrlError, DatabaseUnreachableError, ModelUnavailable.
        """
        cv2.setNumThreads(1)  # pixel work has its own threads
        _return_large_buffers()
        settings = self.settings
        policy = load_policy(Path(settings.policy) if settings.policy else None)
        await self._operator.start(settings.host, settings.metrics_port)
        use_shared_memory = {"auto": None, "always": True, "never": False}[settings.shared_memory]
        connect = partial(TritonServer, use_shared_memory=use_shared_memory, metrics=self.metrics)
        self.backend = self._backend or Pools(settings.triton_names(), connect)
        self._opened.push_async_callback(self.backend.close)
        self.catalogue = Catalogue(self.backend, self.metrics.triton_reachable.set)
        tracing = _tracing(settings)
        if tracing is not None:
            self._opened.push_async_callback(asyncio.to_thread, tracing.close)
        self._masks = await MaskStore.open(settings.mask_store, Retention(settings.mask_versions, settings.mask_keep_s))
        self._opened.push_async_callback(self._masks.close)
        dispatcher = Dispatcher(self.backend, metrics=self.metrics)
        results = self._results()
        precheck = Precheck(self.catalogue, results.answering(dispatcher) if results else dispatcher, policy.precheck)
        in_flight = settings.tiles_in_flight
        estimator, slots = Estimator(in_flight), Slots(settings.model_slots, self.metrics.windows_waiting.set)
        self.editor = Editor(
            self.catalogue, dispatcher, precheck, estimator, self._executor, self.metrics, in_flight, slots, policy, results
        )
        await self._await_models()
        await measure(estimator, self.catalogue, dispatcher)
        for work in (self.catalogue.keep_fresh(), self._prune_masks()):
            self._opened.push_async_callback(_cancel, asyncio.create_task(work))
        masks = MaskResolver(self._masks, self._executor)
        patience = Patience(settings.upload_idle_s, settings.download_idle_s)
        self._server = Server(
            edit=EditServicer(self.editor, self.admission, masks, self.metrics, patience),
            precheck=PrecheckServicer(self.editor, masks),
            mask=MaskService(self._masks, self._executor, precheck.detect_text, self.metrics),
            model=ModelServicer(self.catalogue),
            tokens=settings.tokens(),
            connection_age_s=settings.connection_age_s,
            tracing=tracing,
        )
        self.port = await self._server.start(settings.host, settings.port, _tls(settings))
        await self._server.set_serving(True)
        self._has_started = True
        log.info("serving on %s:%d, metrics on port %d", settings.host, self.port, self.metrics_port)

    async def drain(self) -> None:
        """Says NOT_SERVING, takes nothing new, and returns when the last edit has ended or `drain_s` is over."""
        self._is_draining = True
        if self._has_started:
            await self._server.set_serving(False)
        try:
            async with asyncio.timeout(self.settings.drain_s):
                await self.admission.drain()
        except TimeoutError:
            log.warning("%d edits were still in flight after %g s", self.admission.in_flight, self.settings.drain_s)

    async def stop(self, grace_s: float = 1.0) -> None:
        """Ends what still runs and gives everything back, also after a start that failed."""
        if self._has_started:
            await self._server.stop(grace_s)
            await self.admission.drain()  # handlers may still be cleaning up when the server has stopped
        await self._opened.aclose()
        await self._operator.stop()
        self._executor.shutdown()

    async def _await_models(self) -> None:
        while True:
            try:
                await self.catalogue.refresh()
                return
            except ModelUnavailable:
                log.warning("waiting for the model server at %s", self.settings.triton_urls)
                await asyncio.sleep(1.0)

    def _results(self) -> Results | None:
        """What the settings say of keeping results. Errors: ConfigError."""
        if self.settings.result_cache == "off":
            return None
        make = _memory if self.settings.result_cache == "memory" else _redis
        store = make(self.settings, self.metrics)
        self._opened.push_async_callback(store.close)
        return Results(store, self.catalogue.spec, self._executor, self.metrics)

    async def _prune_masks(self) -> None:
        """Now and then, until cancelled: versions grow old without being written to."""
        while True:
            try:
                given_up = await self._masks.prune()
                log.log(logging.INFO if given_up else logging.DEBUG, "%d old versions of masks were given up", given_up)
            except MasksUnavailable as error:
                log.warning("old versions of masks were not given up: %s", error.__cause__)
            await asyncio.sleep(PRUNE_S)

    def _readiness(self) -> tuple[bool, list[str]]:
        reasons: list[str] = []
        if not self._has_started:
            reasons.append("starting: the models are not ready yet")
        elif not self.catalogue.is_reachable:
            reasons.append("the model server does not answer")
        if self._is_draining:
            reasons.append("draining")
        return not reasons, reasons


async def _cancel(task: asyncio.Task[None]) -> None:
    """Cancels `task` and waits for its end."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _return_large_buffers() -> None:
    """Has glibc give buffers of a strip's size back to the system at once.

    Left to itself it raises the limit with each one that is freed, keeps them on its heap, and the heap grows in pieces. (To
    keep more than 128 KiB of a heap's free end, too, saves a tenth of a fill's time here, and takes 50 MiB.)
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library has other ways
        ctypes.CDLL("libc.so.6").mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)


def _memory(settings: Settings, metrics: Metrics) -> ResultStore:
    store = MemoryStore(settings.result_cache_bytes)
    metrics.result_cache_bytes.set_function(lambda: store.nbytes)
    return store


def _redis(settings: Settings, metrics: Metrics) -> ResultStore:
    """Not asked yet: where Redis is away, edits run without it. Errors: ConfigError."""
    try:
        from retouch_server.cache.redis import RedisStore
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"RETOUCH_RESULT_CACHE needs the Python package {error.name}; pip install 'retouch-server[redis]'"
        ) from error
    try:
        store = RedisStore(
            settings.result_cache, keep_s=settings.result_cache_keep_s, timeout_s=settings.result_cache_timeout_s
        )
    except ValueError as error:
        raise ConfigError(f"RETOUCH_RESULT_CACHE cannot be used: {error}") from error
    failures = metrics.result_cache_failures
    return GuardedStore(store, settings.result_cache_timeout_s, lambda operation: failures.labels(operation=operation).inc())


def _tracing(settings: Settings) -> Tracing | None:
    """What the settings say of traces. Errors: ConfigError."""
    if not settings.otlp_endpoint:
        return None
    try:
        return Tracing(settings.otlp_endpoint, settings.trace_ratio, version("retouch-server"))
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"RETOUCH_OTLP_ENDPOINT needs the Python package {error.name}; pip install 'retouch-server[tracing]'"
        ) from error


def _tls(settings: Settings) -> grpc.ServerCredentials | None:
    """TLS, with client certificates where a CA for them is given; None: plain text."""
    if not settings.tls_certificate:
        return None
    pair = (Path(settings.tls_key).read_bytes(), Path(settings.tls_certificate).read_bytes())
    ca = Path(settings.tls_client_ca).read_bytes() if settings.tls_client_ca else None
    return grpc.ssl_server_credentials([pair], ca, require_client_auth=ca is not None)
