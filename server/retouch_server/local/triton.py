"""A real tritonserver on this machine, supervised.

    async with LocalTriton(LocalTritonSettings(repository=Path("var/triton/models"))) as triton:
        ...  # triton.grpc_url; the addresses stay the same when tritonserver has to be started again

What is done about faults: a tritonserver that dies is started again on the same ports, with a growing pause. A model whose
python process dies is loaded again while its other instances go on serving. When this process ends, however it ends,
tritonserver, its processes and its regions in /dev/shm go with it (see `watch`).
"""

import asyncio
import enum
import json
import logging
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from retouch_server.local import control
from retouch_server.local.control import ModelLoadError, ModelState
from retouch_server.local.launch import HOST, LocalTritonError, LocalTritonSettings, Ports
from retouch_server.local.run import TritonRun
from retouch_server.local.runtime import MissingError, TritonFiles, locate_triton
from retouch_server.local.shm import ShmOwner, sweep

__all__ = ["LocalTriton", "LocalTritonError", "LocalTritonSettings", "MissingError", "ModelLoadError", "TritonState"]

_log = logging.getLogger(__name__)

_MAX_LOG_BYTES = 16 * 2**20  # a longer log is put aside before a start


class TritonState(enum.Enum):
    """Where a LocalTriton stands. Only READY means that all models are served."""

    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"


class LocalTriton:
    """tritonserver on loopback addresses, from `start` until `stop` or the end of this process.

    `state`, `restarts` (of tritonserver) and `reloads` (of models whose python process died) may be asked at any time.
    """

    def __init__(self, settings: LocalTritonSettings) -> None:
        self.settings = settings
        self.state = TritonState.STOPPED
        self.restarts = 0
        self.reloads = 0
        self._ports = Ports(0, 0, 0)
        self._owner: ShmOwner | None = None
        self._run: TritonRun | None = None
        self._launches = 0
        self._supervision: asyncio.Task[None] | None = None

    @property
    def grpc_url(self) -> str:
        """`HOST:PORT`, as gRPC clients want it. The ports are known once `start` has returned."""
        return f"{HOST}:{self._ports.grpc}"

    @property
    def http_url(self) -> str:
        return f"http://{HOST}:{self._ports.http}"

    @property
    def metrics_url(self) -> str:
        return f"http://{HOST}:{self._ports.metrics}/metrics"

    @property
    def log_path(self) -> Path:
        """What tritonserver and the models print. Appended to; put aside as `triton.log.1` when it has grown long."""
        return self.settings.log

    @property
    def pid(self) -> int | None:
        """tritonserver's process id; None while there is none."""
        return self._run.pid if self._run else None

    @property
    def stubs(self) -> dict[int, str]:
        """The python backend's processes as they were last seen: process id → instance name."""
        return dict(self._run.stubs) if self._run else {}

    @property
    def shm_prefix(self) -> str:
        """Begins the names of all regions that are ours in /dev/shm.

        A client that names its regions `{shm_prefix}client-…` has them removed with the others, after a kill -9 as well.
        """
        if self._owner is None:
            raise RuntimeError("LocalTriton is not running")
        return self._owner.prefix

    async def start(self) -> None:
        """Start tritonserver and return when every model of the repository is ready.

        Raises MissingError where something has to be installed, ModelLoadError where models do not load (naming each, and
        Triton's reason), LocalTritonError otherwise. Nothing is left running then.
        """
        if self.state is not TritonState.STOPPED:
            raise RuntimeError("LocalTriton is running already")
        self.state = TritonState.STARTING
        try:
            files = await asyncio.to_thread(self._prepare)
            self._owner = ShmOwner()
            await self._launch(files)
            self._supervision = asyncio.create_task(self._supervise(files), name="local-triton")
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End tritonserver and whatever is its own. It is killed: finish what is in flight before. May be called again."""
        supervision, self._supervision = self._supervision, None
        if supervision is not None:
            supervision.cancel()
            await asyncio.gather(supervision, return_exceptions=True)
        await self._end_run()
        if self._owner is not None:
            self._owner.release()
            self._owner = None
        self.state = TritonState.STOPPED

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def models(self) -> list[ModelState]:
        """Triton's repository index. Raises OSError while tritonserver is away."""
        return await control.model_states(self.http_url)

    async def load(self, model: str) -> None:
        """Load a model that was put into the repository, or load it again if its files changed. Raises ModelLoadError."""
        await control.load_model(self.http_url, model)
        if self._run is not None:
            await self._run.look_for_stubs()

    def _prepare(self) -> TritonFiles:
        settings = self.settings
        files = locate_triton()
        files.check_stub()
        if not any(settings.repository.glob("*/config.pbtxt")):
            raise LocalTritonError(f"there is no model in {settings.repository}")
        files.make_backends(settings.backends)
        if settings.log.exists() and settings.log.stat().st_size > _MAX_LOG_BYTES:
            settings.log.replace(settings.log.with_suffix(".log.1"))
        for prefix in sweep():
            _log.info("removed what an earlier run left in /dev/shm: %s*", prefix)
        self._ports = Ports.free(settings)
        return files

    async def _launch(self, files: TritonFiles) -> None:
        self._launches += 1
        run = self._run = TritonRun(self.settings, self._ports)
        try:
            await run.start(files, self.shm_prefix, self._launches)
        except BaseException:
            await self._end_run()
            raise
        self._announce()
        self.state = TritonState.READY
        _log.info("tritonserver is ready at %s after %.1f s", self.grpc_url, time.monotonic() - run.started_s)

    async def _end_run(self) -> None:
        run, self._run = self._run, None
        if run is not None:
            self.settings.endpoints.unlink(missing_ok=True)
            await run.end()

    async def _supervise(self, files: TritonFiles) -> None:
        pause_s = self.settings.restart_pause_s
        while True:
            if (run := self._run) is not None:
                status = await self._mend_until_ended(run)
                if time.monotonic() - run.started_s > 2 * self.settings.max_restart_pause_s:
                    pause_s = self.settings.restart_pause_s
                self.state = TritonState.RESTARTING
                _log.error("tritonserver ended with status %s; starting it again in %.1f s", status, pause_s)
                await self._end_run()
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, self.settings.max_restart_pause_s)
            try:
                await self._launch(files)
                self.restarts += 1
            except (LocalTritonError, ModelLoadError, OSError) as error:
                _log.error("tritonserver did not start; trying again in %.1f s: %s", pause_s, error)

    async def _mend_until_ended(self, run: TritonRun) -> int:
        mending = asyncio.create_task(run.mend_models(self._count_reload), name="local-triton-stubs")
        try:
            return await run.ended()
        finally:
            mending.cancel()
            (fault,) = await asyncio.gather(mending, return_exceptions=True)
            if isinstance(fault, Exception):
                _log.error("the watch over the models' processes failed", exc_info=fault)

    def _count_reload(self) -> None:
        self.reloads += 1

    def _announce(self) -> None:
        place = self.settings.endpoints
        fresh = place.with_suffix(".new")
        addresses = {"grpc": self.grpc_url, "http": self.http_url, "metrics": self.metrics_url}
        whose = {"pid": os.getpid(), "repository": str(self.settings.repository.resolve())}
        fresh.write_text(json.dumps(addresses | whose, indent=2) + "\n")
        fresh.replace(place)
