"""A real Prometheus with the product's alerts, which scrapes the drill's servers as it would their pods."""

import asyncio
import ctypes
import json
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.drill.servers import Orchestrator, Triton, get
from retouch_server.local.control import is_listening
from retouch_server.local.launch import HOST, LocalTritonSettings, Ports

RULES = Path(__file__).resolve().parents[2] / "k8s/monitoring/rules"
CONFIG = """\
global: {{ scrape_interval: 15s, evaluation_interval: 15s }}
rule_files: ["{rules}/*.yaml"]
scrape_configs:
  - job_name: retouch-orchestrator
    file_sd_configs: [{{ files: ["{folder}/orchestrators.json"], refresh_interval: 5s }}]
  - job_name: retouch-triton
    file_sd_configs: [{{ files: ["{folder}/tritons.json"], refresh_interval: 5s }}]
"""
POLL_S = 1.0
_PR_SET_PDEATHSIG = 1


class NotInstalledError(Exception):
    """There is no `prometheus` on this machine; the message says how to get it."""


@dataclass
class Prometheus:
    """One that runs. `alerts`: (name, pod) of those that fire now; `fired`: all that ever did, with the time of the first."""

    url: str
    folder: Path
    alerts: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    fired: dict[tuple[str, str], float] = field(default_factory=dict[tuple[str, str], float])

    def discover(self, orchestrators: list[Orchestrator], tritons: list[Triton]) -> None:
        """Says which pods there are, with the labels that k8s/monitoring/scrape.yaml gives them."""
        self._write("orchestrators", [_pod(each.name, each.metrics_address) for each in orchestrators])
        self._write("tritons", [_pod(each.name, each.metrics_address, pool="restore") for each in tritons])

    async def until(self, alert: str, pod: str, *, fires: bool, timeout_s: float) -> float:
        """Seconds until the alert fires for that pod, or has ceased to. Errors: TimeoutError."""
        began_s = time.monotonic()
        async with asyncio.timeout(timeout_s):
            while ((alert, pod) in self.alerts) != fires:  # noqa: ASYNC110 - Prometheus has to be asked
                await asyncio.sleep(POLL_S)
        return time.monotonic() - began_s

    async def watch(self) -> None:
        """Keeps `alerts` fresh until cancelled."""
        while True:
            with suppress(OSError):  # busy; asked again
                answer: dict[str, Any] = json.loads(await asyncio.to_thread(get, f"{self.url}/api/v1/alerts"))
                firing = [alert["labels"] for alert in answer["data"]["alerts"] if alert["state"] == "firing"]
                self.alerts = {(labels["alertname"], labels.get("pod", "")) for labels in firing}
                for alert in self.alerts:
                    self.fired.setdefault(alert, time.monotonic())
            await asyncio.sleep(POLL_S)

    def _write(self, kind: str, pods: list[dict[str, Any]]) -> None:
        fresh = self.folder / f".{kind}.json"
        fresh.write_text(json.dumps(pods))
        fresh.replace(self.folder / f"{kind}.json")


def _pod(name: str, address: str, **labels: str) -> dict[str, Any]:
    return {"targets": [address], "labels": {"namespace": "drill", "pod": name, **labels}}


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


@asynccontextmanager
async def prometheus() -> AsyncGenerator[Prometheus]:
    """Prometheus on a free port, with the rules as they are; watched, and gone on the way out. Errors: NotInstalledError."""
    program = shutil.which("prometheus")
    if program is None:
        raise NotInstalledError("prometheus is not installed: apt-get install --no-install-recommends prometheus")
    with tempfile.TemporaryDirectory(prefix="retouch-prometheus-") as name:
        folder, port = Path(name), Ports.free(LocalTritonSettings(Path())).http
        running = Prometheus(f"http://{HOST}:{port}", folder)
        running.discover([], [])
        (folder / "prometheus.yml").write_text(CONFIG.format(rules=RULES, folder=folder))
        with (folder / "log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                program,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={HOST}:{port}",
                stdout=log,
                stderr=log,
                preexec_fn=_die_with_parent,
            )
        watching: asyncio.Task[None] | None = None
        try:
            while not await is_listening(HOST, port):
                if process.returncode is not None:
                    raise NotInstalledError(f"prometheus does not start:\n{(folder / 'log').read_text()[-2000:]}")
                await asyncio.sleep(0.1)
            while not await asyncio.to_thread(_is_ready, running.url):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            watching = asyncio.create_task(running.watch())
            yield running
        finally:
            if watching is not None:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
            with suppress(ProcessLookupError):
                process.terminate()
            await process.wait()


def _is_ready(url: str) -> bool:
    try:
        return bool(get(f"{url}/-/ready"))
    except OSError:  # 503, until it is
        return False
