"""The cluster, as both simulations see it: how large pods are, how long they take to start, what may be in flight."""

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.capacity.times import Measured

CORES = 2.0
"""Of each pod: RETOUCH_THREADS of the orchestrator, and `count` in each model's instance_group."""
ZONES = 3
SCRAPE_S = 15.0
"""Prometheus reads the metrics as often; the autoscaler sees what was read last."""
SMOOTH_S = 60.0
"""The range of rate() over the counter of busy seconds."""
TRITON = ("pending", "pending", "busy")
"""Requests that wait, as the gauge is read and in the mean of a minute (the queue's duration); and busy instances."""
TRIGGERS = {"orchestrator": ("orchestrator_mp",), "restore": TRITON, "upscale": TRITON}
"""The targets in Settings that each Deployment is scaled on."""


NODE_GRACE_S = 40.0
"""--node-monitor-grace-period: until Kubernetes notices that nodes are gone; then come the pods' tolerations."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """Times in seconds; `serves_s` is measured, the rest is assumed (no cluster is at hand) or stands in the manifests.

    serves_s: from a process's start until it serves. schedule_s: a node is found, with the image there or pulled. probe_s: half
    a probe's period. found_s: until callers look names up again: half of RETOUCH_CONNECTION_AGE_S for clients, half of the
    catalogue's refresh for orchestrators. tolerated_s: tolerationSeconds of pods on nodes that are gone.
    """

    serves_s: Mapping[str, float]
    schedule_s: float = 20.0
    probe_s: float = 2.5
    found_s: tuple[float, float] = (15.0, 2.5)
    tolerated_s: float = 30.0
    budget_px: float = 100e6
    queue: int = 64

    @classmethod
    def of(cls, measured: Measured) -> "Fleet":
        return cls(measured.starts_s)

    def start_s(self, station: str) -> float:
        """From a pod's making until it gets work."""
        return self.schedule_s + self.serves_s[station] + self.probe_s + self.found_s[station != "orchestrator"]

    @property
    def unnoticed_s(self) -> float:
        """From the loss of a zone until its pods count as gone."""
        return NODE_GRACE_S + self.tolerated_s
