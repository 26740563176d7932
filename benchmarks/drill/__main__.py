"""`make drill`: plays the story of benchmarks.drill; the exit code is 1 where a claim does not hold."""

import argparse
import asyncio
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import benchmarks.drill
from benchmarks.child import ChildError
from benchmarks.drill.alerts import Alerts, watched
from benchmarks.drill.load import Load, make_samples
from benchmarks.drill.nameserver import NameServer, name_server
from benchmarks.drill.outcome import Mark, Phase, plot, report, table
from benchmarks.drill.servers import MODELS, Orchestrator, Triton
from benchmarks.prometheus import PrometheusMissingError
from benchmarks.service import make_repository
from retouch_server.local.launch import LocalTritonSettings, Ports
from retouch_server.local.shm import ShmOwner

SAMPLES = 6
PRE_STOP_S = 10.0
"""As in k8s/base/orchestrator.yaml: a pod that is to go stays for so long after it was taken out of the name."""
STEADY_S = 8.0
ALERT_S = 150.0
TRAFFIC_S = 90.0
ONLY_LOGS = shutil.ignore_patterns("models", "chosen", "backends", "prometheus", "*.sqlite*")


@dataclass
class Drill:
    """The servers there are, what the clients and Prometheus are told of them, and what happened when."""

    folder: Path
    names: NameServer
    alerts: Alerts
    tritons: list[Triton]
    ports: Ports
    orchestrators: list[Orchestrator] = field(default_factory=list[Orchestrator])
    phases: list[Phase] = field(default_factory=list[Phase])
    marks: list[Mark] = field(default_factory=list[Mark])
    figures: dict[str, float] = field(default_factory=dict[str, float])
    made: int = 0

    async def begin(self) -> None:
        """Starts everything."""
        await asyncio.gather(*(triton.start() for triton in self.tritons))
        for _ in range(2):
            await self.add_orchestrator()
        self.tell()

    async def add_orchestrator(self) -> Orchestrator:
        """A new one at a new address, which is in the name once it serves."""
        self.made += 1
        tritons = ",".join(triton.address for triton in self.tritons)
        host = f"127.0.1.{self.made}"
        new = Orchestrator(f"orchestrator-{self.made}", host, self.ports.grpc, self.ports.http, self.folder, tritons)
        self.orchestrators.append(new)
        await new.start()
        self.names.addresses.append(host)
        self.mark(f"{new.name} serves")
        return new

    async def end(self) -> None:
        """Ends everything, however far it came."""
        ends = [each.end(signal.SIGKILL) for each in self.orchestrators if each.process is not None]
        await asyncio.gather(*ends, *(triton.end(signal.SIGKILL) for triton in self.tritons), return_exceptions=True)

    def phase(self, name: str) -> None:
        """What is done from now on, until the next phase."""
        self.phases.append(Phase(name, time.monotonic()))
        print(f"-- {name}", file=sys.stderr)

    def mark(self, what: str) -> None:
        self.marks.append(Mark(what, time.monotonic()))
        print(f"   {what}", file=sys.stderr)

    def tell(self) -> None:
        """Tells Prometheus which pods there are."""
        self.alerts.discover(self.orchestrators, self.tritons)

    def worst(self, figure: str, value: float) -> None:
        self.figures[figure] = max(value, self.figures.get(figure, 0.0))

    async def traffic(self, served: Callable[[], float]) -> float:
        """Seconds until a server that was just started has answered somebody. Errors: TimeoutError."""
        began_s = time.monotonic()
        async with asyncio.timeout(TRAFFIC_S):
            while not await asyncio.to_thread(served):  # noqa: ASYNC110 - only its metrics tell
                await asyncio.sleep(0.2)
        return time.monotonic() - began_s

    async def replace_orchestrator(self, old: Orchestrator) -> None:
        """As a Deployment does that surges by one."""
        new = await self.add_orchestrator()
        self.tell()
        self.worst("new_orchestrator_traffic_s", await self.traffic(new.served))
        self.names.addresses.remove(old.host)
        self.orchestrators.remove(old)
        self.tell()
        await asyncio.sleep(PRE_STOP_S)
        self.mark(f"{old.name}: SIGTERM")
        self.worst("orchestrator_exit_status", abs(await old.end(signal.SIGTERM)))

    async def restart_triton(self, triton: Triton) -> None:
        """SIGTERM, and started again at the same address."""
        self.mark(f"{triton.name}: SIGTERM")
        self.worst("triton_exit_status", await triton.end(signal.SIGTERM))
        await triton.start()
        self.mark(f"{triton.name} is ready")
        self.worst("triton_traffic_s", await self.traffic(triton.served))

    async def kill(self, kind: str, server: Triton | Orchestrator, alert: str) -> None:
        """kill -9, until its alert fires; started again, until it has ceased."""
        self.mark(f"{server.name}: kill -9")
        await server.end(signal.SIGKILL)
        self.figures[f"{kind}_alert_s"] = await self.alerts.until(alert, server.name, fires=True, timeout_s=ALERT_S)
        self.mark(f"{alert} fires")
        await server.start()
        self.mark(f"{server.name} is back")
        self.figures[f"{kind}_back_traffic_s"] = await self.traffic(server.served)
        await self.alerts.until(alert, server.name, fires=False, timeout_s=ALERT_S)
        self.mark(f"{alert} has ceased")

    async def play(self) -> None:
        """The story."""
        self.phase("steady")
        await asyncio.sleep(STEADY_S)
        self.phase("rolling restart")
        for old in list(self.orchestrators):
            await self.replace_orchestrator(old)
        for triton in self.tritons:
            await self.restart_triton(triton)
        self.phase("kill -9 of a Triton")
        await self.kill("triton", self.tritons[0], "RetouchTritonDown")
        self.phase("kill -9 of an orchestrator")
        victim = self.orchestrators[0]
        await asyncio.to_thread(victim.kill_at_work)
        await self.kill("orchestrator", victim, "RetouchOrchestratorDown")
        self.phase("steady again")
        await asyncio.sleep(STEADY_S)


async def drill(options: argparse.Namespace) -> int:
    """Plays it and tells of it; the exit code."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="retouch-drill-")))
        make_repository(folder, MODELS)
        owner = ShmOwner()
        stack.callback(owner.release)
        names = await stack.enter_async_context(name_server())
        alerts = await stack.enter_async_context(watched(folder / "prometheus"))
        tritons = [Triton(f"triton-{number}", folder, owner) for number in (1, 2)]
        story = Drill(folder, names, alerts, tritons, Ports.free(LocalTritonSettings(folder)))
        stack.push_async_callback(story.end)
        await story.begin()
        target = names.target(story.ports.grpc)
        load = Load(target, await asyncio.to_thread(make_samples, target, SAMPLES), options.threads, options.rate)
        load.start()
        try:
            await story.play()
        finally:
            await asyncio.to_thread(load.stop)
            if options.keep is not None:
                await asyncio.to_thread(shutil.copytree, folder, options.keep, ignore=ONLY_LOGS, dirs_exist_ok=True)
        story.phases.append(Phase("", time.monotonic()))
    outcome = report(story.phases, load.edits, story.figures, alerts.fired)
    print(table(story.phases, load.edits), outcome, outcome.json(), sep="\n", flush=True)
    if options.plot is not None:
        plot(options.plot, story.phases, story.marks, load.edits)
    return 0 if all(bound.holds(outcome.figures[name]) for name, bound in outcome.bounds.items()) else 1


def main() -> int:
    description, _, rest = (benchmarks.drill.__doc__ or "").partition("\n")
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "python -m benchmarks.drill", description=description, epilog=rest, formatter_class=formatter
    )
    parser.add_argument("--threads", type=int, default=4, help="clients (default: 4)")
    parser.add_argument("--rate", type=float, default=2.0, help="edits a second that each makes, at most (default: 2)")
    parser.add_argument("--plot", type=Path, help="where to draw the course of it")
    parser.add_argument("--keep", type=Path, help="a folder to keep the orchestrators' logs in")
    options = parser.parse_args()
    try:
        return asyncio.run(drill(options))
    except (PrometheusMissingError, ChildError, TimeoutError) as error:
        print(f"drill: {type(error).__name__}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(130)
