"""Traces from the orchestrator into a real tritonserver."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from retouch_server.local.repository import assemble
from retouch_server.local.triton import LocalTriton, LocalTritonSettings
from retouch_server.local.up import traces_over_http
from retouch_server.models.backend import Call, Output
from retouch_server.models.triton import TritonServer
from retouch_server.telemetry.tracing import Tracing, span
from tests.local.serving import eventually, picture
from tests.support.collector import Collector, Span, collector

SUPPORT = Path(__file__).parents[1] / "support" / "model_repository"


async def trace_calls(url: str, collected: Collector, share_memory: bool) -> None:
    """A call of the model that is not sampled, and one that is."""
    tracing = Tracing(collected.endpoint, 1.0, "1.0")
    server = TritonServer(url, use_shared_memory=share_memory)
    await server.specs()
    (image,) = picture()
    call = Call("identity", {"image": image}, {"result": Output(image.shape, np.uint8)})
    for metadata in ({"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-00"}, {}):
        served = tracing.begin("test/Edit", metadata)
        with span("call identity"):
            async with server.infer(call) as outputs:
                assert np.array_equal(outputs["result"], image)
        served.end("OK", is_fault=False)
    await server.close()
    await asyncio.to_thread(tracing.close)


@pytest.mark.parametrize("share_memory", [True, False])
async def test_spans_of_triton_join_the_trace(tmp_path: Path, share_memory: bool) -> None:
    """Those of a call that is sampled; of other requests it makes none."""
    assemble([SUPPORT], tmp_path / "models")
    async with collector() as collected:
        url = traces_over_http(collected.endpoint)
        assert url == collected.http_url
        settings = LocalTritonSettings(tmp_path / "models", tmp_path / "state", start_timeout_s=60, traces_url=url)
        async with LocalTriton(settings) as triton:
            await asyncio.create_task(trace_calls(triton.grpc_url, collected, share_memory))
            await eventually(lambda: len(spans_of_triton(collected)) >= 3)
    request = collected.the("InferRequest")
    assert (request.parent, request.trace) == (collected.the("call identity").id, collected.the("test/Edit").trace)
    (model,) = collected.children(request)
    assert (model.name, model.attributes["triton.model_name"]) == ("identity", "identity")
    assert [span.name for span in collected.children(model)] == ["compute"]
    assert {span.trace for span in spans_of_triton(collected)} == {request.trace}


def spans_of_triton(collected: Collector) -> list[Span]:
    return [span for span in collected.spans if span.service == "triton-inference-server"]
