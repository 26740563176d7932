"""The product's alerts, as a Prometheus sees them that scrapes the drill's servers as it would their pods."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.drill.servers import Orchestrator, Triton
from benchmarks.prometheus import Prometheus, Target, prometheus

RULES = Path(__file__).resolve().parents[2] / "k8s/monitoring/rules"
INTERVAL_S = 15
"""As in k8s/monitoring/scrape.yaml."""
POLL_S = 1.0


@dataclass
class Alerts:
    """`firing`: (name, pod) of those that fire now; `fired`: the names of all that ever did."""

    prometheus: Prometheus
    firing: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    fired: set[str] = field(default_factory=set[str])

    def discover(self, orchestrators: list[Orchestrator], tritons: list[Triton]) -> None:
        """Says which pods there are, with the labels that k8s/monitoring/scrape.yaml gives them."""
        targets = [_pod("retouch-orchestrator", each.name, each.metrics_address) for each in orchestrators]
        targets += [_pod("retouch-triton", each.name, each.metrics_address, pool="restore") for each in tritons]
        self.prometheus.discover(targets)

    async def until(self, alert: str, pod: str, *, fires: bool, timeout_s: float) -> float:
        """Seconds until the alert fires for that pod, or has ceased to. Errors: TimeoutError."""
        began_s = time.monotonic()
        async with asyncio.timeout(timeout_s):
            while ((alert, pod) in self.firing) != fires:  # noqa: ASYNC110 - Prometheus has to be asked
                await asyncio.sleep(POLL_S)
        return time.monotonic() - began_s

    async def watch(self) -> None:
        """Keeps `firing` fresh until cancelled."""
        while True:
            with suppress(OSError):  # busy; asked again
                alerts = [each["labels"] for each in await self.prometheus.alerts() if each["state"] == "firing"]
                self.firing = {(labels["alertname"], labels.get("pod", "")) for labels in alerts}
                self.fired |= {name for name, _ in self.firing}
            await asyncio.sleep(POLL_S)


def _pod(job: str, name: str, address: str, **labels: str) -> Target:
    return Target(address, {"job": job, "namespace": "drill", "pod": name, **labels})


@asynccontextmanager
async def watched(folder: Path) -> AsyncGenerator[Alerts]:
    """The rules as they are, evaluated by a Prometheus in `folder`. Errors: as benchmarks.prometheus."""
    async with prometheus(folder, rules=sorted(RULES.glob("*.yaml")), interval_s=INTERVAL_S) as running:
        alerts = Alerts(running)
        watching = asyncio.create_task(alerts.watch())
        try:
            yield alerts
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
