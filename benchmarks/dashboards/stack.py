"""A service with its Triton, scraped by a Prometheus as the PodMonitors in k8s/monitoring/ would have it."""

import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from benchmarks.prometheus import Prometheus, Target, prometheus
from retouch_server.local.repository import default_source
from retouch_server.local.up import LocalService, LocalSettings, local_service

MONITORING = Path(__file__).resolve().parents[2] / "k8s/monitoring"
NAMESPACE = "retouch"
MODELS = (
    "precheck",
    "text_detect",
    "text_removal",
    "inpaint_classical",
    "upscale_conservative_x2",
    "upscale_creative_x2",
)
"""Those of one pool, on which an edit is a matter of seconds."""


@dataclass(frozen=True, slots=True)
class Stack:
    """All that runs."""

    service: LocalService
    prometheus: Prometheus


def jobs() -> dict[str, str]:
    """The job that scrape.yaml gives each component's pods."""
    found: dict[str, str] = {}
    for monitor in yaml.safe_load_all((MONITORING / "scrape.yaml").read_text()):
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        given: list[dict[str, Any]] = endpoint["relabelings"]
        component = monitor["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"]
        found[component] = next(rule["replacement"] for rule in given if rule["targetLabel"] == "job")
    return found


def targets(service: LocalService) -> list[Target]:
    """An orchestrator and a Triton, each as if in a pod."""
    urls, job = service.urls, jobs()
    return [
        _target(urls["metrics"], job["orchestrator"], "retouch-orchestrator-0"),
        _target(urls["triton metrics"], job["triton"], "retouch-triton-0", pool="tiles"),
    ]


@contextlib.asynccontextmanager
async def stack(folder: Path, *, interval_s: int = 1, **server: object) -> AsyncGenerator[Stack]:
    """Ready to be edited with and asked. server: further fields of the orchestrator's Settings."""
    rules = sorted((MONITORING / "rules").glob("*.yaml"))
    settings = LocalSettings(state_dir=folder / "state", model_repositories=(_repository(folder),), server=server)
    async with (
        local_service(settings) as service,
        prometheus(folder / "prometheus", targets(service), rules, interval_s=interval_s) as watching,
    ):
        yield Stack(service, watching)


def _repository(folder: Path) -> Path:
    """A model repository with MODELS alone."""
    repository = folder / "repository"
    repository.mkdir()
    for model in MODELS:
        (repository / model).symlink_to(default_source() / model)
    return repository


def _target(url: str, job: str, pod: str, **labels: str) -> Target:
    return Target(urlsplit(url).netloc, {"job": job, "namespace": NAMESPACE, "pod": pod, **labels})
