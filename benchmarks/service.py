"""A service as people run it: Triton, and the orchestrator in a process of its own."""

import contextlib
import re
import shutil
import tempfile
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.child import child
from retouch import RetouchClient
from retouch_server.local.control import is_listening
from retouch_server.local.launch import HOST, LocalTritonSettings, Ports
from retouch_server.local.repository import assemble, default_source
from retouch_server.local.triton import LocalTriton
from retouch_server.local.up import model_slots

ROOT = Path(__file__).resolve().parents[1]
_FOR_TESTS = ROOT / "tests/support/model_repository"
"""Has the model `identity`, which gives back the bytes that it was given."""


@dataclass(frozen=True, slots=True)
class Orchestrator:
    """One that serves. `pid` is its process alone, without Triton."""

    target: str
    pid: int

    @property
    def peak_bytes(self) -> int:
        """The most memory that it held at once since it was started."""
        return peak_bytes(self.pid)


def peak_bytes(pid: int) -> int:
    """The most resident memory that a process had so far (VmHWM); 0 for one that has ended."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return int(fields["VmHWM"].split()[0]) * 1024 if "VmHWM" in fields else 0


@contextlib.asynccontextmanager
async def triton(models: Sequence[str] = (), *, stood_in: Sequence[str] = ()) -> AsyncGenerator[LocalTriton]:
    """tritonserver with those models, or all of the product's; its state is in a temporary folder.

    stood_in: models of the product of which only the configuration is real; a stand-in makes the pixels, at next to no cost.
    """
    with tempfile.TemporaryDirectory(prefix="retouch-benchmark-") as folder:
        state = Path(folder)
        repository = make_repository(state, models, stood_in)
        async with LocalTriton(LocalTritonSettings(repository=repository, state_dir=state / "triton")) as server:
            yield server


@contextlib.asynccontextmanager
async def orchestrator(server: LocalTriton, **settings: object) -> AsyncGenerator[Orchestrator]:
    """`python -m retouch_server` in front of `server`; `settings`: further fields of its Settings.

    Results are not kept unless the settings say so: a benchmark makes the same edit again and again.
    """
    state = server.settings.state_dir.parent
    port, metrics_port = _two_ports(server)
    values: dict[str, object] = {
        "host": HOST,
        "port": port,
        "metrics_port": metrics_port,
        "triton_urls": server.grpc_url,
        "mask_store": f"sqlite+aiosqlite:///{state / 'masks.sqlite'}",
        "result_cache": "off",
        "model_slots": model_slots(),
        **settings,
    }
    environment = {f"RETOUCH_{name.upper()}": str(value) for name, value in values.items()}

    async def is_ready() -> bool:
        return await is_listening(HOST, port)

    log = state / "orchestrator.log"
    async with child("retouch_server", [], log, environment=environment, is_ready=is_ready) as pid:
        yield Orchestrator(f"{HOST}:{port}", pid)


@contextlib.asynccontextmanager
async def service(models: Sequence[str] = (), **settings: object) -> AsyncGenerator[RetouchClient]:
    """All of it, and a client in this process."""
    async with (
        triton(models) as server,
        orchestrator(server, **settings) as running,
        RetouchClient(running.target) as client,
    ):
        yield client


def make_repository(folder: Path, models: Sequence[str] = (), stood_in: Sequence[str] = ()) -> Path:
    """`folder`/models, servable: those models of the product and for tests and stand-ins, or all of the product's."""
    source = _chosen(models, stood_in, folder / "chosen") if models or stood_in else default_source()
    assemble([source], folder / "models")
    return folder / "models"


def _chosen(models: Sequence[str], stood_in: Sequence[str], folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name in models:
        places = [source / name for source in (default_source(), _FOR_TESTS)]
        (folder / name).symlink_to(next(place for place in places if place.is_dir()))
    for name in stood_in:
        _stand_in(name, folder / name)
    return folder


def _stand_in(name: str, folder: Path) -> None:
    """A model that is called as the product's `name` is: the same tensors, windows and instances."""
    source = default_source()
    config = (source / name / "config.pbtxt").read_text()
    config = re.sub(r'^backend: "\w+"', 'backend: "python"', config, flags=re.MULTILINE)
    config = re.sub(r"^max_batch_size: \d+", "max_batch_size: 0", config, flags=re.MULTILINE)
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(config)
    for file in (Path(__file__).parent / "stand_in/model.py", source / "precheck/1/wire.py"):
        shutil.copy(file, folder / "1")


def _two_ports(server: LocalTriton) -> tuple[int, int]:
    """Free ports. The orchestrator could choose for itself, but could not say what it chose."""
    ports = Ports.free(LocalTritonSettings(repository=server.settings.repository))
    return ports.grpc, ports.http
