"""A real Prometheus beside what it scrapes, and questions to it."""

import asyncio
import contextlib
import json
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.child import ChildError
from retouch_server.local.launch import HOST, LocalTritonSettings, Ports

START_S = 30.0


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
    """One that runs."""

    url: str

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
                with urllib.request.urlopen(url, timeout=30) as response:
                    return json.load(response)["data"]
            except urllib.error.HTTPError as error:
                raise ValueError(f"{parameters.get('query', path)}: {json.load(error).get('error')}") from None

        return await asyncio.to_thread(fetch)


@contextlib.asynccontextmanager
async def prometheus(
    folder: Path, targets: Sequence[Target], rules: Sequence[Path] = (), *, interval_s: int = 1
) -> AsyncGenerator[Prometheus]:
    """Scrapes `targets` and evaluates `rules` every `interval_s`, from `folder`; ended on the way out.

    Errors: PrometheusMissingError; ChildError with the end of its log.
    """
    program = shutil.which("prometheus")
    if program is None:
        raise PrometheusMissingError("there is no `prometheus` here; Debian has it: apt-get install prometheus")
    _configure(folder, targets, rules, interval_s)
    address = f"{HOST}:{Ports.free(LocalTritonSettings(repository=folder)).http}"
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
        await _ready(process, f"http://{address}/-/ready", log)
        yield Prometheus(f"http://{address}")
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def _configure(folder: Path, targets: Sequence[Target], rules: Sequence[Path], interval_s: int) -> None:
    """Writes prometheus.yml."""
    jobs: dict[str, list[dict[str, Any]]] = {}
    for target in targets:
        labels = {name: value for name, value in target.labels.items() if name != "job"}
        jobs.setdefault(target.labels["job"], []).append({"targets": [target.address], "labels": labels})
    every = f"{interval_s}s"
    content = {
        "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
        "rule_files": [str(path.resolve()) for path in rules],
        "scrape_configs": [{"job_name": job, "static_configs": configs} for job, configs in jobs.items()],
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "prometheus.yml").write_text(yaml.safe_dump(content))


async def _ready(process: asyncio.subprocess.Process, url: str, log: Path) -> None:
    def answers() -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as response:
            return response.status == 200
        return False

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(START_S):
            while process.returncode is None:
                if await asyncio.to_thread(answers):
                    return
                await asyncio.sleep(0.1)
    raise ChildError(f"prometheus did not serve within {START_S:g} s:\n{_tail(log)}")


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-10:])


def _point(pair: list[Any]) -> tuple[float, float]:
    return float(pair[0]), float(pair[1])
