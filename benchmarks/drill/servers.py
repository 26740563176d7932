"""The servers of the drill, each in a process of its own: they are asked to leave, killed, and started again."""

import asyncio
import contextlib
import itertools
import os
import re
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.child import await_ready
from benchmarks.prometheus import get
from retouch_server.local.control import is_listening
from retouch_server.local.launch import HOST, LocalTritonSettings, Ports
from retouch_server.local.run import TritonRun
from retouch_server.local.runtime import locate_triton
from retouch_server.local.shm import ShmOwner

MODELS = ("inpaint_classical", "precheck")
LEAVE_S = 60.0
START_S = 120.0


def total(exposition: str, series: str, *labels: str) -> float:
    """The sum over all series of that name which have all of the `labels`, written as name="value"."""
    lines = (line for line in exposition.splitlines() if re.match(rf"{series}[{{ ]", line))
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if all(label in line for label in labels))


class Triton:
    """A tritonserver that keeps its ports; nobody but the drill starts it again."""

    _numbers = itertools.count(1)

    def __init__(self, name: str, folder: Path, owner: ShmOwner) -> None:
        self.name = name
        self._owner = owner
        self._settings = LocalTritonSettings(repository=folder / "models", state_dir=folder / name)
        self._files = locate_triton()
        self._ports = Ports.free(self._settings)
        self._run: TritonRun | None = None

    @property
    def address(self) -> str:
        """host:port for the orchestrators."""
        return f"{HOST}:{self._ports.grpc}"

    @property
    def metrics_address(self) -> str:
        return f"{HOST}:{self._ports.metrics}"

    def served(self) -> float:
        """Requests that it has answered since it was started."""
        return total(get(f"http://{self.metrics_address}/metrics"), "nv_inference_request_success")

    async def start(self) -> None:
        """Returns when its models are ready."""
        await asyncio.to_thread(self._files.make_backends, self._settings.backends)
        self._run = TritonRun(self._settings, self._ports)
        await self._run.start(self._files, self._owner.prefix, next(self._numbers))

    async def end(self, number: signal.Signals) -> int:
        """Sends the signal and waits until the process, and all of it, is gone; its exit status, 128 + the signal if killed."""
        run, self._run = self._run, None
        if run is None:
            return 0
        os.kill(run.pid, number)
        async with asyncio.timeout(LEAVE_S):
            status = await run.ended()
        await run.end()
        return status


@dataclass
class Orchestrator:
    """`python -m retouch_server` on an address of the loopback interface of its own, as a pod has one."""

    name: str
    host: str
    port: int
    metrics_port: int
    folder: Path
    tritons: str
    process: asyncio.subprocess.Process | None = None
    settings: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def metrics_address(self) -> str:
        return f"{self.host}:{self.metrics_port}"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def served(self) -> float:
        """Edits that it has finished since it was started."""
        return total(get(f"http://{self.metrics_address}/metrics"), "retouch_edits_total", 'outcome="done"')

    def kill_at_work(self) -> None:
        """kill -9 at a moment at which it has an edit in flight."""
        while not total(get(f"http://{self.metrics_address}/metrics"), "retouch_edits_in_flight"):
            time.sleep(0.002)
        os.kill(self.pid, signal.SIGKILL)

    async def start(self) -> None:
        """Returns when it serves. Errors: ChildError."""
        values = {
            "HOST": self.host,
            "PORT": self.port,
            "METRICS_PORT": self.metrics_port,
            "TRITON_URLS": self.tritons,
            "MASK_STORE": f"sqlite+aiosqlite:///{self.folder}/masks.sqlite",
            "RESULT_CACHE": "off",  # every edit goes to the models
        }
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RETOUCH_")}
        environment |= {f"RETOUCH_{name}": str(value) for name, value in values.items()}
        log = self.folder / f"{self.name}.log"
        with log.open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "benchmarks.child", "retouch_server"), stdout=output, stderr=output, env=environment
            )
        await await_ready(self.process, lambda: is_listening(self.host, self.port), START_S, self.name, log)

    async def end(self, number: signal.Signals) -> int:
        """Sends the signal and waits until the process is gone; its exit status, negative where a signal ended it."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):  # it was killed at work
            self.process.send_signal(number)
        async with asyncio.timeout(LEAVE_S):
            return await self.process.wait()
