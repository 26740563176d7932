"""Two real Tritons as replicas: calls are shared out, and outlive the death of one."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from benchmarks.drill.servers import get, total
from retouch_server.local.launch import LocalTritonSettings
from retouch_server.local.repository import assemble
from retouch_server.local.triton import LocalTriton
from retouch_server.models.addresses import parse_address
from retouch_server.models.backend import Call, Output
from retouch_server.models.dispatch import Dispatcher
from retouch_server.models.pools import Pools
from retouch_server.models.triton import TritonServer
from retouch_server.telemetry.metrics import Metrics
from tests.local.serving import eventually, picture

SUPPORT = Path(__file__).parents[1] / "support" / "model_repository"


@pytest.fixture
async def tritons(tmp_path: Path) -> AsyncIterator[list[LocalTriton]]:
    assemble([SUPPORT], tmp_path / "models")
    async with AsyncExitStack() as stack:
        servers = [LocalTriton(LocalTritonSettings(tmp_path / "models", tmp_path / f"state{number}")) for number in range(2)]
        for server in servers:
            await stack.enter_async_context(server)
        yield servers


async def called(triton: LocalTriton) -> float:
    """Requests that it has answered since it was started."""
    return total(await asyncio.to_thread(get, triton.metrics_url), "nv_inference_request_success")


async def settled(triton: LocalTriton) -> float:
    """`called`, once it stands still: Triton counts a request after it has answered it."""
    count = await called(triton)
    while True:
        await asyncio.sleep(0.2)
        before, count = count, await called(triton)
        if count == before:
            return count


@pytest.mark.parametrize("use_shared_memory", [None, False])
async def test_replicas_share_calls_and_outlive_a_kill(tritons: list[LocalTriton], use_shared_memory: bool | None) -> None:
    metrics = Metrics()
    names = [parse_address(triton.grpc_url) for triton in tritons]
    backend = Pools(names, partial(TritonServer, use_shared_memory=use_shared_memory, metrics=metrics))
    dispatcher = Dispatcher(backend)
    retries: list[None] = []
    try:
        assert [spec.name for spec in await backend.specs()] == ["identity"]

        async def right(seed: int) -> None:
            image = picture(60, 50, seed=seed)[0]
            call = Call("identity", {"image": image}, {"result": Output(image.shape, np.uint8)})
            async with dispatcher.infer(call, lambda: retries.append(None)) as outputs:
                assert np.array_equal(outputs["result"], image)

        for seed in range(10):
            await right(seed)
        assert [await settled(triton) for triton in tritons] == [5, 5]

        for replica in backend._replicas.values():
            replica.server._forget()  # type: ignore[attr-defined]  # as after a timeout of one that goes on living
        for seed in range(4):
            await right(seed)
        assert retries == []

        before = tritons[1].pid
        assert before is not None
        killing = asyncio.get_running_loop().call_later(0.05, os.kill, before, signal.SIGKILL)
        for first in range(0, 400, 8):
            async with asyncio.TaskGroup() as group:
                for seed in range(first, first + 8):
                    group.create_task(right(seed))
        assert killing.when() < asyncio.get_running_loop().time()
        assert 0 < len(retries) < 20, "the dead one was skipped at once"

        await eventually(lambda: tritons[1].restarts == 1, timeout_s=60)
        async with asyncio.timeout(20):
            while not await called(tritons[1]):  # its connection may take a second to come back
                await backend.specs()
                await right(0)
        retries.clear()
        had = await settled(tritons[1])
        for seed in range(10):
            await right(seed)
        assert await settled(tritons[1]) == had + 5
        assert retries == [], "what the restarted one forgot was registered again"
        assert metrics.registry.get_sample_value("retouch_shared_memory_slots_in_use") == 0
    finally:
        await backend.close()
    assert metrics.registry.get_sample_value("retouch_shared_memory_slots") == 0
