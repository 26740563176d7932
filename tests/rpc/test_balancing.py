"""Several servers behind one name: clients share their calls out among those that serve, and find those that are new."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.drill.nameserver import NameServer, name_server
from retouch import RetouchClient, Retry, UnavailableError
from tests.support.processes import free_port
from tests.support.service import Service, eventually, serve
from tests.support.wire import noise

HOSTS = ("127.0.1.1", "127.0.1.2")
IMAGE = noise(40, 30)


class Replicas:
    """Services on one port of several addresses of the loopback interface, and the name that they are behind."""

    def __init__(self, stack: AsyncExitStack, folder: Path, names: NameServer) -> None:
        self._stack, self._folder, self._port = stack, folder, free_port()
        self.names = names
        self.target = names.target(self._port)

    async def add(self, host: str, **settings: Any) -> Service:
        folder = self._folder / host
        folder.mkdir()
        values = {"host": host, "port": self._port, "result_cache": "off"} | settings
        service = await self._stack.enter_async_context(serve(folder, **values))
        self.names.addresses.append(host)
        return service


@pytest.fixture
async def replicas(tmp_path: Path) -> AsyncIterator[Replicas]:
    async with AsyncExitStack() as stack:
        yield Replicas(stack, tmp_path, await stack.enter_async_context(name_server()))


def done(service: Service) -> float:
    return service.value("edits_total", outcome="done", code="OK", reason="OK")


async def edited(client: RetouchClient) -> bool:
    return np.array_equal(await client.edit_image(IMAGE, upscaler="identity", timeout_s=60), IMAGE)


async def test_a_server_that_drains_is_left_alone_and_finishes_what_it_has(replicas: Replicas) -> None:
    first, second = [await replicas.add(host) for host in HOSTS]
    async with RetouchClient(replicas.target, retry=Retry(attempts=2)) as client:
        async with asyncio.timeout(20):
            while not (done(first) and done(second)):  # the second connection may take a moment longer
                assert await edited(client)
        before = done(first), done(second)
        for _ in range(6):
            assert await edited(client)
        assert (done(first), done(second)) == (before[0] + 3, before[1] + 3)

        first.gate.close()
        had = done(second)
        edits = [asyncio.create_task(edited(client)) for _ in range(2)]
        await first.gate.reached(1)
        drain = asyncio.create_task(first.app.drain())
        for _ in range(10):
            assert await edited(client)
        await eventually(lambda: done(second) == had + 11)
        refused = first.value("edits_total", outcome="failed", code="UNAVAILABLE", reason="DRAINING")
        assert refused <= 1, "what was on its way when it said that it drains"
        assert not drain.done()
        first.gate.open()
        assert await asyncio.gather(*edits) == [True, True]
        await drain


async def test_a_server_that_is_new_gets_calls_within_seconds(replicas: Replicas) -> None:
    first = await replicas.add(HOSTS[0], connection_age_s=1.0)
    async with RetouchClient(replicas.target, retry=Retry(attempts=1)) as client:
        assert await edited(client)
        second = await replicas.add(HOSTS[1])
        async with asyncio.timeout(20):
            while not done(second):
                assert await edited(client), "and none fails while connections are renewed"
                await asyncio.sleep(0.05)
    assert done(first) > 1


async def test_an_edit_outlives_its_connections_age(replicas: Replicas) -> None:
    service = await replicas.add(HOSTS[0], connection_age_s=0.2)
    service.gate.close()
    async with RetouchClient(replicas.target, retry=Retry(attempts=1)) as client:
        edit = asyncio.create_task(edited(client))
        await service.gate.reached(1)
        asked = replicas.names.queries
        await eventually(lambda: replicas.names.queries > asked)  # the connection was renewed since
        assert service.app.admission.in_flight == 1
        service.gate.open()
        assert await edit


async def test_where_no_server_serves_the_client_says_so(replicas: Replicas) -> None:
    service = await replicas.add(HOSTS[0])
    await service.app.drain()
    async with RetouchClient(replicas.target, retry=Retry(attempts=1)) as client:
        with pytest.raises(UnavailableError):
            await edited(client)
        assert await client.health() == "not_serving"
