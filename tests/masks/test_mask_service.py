"""MaskService behind a real grpc.aio server: answers, limits, and a status for every illegal sequence."""

import asyncio
import hashlib
import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2
from grpc import aio
from grpc_status import rpc_status
from numpy.typing import NDArray

from retouch.v1 import image_pb2
from retouch.v1 import mask_service_pb2 as pb
from retouch.v1.mask_service_pb2_grpc import MaskServiceStub, add_MaskServiceServicer_to_server
from retouch_server.errors import ModelUnavailable
from retouch_server.imaging.codec import encode_png
from retouch_server.imaging.mask import Mask
from retouch_server.masks.store import MaskStore
from retouch_server.rpc import interceptors, mask_service
from retouch_server.rpc.interceptors import ErrorInterceptor
from retouch_server.rpc.mask_service import MaskService
from retouch_server.telemetry.metrics import Metrics

MIB = 1024 * 1024
TIMEOUT_S = 20  # of a call; nothing here comes near


@dataclass
class Served:
    stub: MaskServiceStub
    store: MaskStore
    metrics: Metrics

    def count(self, outcome: str) -> float:
        value = self.metrics.registry.get_sample_value("retouch_mask_writes_total", {"outcome": outcome})
        assert value is not None
        return value

    def put(self, messages: Iterable[pb.PutMaskRequest] | AsyncIterator[pb.PutMaskRequest]) -> aio.StreamUnaryCall:
        return self.stub.PutMask(messages, timeout=TIMEOUT_S)


async def detect(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Text is where red is; black pictures find the model away."""
    if not picture.any():
        raise ModelUnavailable("the text detector does not answer; try again", 2.5)
    return picture[:, :, 0]


@asynccontextmanager
async def serve(folder: Path) -> AsyncGenerator[Served]:
    store, metrics = await MaskStore.open(f"sqlite+aiosqlite:///{folder}/masks.db"), Metrics()
    with ThreadPoolExecutor(1) as executor:
        server = aio.server(
            interceptors=[ErrorInterceptor()],
            options=[("grpc.max_receive_message_length", MIB), ("grpc.max_send_message_length", MIB)],
        )
        add_MaskServiceServicer_to_server(MaskService(store, executor, detect, metrics, stall_s=0.3), server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Served(MaskServiceStub(channel), store, metrics)
        await server.stop(5)
    await store.close()


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serve(tmp_path) as served:
        yield served


def opened(image_id: str = "image", expected_version: int = 0) -> pb.PutMaskRequest:
    return pb.PutMaskRequest(open=pb.OpenPutMask(image_id=image_id, expected_version=expected_version))


def chunks(png: bytes, size: int = 640 * 1024) -> list[pb.PutMaskRequest]:
    return [pb.PutMaskRequest(chunk=png[at : at + size]) for at in range(0, len(png), size)]


def noise(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(height).integers(0, 256, (height, width)).astype(np.uint8)


def reason(error: aio.AioRpcError) -> tuple[grpc.StatusCode, str, dict[str, str]]:
    status = rpc_status.from_call(error)
    assert status is not None, error
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.domain == "retouch.v1"
    return error.code(), info.reason, dict(info.metadata)


async def test_put_get_list(served: Served) -> None:
    pixels = noise(1500, 1600)  # about 2.4 MB of PNG
    png = Mask.from_array(pixels).to_png()
    response = await served.put([opened(), *chunks(png)])
    assert response.created
    assert response.version.version == 1
    assert response.version.digest == hashlib.sha256(pixels.tobytes()).hexdigest()
    assert (response.version.size.height, response.version.size.width) == (1500, 1600)
    assert response.version.created.seconds > 1_600_000_000

    first, *rest = [message async for message in served.stub.GetMask(pb.GetMaskRequest(image_id="image"))]
    assert first.version == response.version
    assert b"".join(message.chunk for message in rest) == png
    assert max(message.ByteSize() for message in rest) < MIB

    again = await served.put([opened(expected_version=1), *chunks(png, 1000_000)])
    assert (again.created, again.version) == (False, response.version)
    second = await served.put([opened(expected_version=1), *chunks(Mask.full(3, 4).to_png(), 7)])
    assert (second.created, second.version.version) == (True, 2)

    listed = await served.stub.ListMaskVersions(pb.ListMaskVersionsRequest(image_id="image", page_size=4_000_000_000))
    assert list(listed.versions) == [second.version, response.version]
    page = await served.stub.ListMaskVersions(pb.ListMaskVersionsRequest(image_id="image", before_version=2))
    assert [version.version for version in page.versions] == [1]
    assert not (await served.stub.ListMaskVersions(pb.ListMaskVersionsRequest(image_id="other"))).versions
    old = [m async for m in served.stub.GetMask(pb.GetMaskRequest(image_id="image", version=1))]
    assert old[0].version == response.version
    assert (served.count("created"), served.count("unchanged")) == (2, 1)


async def test_the_losing_write_is_told_both_versions(served: Served) -> None:
    await served.put([opened(), *chunks(Mask.full(3, 4).to_png())])
    for png in (Mask.full(3, 4).to_png(), Mask.full(5, 6).to_png()):  # equal content loses too
        with pytest.raises(aio.AioRpcError) as caught:
            await served.put([opened(), *chunks(png)])
        code, why, metadata = reason(caught.value)
        assert (code, why) == (grpc.StatusCode.ABORTED, "VERSION_CONFLICT")
        assert metadata == {"image_id": "image", "expected_version": "0", "current_version": "1"}
    assert served.count("conflict") == 2


GOOD = Mask.full(3, 4).to_png()


@pytest.mark.parametrize(
    ("messages", "why"),
    [
        ([], "BAD_SEQUENCE"),
        ([pb.PutMaskRequest()], "BAD_SEQUENCE"),
        ([opened()], "BAD_SEQUENCE"),
        ([opened(), opened(), *chunks(GOOD)], "BAD_SEQUENCE"),
        ([opened(), *chunks(GOOD), opened()], "BAD_SEQUENCE"),
        ([opened(), pb.PutMaskRequest(), *chunks(GOOD)], "BAD_SEQUENCE"),
        (chunks(GOOD), "BAD_SEQUENCE"),
        ([opened(), pb.PutMaskRequest(chunk=b"")], "BAD_SEQUENCE"),
        ([opened(""), *chunks(GOOD)], "BAD_FIELD"),
        ([opened("a b"), *chunks(GOOD)], "BAD_FIELD"),
        ([opened("x" * 201), *chunks(GOOD)], "BAD_FIELD"),
        ([opened(), *chunks(GOOD[:-20])], "BAD_FIELD"),
        ([opened(), *chunks(b"no PNG at all")], "BAD_FIELD"),
        ([opened(), *chunks(encode_png(np.zeros((3, 4, 3), np.uint8)))], "BAD_FIELD"),
    ],
)
async def test_what_is_wrong_is_refused_and_stores_nothing(served: Served, messages: list[pb.PutMaskRequest], why: str) -> None:
    with pytest.raises(aio.AioRpcError) as caught:
        await served.put(messages)
    code, told, metadata = reason(caught.value)
    assert (code, told) == (grpc.StatusCode.INVALID_ARGUMENT, why)
    assert metadata["field"] in {"message", "chunk", "open.image_id"}
    assert "Traceback" not in str(caught.value.details())
    assert await served.store.versions("image") == []
    assert served.count("refused") == 1
    assert (await served.put([opened(), *chunks(GOOD)])).created


async def test_every_sequence_gets_an_answer(served: Served) -> None:
    kinds = {
        "o": opened("seq"),
        "c": pb.PutMaskRequest(chunk=GOOD),
        "n": pb.PutMaskRequest(),
        "x": pb.PutMaskRequest(chunk=b""),
    }
    is_stored = False
    for letters in itertools.chain.from_iterable(itertools.product("ocnx", repeat=n) for n in range(5)):
        call = served.put([kinds[letter] for letter in letters])
        code = await call.code()
        if letters[:1] == ("o",) and letters.count("c") == 1 and set(letters[1:]) <= {"c", "x"}:
            assert code is (grpc.StatusCode.ABORTED if is_stored else grpc.StatusCode.OK), letters
            is_stored = True
        else:
            assert code is grpc.StatusCode.INVALID_ARGUMENT, letters
    assert len(await served.store.versions("seq")) == 1


async def test_an_upload_over_the_limit_is_cut(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mask_service, "MAX_PNG_BYTES", 2_000_000)
    with pytest.raises(aio.AioRpcError) as caught:
        await served.put([opened(), *[pb.PutMaskRequest(chunk=bytes(640_000))] * 10])
    assert reason(caught.value)[1] == "BAD_FIELD"
    assert "2,000,000 bytes" in str(caught.value.details())


async def test_an_endless_upload_ends(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mask_service, "MAX_PNG_BYTES", 2_000_000)
    monkeypatch.setattr(interceptors, "_QUIETEN_S", 0.1)
    call = served.put(itertools.chain([opened()], itertools.repeat(pb.PutMaskRequest(chunk=bytes(640_000)))))
    assert await call.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.INTERNAL)  # see interceptors._quieten
    assert served.count("refused") == 1


@pytest.mark.parametrize("first", [[], [opened()], [opened(), pb.PutMaskRequest(chunk=GOOD)]])
async def test_a_silent_upload_ends(served: Served, first: list[pb.PutMaskRequest]) -> None:
    release = asyncio.Event()

    async def messages() -> AsyncIterator[pb.PutMaskRequest]:
        for message in first:
            yield message
        await release.wait()

    with pytest.raises(aio.AioRpcError) as caught:
        await served.put(messages())
    assert reason(caught.value)[:2] == (grpc.StatusCode.DEADLINE_EXCEEDED, "UPLOAD_STALLED")
    release.set()
    assert await served.store.versions("image") == []


async def test_more_uploads_than_there_is_room_for_are_told_to_come_back(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mask_service, "UPLOADS_AT_ONCE", 2)
    under_way = [served.stub.PutMask(timeout=TIMEOUT_S) for _ in range(2)]
    for number, call in enumerate(under_way):
        await call.write(opened(f"image{number}"))
        await call.write(pb.PutMaskRequest(chunk=GOOD))
    refused = None
    for _ in range(200):  # until both have begun on the server
        try:
            await served.put([opened("third"), *chunks(GOOD)])
        except aio.AioRpcError as error:
            refused = error
            break
    assert refused is not None
    assert reason(refused)[:2] == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
    for call in under_way:
        await call.done_writing()
        assert (await call).created
    assert (await served.put([opened("fourth"), *chunks(GOOD)])).created


async def test_a_client_that_vanishes_after_its_last_chunk_stores_nothing(served: Served) -> None:
    for _ in range(20):
        call = served.stub.PutMask(timeout=TIMEOUT_S)
        await call.write(opened())
        await call.write(pb.PutMaskRequest(chunk=GOOD))
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert (await served.put([opened("fence"), *chunks(GOOD)])).created
    assert await served.store.versions("image") == []


async def test_get_and_list_refuse_what_is_not_there(served: Served) -> None:
    with pytest.raises(aio.AioRpcError) as caught:
        await served.stub.GetMask(pb.GetMaskRequest(image_id="image")).read()
    assert reason(caught.value)[:2] == (grpc.StatusCode.NOT_FOUND, "MASK_NOT_FOUND")
    await served.put([opened(), *chunks(GOOD)])
    for version in (2, 2**63, 2**64 - 1):
        with pytest.raises(aio.AioRpcError) as caught:
            await served.stub.GetMask(pb.GetMaskRequest(image_id="image", version=version)).read()
        code, _, metadata = reason(caught.value)
        assert (code, metadata["version"]) == (grpc.StatusCode.NOT_FOUND, str(version))
    with pytest.raises(aio.AioRpcError) as caught:
        await served.stub.GetMask(pb.GetMaskRequest(image_id="a\nb")).read()
    assert reason(caught.value)[1] == "BAD_FIELD"
    with pytest.raises(aio.AioRpcError) as caught:
        await served.stub.ListMaskVersions(pb.ListMaskVersionsRequest())
    assert reason(caught.value)[1] == "BAD_FIELD"


async def test_suggest(served: Served) -> None:
    picture = np.full((120, 300, 3), 10, np.uint8)
    picture[50:60, 40:240, 0] = 250
    request = pb.SuggestMaskRequest(proxy=image_pb2.Proxy(data=encode_png(picture)))
    response = await served.stub.SuggestMask(request)
    mask = Mask.from_png(response.mask_png)
    assert (response.size.height, response.size.width) == (120, 300) == (mask.height, mask.width)
    (box,) = response.boxes
    assert (mask.window(50, 40, 10, 200) == 255).all()
    assert box.y < 50
    assert box.y + box.height > 60
    assert not mask.any(0, 0, 20, 300)
    assert await served.store.versions("image") == []


async def test_suggest_refuses(served: Served) -> None:
    for request, field in (
        (pb.SuggestMaskRequest(), "proxy"),
        (pb.SuggestMaskRequest(proxy=image_pb2.Proxy(data=b"?")), "proxy.data"),
    ):
        with pytest.raises(aio.AioRpcError) as caught:
            await served.stub.SuggestMask(request)
        assert reason(caught.value) == (grpc.StatusCode.INVALID_ARGUMENT, "BAD_FIELD", {"field": field})
    black = image_pb2.Proxy(data=encode_png(np.zeros((9, 9, 3), np.uint8)))
    with pytest.raises(aio.AioRpcError) as caught:
        await served.stub.SuggestMask(pb.SuggestMaskRequest(proxy=black))
    assert reason(caught.value)[:2] == (grpc.StatusCode.UNAVAILABLE, "MODEL_UNAVAILABLE")
