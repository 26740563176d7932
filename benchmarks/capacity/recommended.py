"""The settings that the rule chose, as KEDA's manifests word them: `recommended.json`."""

import json
from pathlib import Path
from typing import Any

from benchmarks.capacity.fleet import Fleet
from benchmarks.capacity.scaling import PERIOD_S, SYNC_S, Settings
from benchmarks.capacity.sweep import LIMITS, Trial

PATH = Path(__file__).with_name("recommended.json")
MAX_REPLICAS = 100
"""Of a Deployment in the manifests, for the bill's sake: enough for 120 edits/s of the assumed mix. The sweep has 2,000."""


def behavior(settings: Settings) -> dict[str, Any]:
    """spec.advanced.horizontalPodAutoscalerConfig.behavior."""
    up, down = int(SYNC_S), int(PERIOD_S)
    return {
        "scaleUp": {
            "stabilizationWindowSeconds": 0,
            "selectPolicy": "Max",
            "policies": [
                {"type": "Percent", "value": int(settings.up_percent), "periodSeconds": up},
                {"type": "Pods", "value": settings.up_pods, "periodSeconds": up},
            ],
        },
        "scaleDown": {
            "stabilizationWindowSeconds": int(settings.stabilise_down_s),
            "policies": [{"type": "Percent", "value": int(settings.down_percent), "periodSeconds": down}],
        },
    }


def scalers(settings: Settings) -> dict[str, Any]:
    """Of each Deployment: replicas, behavior, and the threshold of each trigger by its name. No edit of the mix asks for
    diffusion, so its pool is not simulated: it has the same targets, and one pod at least."""
    triton = {"pending": settings.pending, "waiting": settings.pending, "busy": settings.busy}
    thresholds = {"orchestrator": {"work": settings.orchestrator_mp * 1e6}} | {
        f"triton-{pool}": triton for pool in ("restore", "upscale", "diffusion")
    }
    return {
        name: {
            "minReplicaCount": 1 if name == "triton-diffusion" else settings.least,
            "maxReplicaCount": MAX_REPLICAS,
            "behavior": behavior(settings),
            "thresholds": each,
        }
        for name, each in thresholds.items()
    }


def write(path: Path, best: Trial) -> None:
    """Errors: OSError."""
    fleet = Fleet({})
    table = {
        "rule": LIMITS,
        "tolerationSeconds": int(fleet.tolerated_s),
        "RETOUCH_BUDGET_PX": int(fleet.budget_px),
        "scalers": scalers(best.settings),
    }
    path.write_text(json.dumps(table, indent=2) + "\n")
