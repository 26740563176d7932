"""One real Triton with the product's models and the identity, and an orchestrator in front of it, for all tests here."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from retouch_server.local.up import LocalService, LocalSettings, local_service
from tests.support.processes import shared_memory_of
from tests.support.service import GAUGES, eventually, tasks_of_edits

ROOT = Path(__file__).parents[2]
REPOSITORIES = (ROOT / "model_repository", ROOT / "tests" / "support" / "model_repository")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.triton)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalService]:
    """Results are not kept: what is asked here is what the models do, each time."""
    settings = LocalSettings(
        state_dir=tmp_path_factory.mktemp("state"), model_repositories=REPOSITORIES, server={"result_cache": "off"}
    )
    async with local_service(settings) as service:
        prefix = service.triton.shm_prefix
        yield service
        regions = shared_memory_of()
        assert service.app.admission.in_flight == 0
    assert [region for region in regions if region.exists()] == [], "nothing stays in shared memory"
    assert [name for name in os.listdir("/dev/shm") if name.startswith(prefix)] == []


@pytest_asyncio.fixture(autouse=True, loop_scope="session")
async def at_rest(service: LocalService) -> AsyncIterator[None]:
    """After each test all was given back."""
    yield
    await at_rest_now(service)


async def at_rest_now(service: LocalService) -> None:
    app = service.app
    await eventually(lambda: not app.admission.in_flight and not tasks_of_edits())
    sample = app.metrics.registry.get_sample_value
    await eventually(lambda: sample("retouch_shared_memory_slots_in_use") == 0, timeout_s=60)
    assert [sample(f"retouch_{name}") for name in GAUGES] == [0.0] * len(GAUGES)
