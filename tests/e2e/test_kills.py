"""Processes are killed; the next edit succeeds, and nothing stays behind."""

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from retouch import RetouchClient, RetouchError
from retouch.v1.edit_service_pb2_grpc import EditServiceStub
from retouch_server.local.up import LocalService
from tests.e2e.conftest import at_rest_now
from tests.support.processes import shared_memory_of
from tests.support.service import eventually
from tests.support.wire import noise, opened, say, tile

pytestmark = pytest.mark.asyncio(loop_scope="session")  # that of the service
IMAGE = noise(2000, 2000)


def tiles_run(service: LocalService) -> float:
    labels = {"stage": "upscale", "model": "identity", "outcome": "run"}
    return service.app.metrics.registry.get_sample_value("retouch_tiles_total", labels) or 0.0


async def still_answers(service: LocalService) -> None:
    async with RetouchClient(service.target) as client:
        image = noise(700, 600)
        assert np.array_equal(await client.edit_image(image, upscaler="identity", timeout_s=90), image)
    await at_rest_now(service)


@pytest.mark.parametrize("victim", ["triton", "a stub"])
async def test_a_model_server_is_killed_mid_edit(service: LocalService, victim: str) -> None:
    """The edit that ran either waits for the restart and is right, or says that the model is away."""
    async with RetouchClient(service.target) as client:
        before = tiles_run(service)
        edit = asyncio.ensure_future(client.edit_image(IMAGE, upscaler="identity", timeout_s=120))
        await eventually(lambda: tiles_run(service) > before)
        stubs = [pid for pid, name in service.triton.stubs.items() if "identity" in name]
        pid = service.triton.pid if victim == "triton" else stubs[0]
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        (outcome,) = await asyncio.gather(edit, return_exceptions=True)
        if isinstance(outcome, RetouchError):
            assert outcome.reason in ("MODEL_UNAVAILABLE", "MODEL_FAULT"), repr(outcome)  # type: ignore[attr-defined]
        else:
            assert np.array_equal(outcome, IMAGE)
    await still_answers(service)


CLIENT = """
import asyncio, sys
import numpy as np
from retouch import RetouchClient
async def main():
    async with RetouchClient(sys.argv[1]) as client:
        async for event in client.edit(np.zeros((4000, 4000, 3), np.uint8), upscaler="identity"):
            print(type(event).__name__, flush=True)
asyncio.run(main())
"""


async def test_a_client_process_is_killed_mid_edit(service: LocalService) -> None:
    client = await asyncio.create_subprocess_exec(sys.executable, "-c", CLIENT, service.target, stdout=asyncio.subprocess.PIPE)
    assert client.stdout is not None
    async with asyncio.timeout(60):
        while b"TileReady" not in await client.stdout.readline():
            pass
        client.kill()
        await client.wait()
    await still_answers(service)


@dataclass
class Orchestrator:
    """`python -m retouch_server` in a process of its own."""

    process: asyncio.subprocess.Process
    target: str


async def start_orchestrator(service: LocalService, folder: Path, port: int = 0) -> asyncio.subprocess.Process:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RETOUCH_")} | {
        "RETOUCH_HOST": "127.0.0.1",
        "RETOUCH_PORT": str(port),
        "RETOUCH_METRICS_PORT": "0",
        "RETOUCH_TRITON_URLS": service.app.settings.triton_urls,
        "RETOUCH_MASK_STORE": f"sqlite+aiosqlite:///{folder}/masks.db",
    }
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "retouch_server",
        env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip


@asynccontextmanager
async def orchestrator(service: LocalService, folder: Path) -> AsyncIterator[Orchestrator]:
    process = await start_orchestrator(service, folder)
    assert process.stdout is not None
    log: list[str] = []
    try:
        async with asyncio.timeout(60):
            while not (found := re.search(r"serving on 127.0.0.1:(\d+)", log[-1] if log else "")):
                line = await process.stdout.readline()
                assert line, "".join(log)
                log.append(line.decode())
        drained = asyncio.create_task(process.stdout.read())
        yield Orchestrator(process, f"127.0.0.1:{found[1]}")
        async with asyncio.timeout(30):
            await process.wait()
            await drained
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_sigterm_finishes_the_edit_in_flight_and_leaves(service: LocalService, tmp_path: Path) -> None:
    image = noise(1200, 800)
    async with orchestrator(service, tmp_path) as server, aio.insecure_channel(server.target) as channel:
        stub, health = EditServiceStub(channel), health_pb2_grpc.HealthStub(channel)
        call = stub.Edit(timeout=60)
        await call.write(opened(1200, 800, upscaler="identity"))
        assert (await call.read()).WhichOneof("message") == "accepted"
        await call.write(tile(image, 0, 0, 300))
        regions = shared_memory_of(server.process.pid)
        watch = health.Watch(health_pb2.HealthCheckRequest(service=""))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        server.process.send_signal(signal.SIGTERM)
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        refused = await say(stub, [opened(8, 8), tile(noise(8, 8))])
        assert (refused.code.name, refused.reason) == ("UNAVAILABLE", "DRAINING")
        for y in range(300, 1200, 300):
            await call.write(tile(image, y, 0, 300))
        await call.done_writing()
        rows = 0
        async with asyncio.timeout(60):
            while (response := await call.read()).WhichOneof("message") != "done":
                if response.WhichOneof("message") != "tile":
                    continue
                part = response.tile
                pixels = np.frombuffer(part.data, np.uint8).reshape(part.rect.height, -1, 3)
                assert np.array_equal(pixels, image[part.rect.y : part.rect.y + part.rect.height])
                rows += part.rect.height
        assert rows == 1200
        assert (await call.code()).name == "OK"
    assert server.process.returncode == 0
    assert not [region for region in regions if region.exists()]


async def test_a_second_orchestrator_on_the_same_port_says_so_and_ends(service: LocalService, tmp_path: Path) -> None:
    process = await start_orchestrator(service, tmp_path, port=service.app.port)
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    assert process.returncode == 1
    last_line = output.decode().strip().splitlines()[-1]
    assert last_line == f"retouch-server: cannot listen on 127.0.0.1:{service.app.port}: the port is taken"


async def _read_to_the_end(call: Any) -> None:
    with contextlib.suppress(aio.AioRpcError):
        while await call.read() is not aio.EOF:
            pass


async def test_an_orchestrator_that_is_killed_leaves_no_shared_memory(service: LocalService, tmp_path: Path) -> None:
    async with orchestrator(service, tmp_path) as server, aio.insecure_channel(server.target) as channel:
        call = EditServiceStub(channel).Edit(timeout=60)
        await call.write(opened(1200, 800, upscaler="identity"))
        for y in range(0, 900, 300):
            await call.write(tile(noise(1200, 800), y, 0, 300))
        async with asyncio.timeout(60):
            while (await call.read()).WhichOneof("message") != "tile":
                pass
        regions = shared_memory_of(server.process.pid)
        assert regions
        server.process.kill()
        await _read_to_the_end(call)
    await eventually(lambda: not [region for region in regions if region.exists()])
    await still_answers(service)
