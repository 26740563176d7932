"""What the service tells of its models is what stands in the repository."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from retouch import RetouchClient
from retouch_server.local.up import LocalService
from retouch_server.models.spec import parse_spec
from tests.e2e.conftest import REPOSITORIES

pytestmark = pytest.mark.asyncio(loop_scope="session")  # that of the service
CONFIGS = sorted(
    (path for repository in REPOSITORIES for path in repository.glob("*/config.pbtxt")), key=lambda p: p.parent.name
)


def parse_config(path: Path) -> Any:
    return text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())


async def test_every_model_of_the_repository_is_listed_and_ready(service: LocalService) -> None:
    async with RetouchClient(service.target) as client:
        models = await client.models()
    assert [model.name for model in models] == [config.parent.name for config in CONFIGS]
    assert [model.name for model in models if not model.is_ready] == []


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.parent.name)
async def test_a_model_is_told_as_its_configuration_says(service: LocalService, config: Path) -> None:
    async with RetouchClient(service.target) as client:
        (told,) = [model for model in await client.models() if model.name == config.parent.name]
    parsed = parse_config(config)
    parameters = {key: value.string_value for key, value in parsed.parameters.items()}
    spec = parse_spec(told.name, parameters, versions=tuple(told.versions))
    assert spec is not None
    for name in ("method", "scale", "window_px", "halo_px", "receptive_field_px", "multiple_px", "is_deterministic"):
        assert getattr(told, name) == getattr(spec, name), name
    assert told.kind == spec.kind
    assert told.versions
    assert len(told.digest) == hashlib.sha256().digest_size * 2
