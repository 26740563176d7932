"""The cluster, as both simulations see it: how large pods are, how long they take to start, what may be in flight."""

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.capacity.load import STATIONS
from benchmarks.capacity.times import Measured

CORES = 2.0
"""Of each pod: RETOUCH_THREADS of the orchestrator, and `count` in each model's instance_group."""
ZONES = 3
SCRAPE_S = 15.0
"""Prometheus reads the metrics as often; the autoscaler sees what was read last."""
SMOOTH_S = 60.0
"""The range of rate() over the counter of busy seconds."""
TRIGGERS = {"orchestrator": ("orchestrator_mp",), "restore": ("pending", "busy"), "upscale": ("pending", "busy")}
"""The targets in Settings that each Deployment is scaled on."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """Assumed but for `serves_s`: no cluster is at hand here. Times in seconds.

    serves_s: from a process's start until it serves, measured. schedule_s: a node is found, an image is there already or
    pulled. probe_s: half a probe's period. unnoticed_s: from the loss of a zone until its pods count as gone: the node monitor's
    grace period, 40 s, and the pods' toleration of `unreachable`, 300 s unless the manifest says otherwise.
    """

    serves_s: Mapping[str, float]
    schedule_s: float = 20.0
    probe_s: float = 2.5
    unnoticed_s: float = 70.0
    budget_px: float = 400e6
    queue: int = 64

    @classmethod
    def of(cls, measured: Measured) -> "Fleet":
        return cls(measured.starts_s)

    def start_s(self, station: str) -> float:
        """From a pod's making until it gets work."""
        return self.schedule_s + self.serves_s[station] + self.probe_s

    @property
    def starts_s(self) -> tuple[float, ...]:
        return tuple(self.start_s(station) for station in STATIONS)
