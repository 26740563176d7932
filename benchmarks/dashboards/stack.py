"""An orchestrator and its pools of Triton, scraped by a Prometheus as the PodMonitors in k8s/monitoring/ would have it."""

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from benchmarks.prometheus import Prometheus, Target, prometheus
from benchmarks.service import make_repository
from retouch_server.app import App
from retouch_server.config import Settings
from retouch_server.local.launch import HOST, LocalTritonSettings
from retouch_server.local.triton import LocalTriton

K8S = Path(__file__).resolve().parents[2] / "k8s"
MONITORING = K8S / "monitoring"
NAMESPACE = "retouch"
CALLED = ("restore", "upscale")
"""The pools that the orchestrator calls; the one for diffusion, slow by nature, is scraped and idles."""
LEFT_OUT = ("upscale_conservative_x4", "upscale_creative_x4")
"""Models that the load does without: each one costs a start and a self-measurement."""


@dataclass(frozen=True, slots=True)
class Stack:
    """All that runs. target: host:port of the orchestrator."""

    target: str
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


def pools() -> dict[str, list[str]]:
    """The models of each pool, as k8s/base has them."""
    found: dict[str, list[str]] = {}
    for path in sorted(K8S.glob("base/pools/*/kustomization.yaml")):
        models = re.findall(r"--load-model=(\w+)", path.read_text())
        if models:
            found[path.parent.name] = [model for model in models if model not in LEFT_OUT]
    return found


@contextlib.asynccontextmanager
async def stack(folder: Path, *, interval_s: int = 1, **settings: object) -> AsyncGenerator[Stack]:
    """Ready to be edited with and asked. settings: further fields of the orchestrator's Settings."""
    job = jobs()
    async with _tritons(folder) as tritons:
        urls = ",".join(tritons[pool].grpc_url for pool in CALLED)
        targets = [
            _target(triton.metrics_url, job["triton"], f"triton-{pool}-0", pool=pool) for pool, triton in tritons.items()
        ]
        async with _orchestrator(folder, triton_urls=urls, **settings) as app:
            targets.append(_target(f"http://{HOST}:{app.metrics_port}/metrics", job["orchestrator"], "orchestrator-0"))
            rules = sorted((MONITORING / "rules").glob("*.yaml"))
            async with prometheus(folder / "prometheus", targets, rules, interval_s=interval_s) as watching:
                yield Stack(f"{HOST}:{app.port}", watching)


@contextlib.asynccontextmanager
async def _tritons(folder: Path) -> AsyncGenerator[dict[str, LocalTriton]]:
    """A server for each pool."""
    tritons = {pool: LocalTriton(_triton_settings(folder / pool, models)) for pool, models in pools().items()}
    try:
        for triton in tritons.values():
            await triton.start()
        yield tritons
    finally:
        await asyncio.gather(*(triton.stop() for triton in tritons.values()))


def _triton_settings(folder: Path, models: list[str]) -> LocalTritonSettings:
    return LocalTritonSettings(repository=make_repository(folder, models), state_dir=folder / "triton")


@contextlib.asynccontextmanager
async def _orchestrator(folder: Path, **settings: object) -> AsyncGenerator[App]:
    mask_store = f"sqlite+aiosqlite:///{folder / 'masks.sqlite'}"
    values: dict[str, Any] = {"host": HOST, "port": 0, "metrics_port": 0, "mask_store": mask_store, **settings}
    app = App(Settings(**values))
    try:
        await app.start()
        yield app
        await app.drain()
    finally:
        await app.stop()


def _target(url: str, job: str, pod: str, **labels: str) -> Target:
    return Target(urlsplit(url).netloc, {"job": job, "namespace": NAMESPACE, "pod": pod, **labels})
