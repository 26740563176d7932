"""The python-based backend `onnxruntime`, in a real tritonserver."""

import json
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from tritonclient.utils import InferenceServerException

from retouch_server.local.repository import assemble
from retouch_server.local.triton import LocalTriton, LocalTritonSettings
from tests.local.onnx_models import batch_telling, inverting, only_four_rows, write_model
from tests.local.serving import eventually, infer, picture

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Long enough for requests that are sent together to be found together.
BATCHING = "dynamic_batching { max_queue_delay_microseconds: 300000 preferred_batch_size: [4] }"
THREADS = 'parameters { key: "intra_op_thread_count" value { string_value: "2" } }'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def triton(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalTriton]:
    folder = tmp_path_factory.mktemp("onnxruntime")
    source = folder / "source"
    write_model(source, "invert", inverting(), extra=THREADS)
    write_model(source, "unbatched", inverting(), max_batch_size=0, rank="-1, ")
    write_model(source, "together", batch_telling(), extra=BATCHING)
    write_model(source, "ragged", batch_telling(), extra=BATCHING, input_extra="allow_ragged_batch: true")
    write_model(source, "four_rows", only_four_rows(), extra=BATCHING, input_extra="allow_ragged_batch: true")
    assemble([source, Path(__file__).parents[1] / "support" / "model_repository"], folder / "models")
    async with LocalTriton(LocalTritonSettings(folder / "models", folder / "state")) as triton:
        yield triton


async def executions(triton: LocalTriton, model: str, inferences: int) -> int:
    """Runs of a model, once Triton has counted so many inferences: it answers first and counts then."""
    figures: dict[str, Any] = {}

    def has_counted() -> bool:
        with urllib.request.urlopen(f"{triton.http_url}/v2/models/{model}/stats") as answer:
            figures.update(json.load(answer)["model_stats"][0])
        return figures["inference_count"] >= inferences

    await eventually(has_counted)
    assert figures["inference_count"] == inferences
    return figures["execution_count"]


@pytest.mark.parametrize("shape", [(4, 6), (1, 1), (513, 257)])
async def test_the_graph_is_run(triton: LocalTriton, shape: tuple[int, int]) -> None:
    images = picture(*shape, count=2)
    (result,) = await infer(triton.grpc_url, "invert", images)
    np.testing.assert_array_equal(result, 255 - images)


async def test_a_model_without_a_batch_dimension(triton: LocalTriton) -> None:
    images = picture(count=3)
    results = await infer(triton.grpc_url, "unbatched", images, images + 1)
    np.testing.assert_array_equal(results, [255 - images, 254 - images])


async def test_identity_gives_the_same_bytes(triton: LocalTriton) -> None:
    batches = [picture(37, 51, count=2, seed=seed) for seed in range(8)]
    results = await infer(triton.grpc_url, "identity", *batches)
    np.testing.assert_array_equal(results, batches)


async def test_requests_of_one_shape_run_as_one_batch(triton: LocalTriton) -> None:
    results = await infer(triton.grpc_url, "together", *[picture()] * 4)

    assert [np.unique(result).tolist() for result in results] == [[4]] * 4
    assert await executions(triton, "together", inferences=4) == 1


async def test_requests_of_different_shapes_run_as_a_batch_each(triton: LocalTriton) -> None:
    shapes = [(4, 6), (5, 6), (4, 6), (4, 6)]
    results = await infer(triton.grpc_url, "ragged", *(picture(*shape) for shape in shapes))

    assert [np.unique(result).tolist() for result in results] == [[3], [1], [3], [3]]
    assert [result.shape[1:3] for result in results] == shapes
    assert await executions(triton, "ragged", inferences=4) == 1


async def test_a_group_that_fails_fails_alone(triton: LocalTriton) -> None:
    good, bad = picture(4, 6), picture(5, 6)
    results = await infer(triton.grpc_url, "four_rows", good, bad, good, bad)

    np.testing.assert_array_equal(results[0], good)
    np.testing.assert_array_equal(results[2], good)
    for error in (results[1], results[3]):
        assert isinstance(error, InferenceServerException)
        assert error.status() == "StatusCode.INTERNAL"
        assert "Add" in error.message()
    (again,) = await infer(triton.grpc_url, "four_rows", good)
    np.testing.assert_array_equal(again, good)


async def test_a_batch_that_is_too_large_is_the_callers_fault(triton: LocalTriton) -> None:
    (error,) = await infer(triton.grpc_url, "invert", picture(count=9))
    assert isinstance(error, InferenceServerException)
    assert error.status() == "StatusCode.INVALID_ARGUMENT"
