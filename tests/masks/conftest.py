"""The databases that the registry runs on: the same tests for both."""

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from tests.support import postgres

NewUrl = Callable[[], Awaitable[str]]


@pytest.fixture(scope="session")
def cluster() -> Iterator[postgres.Cluster]:
    if postgres.binaries() is None:
        pytest.skip("PostgreSQL is not installed: Debian's package is `postgresql`")
    with postgres.cluster() as cluster:
        yield cluster


@pytest.fixture(params=["sqlite", "postgresql"])
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> NewUrl:
    """Makes an empty database and gives its URL."""
    if request.param == "postgresql":
        return request.getfixturevalue("cluster").emptied
    numbers = iter(range(1_000_000))

    async def new_file() -> str:
        return f"sqlite:///{tmp_path}/deep/masks_{next(numbers)}.sqlite"

    return new_file


@pytest.fixture
async def url(new_url: NewUrl) -> str:
    return await new_url()
