"""What holds for every test: the same examples in each run, and no time limit for one of them on a busy machine."""

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "retouch",
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("retouch")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "triton: needs a tritonserver, which takes a while to start; `-m 'not triton'` leaves it out"
    )
