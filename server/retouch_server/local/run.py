"""One tritonserver process with its watcher: from its start until it ends, by itself or because it is told to."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable

from retouch_server.local import control, stubs, watch
from retouch_server.local.control import ModelLoadError
from retouch_server.local.launch import HOST, LocalTritonError, LocalTritonSettings, Ports, command
from retouch_server.local.runtime import TritonFiles
from retouch_server.local.shm import remove_regions

_log = logging.getLogger(__name__)

_READY_POLL_S = 0.02
_STUB_POLL_S = 0.5  # how often the known stubs are looked at
_POLLS_PER_SCAN = 10  # polls between two looks for stubs that are new
_MAX_DEAD_STUBS = 20  # for each, tritonserver keeps a thread and a region that it can never let go
_LOG_TAIL_LINES = 20


class TritonRun:
    """A tritonserver. It is started by `start`, and gone when `end` returns or `ended` did."""

    def __init__(self, settings: LocalTritonSettings, ports: Ports) -> None:
        self.stubs: dict[int, str] = {}  # process id → instance name, as last seen
        self.pid = 0
        self.started_s = time.monotonic()
        self._settings = settings
        self._ports = ports
        self._http_url = f"http://{HOST}:{ports.http}"
        self._shm_prefix = ""
        self._log_offset = 0
        self._watcher: asyncio.subprocess.Process | None = None

    async def start(self, files: TritonFiles, owner_prefix: str, number: int) -> None:
        """Start, and return when all models are ready. Raises LocalTritonError or ModelLoadError; call `end` then too."""
        self._shm_prefix = f"{owner_prefix}{number}-"
        with self._settings.log.open("ab") as log:
            self._log_offset = log.tell()
            self._watcher = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", watch.__file__, str(os.getpid()), owner_prefix, self._shm_prefix),
                *command(files.server, self._settings, self._ports, self._shm_prefix),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=files.environment(),
                start_new_session=True,  # a Ctrl-C at the terminal is for us to answer
            )
        assert self._watcher.stdout is not None
        self.pid = int(await self._watcher.stdout.readline() or b"0")
        try:
            async with asyncio.timeout(self._settings.start_timeout_s):
                await self._until_ready(self._watcher)
        except TimeoutError:
            raise LocalTritonError(
                f"tritonserver was not ready after {self._settings.start_timeout_s:g} s\n{self._log_tail()}"
            ) from None
        await self.look_for_stubs()

    async def ended(self) -> int:
        """Wait until tritonserver ends by itself; its exit status, 128 + the signal where it was killed."""
        assert self._watcher is not None
        return await self._watcher.wait()

    async def end(self) -> None:
        """Kill tritonserver and its stubs, and wait until they and their regions are gone. May be called again."""
        if self._watcher is None:
            return
        if self._watcher.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._watcher.terminate()
        await self._watcher.wait()
        # The watcher has done this, unless it was killed itself.
        remove_regions(self._shm_prefix)

    async def look_for_stubs(self) -> None:
        self.stubs |= await asyncio.to_thread(stubs.running_stubs, self.pid)

    async def mend_models(self, on_reload: Callable[[], None]) -> None:
        """Load models again whose python process died; Triton itself would go on sending requests to the dead.

        Runs until cancelled, or until so many died that only a new tritonserver helps, which it then ends.
        """
        dead_stubs = 0
        while True:
            await self.look_for_stubs()
            for _ in range(_POLLS_PER_SCAN):
                await asyncio.sleep(_STUB_POLL_S)
                if not (dead := stubs.zombies(self.stubs)):
                    continue
                # A stub that left because its model was unloaded is a zombie for an instant only.
                await asyncio.sleep(_STUB_POLL_S / 5)
                dead = stubs.zombies(dead)
                dead_stubs += len(dead)
                if dead_stubs > _MAX_DEAD_STUBS:
                    _log.error("%d python processes of models died; starting tritonserver again", dead_stubs)
                    return await self.end()
                for instance in {self.stubs.pop(pid) for pid in dead}:
                    try:
                        if await self._mend(instance):
                            on_reload()
                    except (OSError, ModelLoadError) as error:
                        _log.error("could not load the model of %s again: %s", instance, error)

    async def _mend(self, instance: str) -> bool:
        ready = [state.name for state in await control.model_states(self._http_url) if state.is_ready]
        if (model := stubs.model_of(instance, ready)) is None:
            return False  # unloaded in the meantime
        _log.error("the python process of model %r died (%s); loading the model again", model, instance)
        retired = [pid for pid, name in self.stubs.items() if stubs.model_of(name, ready) == model]
        # Triton takes a model to be changed when a file is younger than it was.
        for path in self._settings.repository.glob(f"{model}/[0-9]*/*"):
            path.touch()
        await control.load_model(self._http_url, model)
        await self.look_for_stubs()
        # Unloading the old model hangs on its dead instance, so its living ones would stay for ever.
        for pid in retired:
            del self.stubs[pid]
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return True

    async def _until_ready(self, watcher: asyncio.subprocess.Process) -> None:
        while not await control.is_live(self._http_url) or not await control.is_listening(HOST, self._ports.metrics):
            if watcher.returncode is not None:
                raise LocalTritonError(f"tritonserver ended with status {watcher.returncode}\n{self._log_tail()}")
            await asyncio.sleep(_READY_POLL_S)
        # It answers once it has tried to load everything: whatever is not ready now has failed.
        if failed := [state for state in await control.model_states(self._http_url) if not state.is_ready]:
            silent = "Triton gives no reason; most likely its config.pbtxt does not parse"
            # What follows "At:" are the frames of a model's traceback: they are in the log.
            reasons = "\n".join(
                f"model {model.name!r} did not load: {(model.reason or silent).split('At:')[0].strip()}" for model in failed
            )
            raise ModelLoadError(f"{reasons}\n(the whole log: {self._settings.log})")

    def _log_tail(self) -> str:
        with self._settings.log.open("rb") as log:
            log.seek(self._log_offset)
            lines = log.read().decode(errors="replace").splitlines()
        return "\n".join([*lines[-_LOG_TAIL_LINES:], f"(the whole log: {self._settings.log})"])
