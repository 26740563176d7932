"""What Kubernetes' HPA v2 does, as KEDA sets it up: many simulated clusters at once, one per row.

Source: kubernetes/pkg/controller/podautoscaler, horizontal.go (stabilizeRecommendationWithBehaviors,
convertDesiredReplicasWithBehaviorRate, calculateScaleUpLimitWithScalingRules) and replica_calculator.go
(GetExternalPerPodMetricReplicas): KEDA's triggers are external metrics with a target per replica (AverageValue).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SYNC_S = 15.0
"""--horizontal-pod-autoscaler-sync-period."""
TOLERANCE = 0.1
"""--horizontal-pod-autoscaler-tolerance."""
PERIOD_S = 60.0
"""Of the policies for fewer replicas. Those for more have SYNC_S."""
_SYNCS = 60
"""Recommendations that are remembered: a stabilisation window of at most 15 minutes."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a manifest says of one cluster; the same for both Triton pools.

    Targets per replica; inf leaves a trigger out. orchestrator_mp: megapixels in flight and waiting for admission. pending:
    requests that wait in Triton, now and in the mean of a minute. busy: instances at work in the mean of a minute.
    """

    orchestrator_mp: float = 60.0
    pending: float = 2.0
    busy: float = 1.3
    least: int = 3
    up_percent: float = 100.0
    """In 15 s; or up_pods, whichever is more."""
    up_pods: int = 4
    down_percent: float = 20.0
    """In 60 s."""
    stabilise_down_s: float = 300.0
    most: int = 2000


@dataclass(frozen=True, slots=True)
class Policy:
    """The fields of Settings that one scaler needs, (rows,) each. targets: (triggers, rows)."""

    targets: Floats
    least: Floats
    most: Floats
    up_percent: Floats
    up_pods: Floats
    down_percent: Floats
    down_syncs: Floats

    @classmethod
    def of(cls, settings: Sequence[Settings], triggers: Sequence[str]) -> "Policy":
        """triggers: names of the settings that are targets."""

        def column(name: str) -> Floats:
            return np.array([getattr(each, name) for each in settings], np.float64)

        targets = np.stack([column(name) * (1e6 if name.endswith("_mp") else 1.0) for name in triggers])
        names = ("least", "most", "up_percent", "up_pods", "down_percent")
        least, most, up_percent, up_pods, down_percent = (column(name) for name in names)
        down_syncs = np.ceil(column("stabilise_down_s") / SYNC_S)
        return cls(targets, least, most, up_percent, up_pods, down_percent, down_syncs)


class Autoscaler:
    """One scaler, for the same Deployment of every cluster."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        rows = len(policy.least)
        self._recommended = np.zeros((_SYNCS, rows))
        self._changes = np.zeros((int(PERIOD_S / SYNC_S), rows))
        self._turn = 0

    def sync(self, current: Floats, metrics: Floats) -> Floats:
        """What `spec.replicas`, (rows,), is set to. metrics: (triggers, rows), totals over all replicas."""
        policy = self._policy
        desired = np.clip(self._stabilised(current, self._wanted(current, metrics)), policy.least, policy.most)
        desired = np.where(desired > current, np.minimum(desired, self._ceiling(current)), desired)
        desired = np.where(desired < current, np.maximum(desired, self._floor(current)), desired)
        self._changes[self._turn % len(self._changes)] = desired - current
        self._turn += 1
        return desired

    def _wanted(self, current: Floats, metrics: Floats) -> Floats:
        """The largest of what the triggers ask for."""
        ratio = metrics / (self._policy.targets * current)
        wanted = np.where(np.abs(ratio - 1) <= TOLERANCE, current, np.ceil(metrics / self._policy.targets))
        return wanted.max(axis=0)

    def _stabilised(self, current: Floats, wanted: Floats) -> Floats:
        """Down only to the most that was wanted within the window; up at once."""
        self._recommended[self._turn % _SYNCS] = wanted
        age = (self._turn - np.arange(_SYNCS)) % _SYNCS
        within = (age[:, None] <= self._policy.down_syncs) & (age <= self._turn)[:, None]
        most = np.where(within, self._recommended, 0.0).max(axis=0)
        return np.where(current < wanted, wanted, np.minimum(current, most))

    def _ceiling(self, current: Floats) -> Floats:
        """Policies for more have one sync's period, so what was added before does not count."""
        return np.maximum(current + self._policy.up_pods, np.ceil(current * (1 + self._policy.up_percent / 100)))

    def _floor(self, current: Floats) -> Floats:
        begin = current - self._changes.sum(axis=0)
        return np.minimum(current, np.floor(begin * (1 - self._policy.down_percent / 100)))
