"""A service over fake models for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.service import Service, serve


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with serve(tmp_path, upload_idle_s=1.0) as service:
        yield service
        await service.still_answers()
