"""A real Prometheus beside what it scrapes, and questions to it."""

import asyncio
import contextlib
import json
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.child import await_ready, end
from retouch_server.local.launch import HOST, LocalTritonSettings, Ports

START_S = 30.0
TARGETS = "targets.json"
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def get(url: str, timeout_s: float = 5.0) -> str:
    """The body of a page on this machine, whatever proxies the environment names. Errors: OSError."""
    with _DIRECT.open(url, timeout=timeout_s) as answer:
        return answer.read().decode()


class PrometheusMissingError(Exception):
    """There is no `prometheus` here; the message says where it comes from."""


@dataclass(frozen=True, slots=True)
class Target:
    """What to scrape: `address` is host:port of a /metrics; `labels` include its job, as a ServiceMonitor would give them."""

    address: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Series:
    """What a query returns: labels, and (seconds since 1970, value) pairs, one where it was asked for one moment."""

    labels: dict[str, str]
    points: list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Prometheus:
    """One that runs, and the folder with its configuration."""

    url: str
    folder: Path

    def discover(self, targets: Iterable[Target]) -> None:
        """Says what is there to scrape from now on."""
        _write_targets(self.folder, targets)

    async def query(self, expr: str, at_s: float | None = None) -> list[Series]:
        """An instant query, now or at a moment. Errors: ValueError with Prometheus' words where it is no query."""
        moment = {} if at_s is None else {"time": str(at_s)}
        answer = await self._ask("query", query=expr, **moment)
        if answer["resultType"] == "scalar":
            return [Series({}, [_point(answer["result"])])]
        return [Series(one["metric"], [_point(one["value"])]) for one in answer["result"]]

    async def query_range(self, expr: str, start_s: float, end_s: float, step_s: float) -> list[Series]:
        """A query over time. Errors: as `query`."""
        answer = await self._ask("query_range", query=expr, start=str(start_s), end=str(end_s), step=str(step_s))
        return [Series(one["metric"], [_point(point) for point in one["values"]]) for one in answer["result"]]

    async def alerts(self) -> list[dict[str, Any]]:
        """The alerts that are pending or fire: `labels`, `annotations`, `state`."""
        return (await self._ask("alerts"))["alerts"]

    async def targets(self) -> list[dict[str, Any]]:
        """What is scraped: `labels`, `health` (up, down, unknown), `lastError`."""
        return (await self._ask("targets", state="active"))["activeTargets"]

    async def _ask(self, path: str, **parameters: str) -> Any:
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"

        def fetch() -> Any:
            try:
                return json.loads(get(url, timeout_s=30))["data"]
            except urllib.error.HTTPError as error:
                raise ValueError(f"{parameters.get('query', path)}: {json.load(error).get('error')}") from None

        return await asyncio.to_thread(fetch)


@contextlib.asynccontextmanager
async def prometheus(
    folder: Path, targets: Iterable[Target] = (), rules: Sequence[Path] = (), *, interval_s: int = 1
) -> AsyncGenerator[Prometheus]:
    """Scrapes `targets`, which may change, and evaluates `rules` every `interval_s`, from `folder`; ended on the way out.

    Errors: PrometheusMissingError; ChildError with the end of its log.
    """
    program = shutil.which("prometheus")
    if program is None:
        raise PrometheusMissingError("there is no `prometheus` here; Debian has it: apt-get install prometheus")
    _configure(folder, rules, interval_s)
    _write_targets(folder, targets)
    address = f"{HOST}:{Ports.free(LocalTritonSettings(repository=folder)).http}"
    url = f"http://{address}"
    command = [
        *("setpriv", "--pdeathsig", "TERM", program),  # it ends with us, however we end
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address={address}",
        "--enable-feature=exemplar-storage",
    ]
    log = folder / "prometheus.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(*command, stdout=output, stderr=output)
    try:
        await await_ready(process, lambda: asyncio.to_thread(_is_ready, url), START_S, "prometheus", log)
        yield Prometheus(url, folder)
    finally:
        await end(process)


def _configure(folder: Path, rules: Sequence[Path], interval_s: int) -> None:
    """Writes prometheus.yml. What is scraped has its job among its labels, so that one job finds it all."""
    every = f"{interval_s}s"
    found = {"files": [str(folder.resolve() / TARGETS)], "refresh_interval": "5s"}
    content = {
        "global": {"scrape_interval": every, "scrape_timeout": f"{min(interval_s, 10)}s", "evaluation_interval": every},
        "rule_files": [str(path.resolve()) for path in rules],
        "scrape_configs": [{"job_name": "targets", "file_sd_configs": [found]}],
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "prometheus.yml").write_text(yaml.safe_dump(content))


def _write_targets(folder: Path, targets: Iterable[Target]) -> None:
    fresh = folder / f".{TARGETS}"
    fresh.write_text(json.dumps([{"targets": [each.address], "labels": dict(each.labels)} for each in targets]))
    fresh.replace(folder / TARGETS)


def _is_ready(url: str) -> bool:
    try:
        return bool(get(f"{url}/-/ready"))
    except OSError:  # nobody listens, or 503
        return False


def _point(pair: list[Any]) -> tuple[float, float]:
    return float(pair[0]), float(pair[1])
