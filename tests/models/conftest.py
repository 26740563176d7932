"""The models' algorithm files, imported by path as Triton's stub imports them: with their version folder on sys.path."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2] / "model_repository"


def load(model: str, module: str) -> ModuleType:
    """`<model>/1/<module>.py`, with its neighbours importable."""
    folder = REPOSITORY / model / "1"
    spec = importlib.util.spec_from_file_location(module, folder / f"{module}.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[module] = loaded  # dataclasses look their module up
    sys.path.insert(0, str(folder))
    try:
        spec.loader.exec_module(loaded)
    finally:
        sys.path.remove(str(folder))
    return loaded


@pytest.fixture(scope="session")
def exemplar() -> ModuleType:
    return load("inpaint_classical", "exemplar")


@pytest.fixture(scope="session")
def find() -> Any:
    """text_removal's network."""
    return load("text_removal", "strokes").StrokeFinder(REPOSITORY / "text_removal" / "1")


@pytest.fixture(scope="session")
def removal() -> ModuleType:
    return load("text_removal", "removal")


@pytest.fixture(scope="session")
def colour() -> ModuleType:
    return load("text_removal", "colour")


@pytest.fixture(scope="session")
def repeats() -> ModuleType:
    return load("text_removal", "repeats")


@pytest.fixture(scope="session")
def detector() -> ModuleType:
    return load("text_detect", "detector")


@pytest.fixture(scope="session")
def cropping() -> ModuleType:
    return load("precheck", "crops")


@pytest.fixture(scope="session")
def precheck() -> Any:
    return load("precheck", "scores").Precheck(REPOSITORY / "precheck" / "1" / "model.onnx")
