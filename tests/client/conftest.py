"""The fake service and a client of it, for every test of the client."""

from collections.abc import AsyncIterator

import numpy as np
import pytest

from retouch import RetouchClient, Retry
from retouch.testing import FakeServer
from tests.client.support import Naps


@pytest.fixture
async def fake() -> AsyncIterator[FakeServer]:
    async with FakeServer() as server:
        yield server


@pytest.fixture
def naps() -> Naps:
    return Naps()


@pytest.fixture
async def client(fake: FakeServer, naps: Naps) -> AsyncIterator[RetouchClient]:
    retry = Retry(jitter=0, sleep=naps.sleep, clock=naps.clock)
    async with RetouchClient(fake.target, retry=retry) as connected:
        yield connected


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240607)
