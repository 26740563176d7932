"""A pool as its manifest starts it: the same command line, on the real tritonserver."""

import asyncio
import contextlib
import functools
import importlib.util
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import grpc
import numpy as np
import psutil
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from retouch_server.errors import ModelUnavailable
from retouch_server.local import control, stubs
from retouch_server.local.repository import assemble, default_source
from retouch_server.local.runtime import locate_triton
from retouch_server.local.shm import remove_regions
from retouch_server.models.backend import Array, Call, Output
from retouch_server.models.triton import TritonServer
from tests.k8s.policies.scaling import TRITON_METRICS
from tests.k8s.rendering import BUILDS, ROOT, containers, find, loaded_models, render
from tests.support.processes import free_port
from tests.support.service import eventually

pytestmark = [pytest.mark.triton, pytest.mark.asyncio(loop_scope="module")]

_spec = importlib.util.spec_from_file_location("triton_alive", ROOT / "docker/triton_alive.py")
assert _spec is not None
assert _spec.loader is not None
triton_alive = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(triton_alive)

POOL = "triton-restore"


@dataclass(frozen=True, slots=True)
class Pool:
    process: subprocess.Popen[bytes]
    http: str
    grpc: str
    metrics: str

    async def health(self) -> health_pb2.HealthCheckResponse.ServingStatus:
        """What the manifest's gRPC probes are told."""
        async with grpc.aio.insecure_channel(self.grpc) as channel:
            answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
            return answer.status


@contextlib.asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Pool]:
    """tritonserver with the arguments of the manifest, but for where things are on this machine."""
    await asyncio.to_thread(assemble, [default_source()], folder / "models")
    files = locate_triton()
    files.make_backends(folder / "backends")
    ports = {name: free_port() for name in ("http", "grpc", "metrics")}
    prefix = f"retouch-pool-{os.getpid()}-{ports['grpc']}-"
    here = [
        f"--model-repository={folder / 'models'}",
        f"--backend-directory={folder / 'backends'}",
        f"--backend-config=python,shm-region-prefix-name={prefix}",
        *(f"--{name}-port={port}" for name, port in ports.items()),
        *(f"--{name}-address=127.0.0.1" for name in ("grpc", "metrics")),
    ]
    arguments = [each for each in containers(find(render("base"), "Deployment", POOL))[0]["args"] if "repository" not in each]
    process = _start([str(files.server), *arguments, *here], files.environment(), folder / "log")
    pool = Pool(
        process, f"http://127.0.0.1:{ports['http']}", f"127.0.0.1:{ports['grpc']}", f"http://127.0.0.1:{ports['metrics']}"
    )
    try:
        async with asyncio.timeout(120):
            while not await control.is_live(pool.http) or not await control.is_listening("127.0.0.1", ports["metrics"]):
                assert process.poll() is None, (folder / "log").read_text()[-3000:]
                await asyncio.sleep(0.1)
        yield pool
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            for each in psutil.Process(process.pid).children(recursive=True):
                each.kill()
        process.kill()
        process.wait()
        remove_regions(prefix)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def pool(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pool]:
    async with running(tmp_path_factory.mktemp("pool")) as pool:
        yield pool


@pytest.mark.parametrize("build", BUILDS)
async def test_tritonserver_knows_every_option(build: str) -> None:
    known = _options()
    for name in ("restore", "upscale", "diffusion"):
        arguments = containers(find(render(build), "Deployment", f"triton-{name}"))[0]["args"]
        assert {each.partition("=")[0] for each in arguments} <= known


async def test_serves_the_models_of_the_pool_and_no_others(pool: Pool) -> None:
    assert await pool.health() == health_pb2.HealthCheckResponse.SERVING
    ready = {each.name for each in await control.model_states(pool.http) if each.is_ready}
    assert ready == set(loaded_models(find(render("base"), "Deployment", POOL)))


async def test_exports_the_series_that_were_recorded(pool: Pool) -> None:
    """Which is what the policies hold the scalers' queries against."""
    _, body = await control._request("GET", pool.metrics, "/metrics")  # pyright: ignore[reportPrivateUsage]
    lines = [line for line in body.decode().splitlines() if line and not line.startswith("#")]
    assert {line.partition("{")[0].split(" ")[0] for line in lines} == set(TRITON_METRICS.read_text().split())


async def test_alive_until_a_model_s_process_dies(pool: Pool, tmp_path: Path) -> None:
    """The manifest's liveness probe sees what Triton's own health does not."""
    proc = tmp_path / "proc"  # of this server alone
    proc.mkdir()
    running = stubs.running_stubs(pool.process.pid)
    for pid in running:
        (proc / str(pid)).symlink_to(f"/proc/{pid}")
    url = f"{pool.http}/v2/health/live"
    assert await asyncio.to_thread(triton_alive.main, url, proc) == 0
    pid = next(iter(running))
    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: triton_alive.dead_stubs(proc) == [str(pid)])
    assert await asyncio.to_thread(triton_alive.main, url, proc) == 1
    assert await pool.health() == health_pb2.HealthCheckResponse.SERVING


async def test_finishes_what_it_has_when_told_to_leave(tmp_path: Path) -> None:
    """As after preStop: a call under way gets its answer; a new one is refused in words that an orchestrator takes to another
    pod; and the server ends by itself."""
    rng = np.random.default_rng(0)
    image = cv2.resize(rng.integers(0, 255, (16, 16, 3), np.uint8), (512, 512))
    mask = np.zeros((512, 512, 1), np.uint8)
    mask[128:384, 128:384] = 255
    call = Call("inpaint_classical", {"image": image, "mask": mask}, {"result": Output(image.shape, np.uint8)})
    async with running(tmp_path) as pool, contextlib.AsyncExitStack() as at_end:
        server = TritonServer(pool.grpc, use_shared_memory=False)
        at_end.push_async_callback(server.close)
        under_way = asyncio.create_task(_result(server, call))
        await asyncio.sleep(0.3)
        assert not under_way.done(), "the call has to be under way for this to show anything"
        pool.process.terminate()
        await asyncio.sleep(0.2)
        with pytest.raises(ModelUnavailable):
            await _result(server, call)
        result = await under_way
        assert (result[mask[..., 0] == 0] == image[mask[..., 0] == 0]).all()
        assert await asyncio.to_thread(pool.process.wait, 30) == 0


async def _result(server: TritonServer, call: Call) -> Array:
    async with server.infer(call) as outputs:
        return outputs["result"].copy()


async def test_not_alive_where_nobody_answers(tmp_path: Path) -> None:
    assert triton_alive.main(f"http://127.0.0.1:{free_port()}/", tmp_path) == 1


def _start(command: list[str], environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as file:
        return subprocess.Popen(command, env=environment, stdout=file, stderr=file)


@functools.cache
def _options() -> frozenset[str]:
    """Every option of the real tritonserver."""
    files = locate_triton()
    run = subprocess.run([files.server, "--help"], env=files.environment(), capture_output=True, text=True, check=False)
    return frozenset((run.stdout + run.stderr).split())
