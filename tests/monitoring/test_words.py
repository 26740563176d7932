"""The examples in the docstrings of what reads PromQL and writes values."""

import doctest
from types import ModuleType

import pytest

from benchmarks.dashboards import units
from tests.monitoring import expressions


@pytest.mark.parametrize("module", [units, expressions], ids=lambda module: module.__name__)
def test_doctests(module: ModuleType) -> None:
    result = doctest.testmod(module)
    assert result.attempted
    assert not result.failed
