"""What else a client of gRPC expects: health, reflection, tokens, TLS, deadlines; and the other services' refusals."""

import asyncio
import io
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf import descriptor_pb2
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from PIL import Image

from retouch.v1 import image_pb2, mask_service_pb2, model_service_pb2, precheck_service_pb2
from retouch.v1.edit_service_pb2_grpc import EditServiceStub
from retouch.v1.mask_service_pb2_grpc import MaskServiceStub
from retouch.v1.model_service_pb2_grpc import ModelServiceStub
from retouch.v1.precheck_service_pb2_grpc import PrecheckServiceStub
from retouch_server.app import App
from retouch_server.config import Settings
from retouch_server.errors import ModelUnavailable
from retouch_server.imaging.codec import encode_png
from retouch_server.models.fake import FakeBackend
from retouch_server.pipeline import edit
from retouch_server.pipeline.cost import Work
from retouch_server.rpc import convert
from retouch_server.rpc.server import SERVICES
from tests.rpc.test_sequences import check_refusal
from tests.support.models import fake_models
from tests.support.service import Service, serve
from tests.support.wire import edit_of, noise, opened, outcome_of, say, tile

IMAGE = noise(40, 30)


async def test_health(service: Service) -> None:
    stub = health_pb2_grpc.HealthStub(service.channel)
    for name in ("", *SERVICES):
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=10)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(aio.AioRpcError) as caught:
        await stub.Check(health_pb2.HealthCheckRequest(service="nonesuch"), timeout=10)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_reflection_tells_the_services_and_their_files(service: Service) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(service.channel)
    requests = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="retouch.v1.EditService"),
    ]
    listed, file = [answer async for answer in stub.ServerReflectionInfo(requests, timeout=10)]
    assert {each.name for each in listed.list_services_response.service} >= {*SERVICES, "grpc.health.v1.Health"}
    files = map(descriptor_pb2.FileDescriptorProto.FromString, file.file_descriptor_response.file_descriptor_proto)
    assert "EditService" in [service.name for found in files for service in found.service]


async def test_an_unknown_method_is_unimplemented(service: Service) -> None:
    with pytest.raises(aio.AioRpcError) as caught:
        await service.channel.unary_unary("/retouch.v1.EditService/Undo")(b"", timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_models_are_listed_as_they_are_served(service: Service) -> None:
    stub: Any = ModelServiceStub(service.channel)
    listed = (await stub.ListModels(model_service_pb2.ListModelsRequest(), timeout=10)).models
    specs = {name: spec for name, (spec, _) in fake_models().items()}
    assert {model.name for model in listed} == set(specs)
    for model in listed:
        spec = specs[model.name]
        assert (model.scale, model.window_px, model.halo_px, model.method) == (
            spec.scale, spec.window_px, spec.halo_px, spec.method,
        )  # fmt: skip
        assert (list(model.versions), model.digest, model.is_ready) == (["1"], spec.digest, True)
        assert model.kind


async def test_a_deadline_that_the_estimate_cannot_meet_is_refused_at_once(service: Service) -> None:
    service.app.editor.estimator.guess("upscale_conservative_x2", 1000.0, 0.0)
    began = time.monotonic()
    outcome = await say(service.edits, edit_of(noise(200, 200), scale=2), timeout_s=60)
    assert time.monotonic() - began < 10
    check_refusal(outcome)
    assert (outcome.code, outcome.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_TOO_SHORT")
    assert int(outcome.info.metadata["estimate_ms"]) > 60_000
    assert service.backend.calls == []


async def test_small_images_and_faults_do_not_spoil_the_estimate(service: Service) -> None:
    """What an image of a few pixels takes is overhead; a stage that waited for its model says nothing of pixels."""
    estimator = service.app.editor.estimator
    for _ in range(5):
        await say(service.edits, edit_of(noise(1, 1), scale=2))
    service.backend.faults.extend(ModelUnavailable("away", 1.0) for _ in range(2))
    await say(service.edits, edit_of(noise(200, 200), scale=2))
    # A millisecond for a pixel would be half an hour for a window.
    assert estimator._costs["upscale_conservative_x2"].seconds(Work(1)) < 1.0
    await say(service.edits, edit_of(noise(200, 200, seed=1), scale=2))
    assert estimator._costs["upscale_conservative_x2"].measured


async def test_without_a_deadline_any_estimate_will_do(service: Service) -> None:
    service.app.editor.estimator.guess("upscale_conservative_x2", 1000.0, 0.0)
    call = service.edits.Edit(iter(edit_of(IMAGE, scale=2)))
    responses = [response async for response in call]
    assert responses[-1].WhichOneof("message") == "done"
    assert responses[0].accepted.estimate.total_ms > 1000


async def test_pixels_never_hold_up_the_loop(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planning a gigapixel and decoding PNG tiles takes a while: in a thread."""
    threads: list[threading.Thread] = []

    def spied(real: Any) -> Any:
        def spy(*arguments: Any) -> Any:
            threads.append(threading.current_thread())
            return real(*arguments)

        return spy

    monkeypatch.setattr(edit, "make_plan", spied(edit.make_plan))
    monkeypatch.setattr(convert, "decode_tile_png", spied(convert.decode_tile_png))
    message = tile(IMAGE)
    message.tile.data, message.tile.encoding = encode_png(IMAGE), image_pb2.ENCODING_PNG
    assert np.array_equal((await say(service.edits, [opened(40, 30), message])).image(), IMAGE)
    assert len(threads) == 2
    assert threading.main_thread() not in threads


async def test_precheck_makes_the_plan_that_edit_makes(service: Service) -> None:
    image, mask = noise(300, 300), np.zeros((300, 300), np.uint8)
    mask[40:60, 20:140] = 255
    image[40:60, 20:140, 0] = 255
    start = opened(300, 300, mask=mask, proxy=image, scale=2).open
    stub: Any = PrecheckServiceStub(service.channel)
    request = precheck_service_pb2.PrecheckRequest(
        size=start.size, pixel_format=start.pixel_format, proxy=start.proxy, mask=start.mask, options=start.options
    )
    told = await stub.Precheck(request, timeout=10)
    outcome = await say(service.edits, edit_of(image, mask=mask, proxy=image, scale=2))
    assert told.plan == outcome.accepted.plan
    assert told.findings == outcome.accepted.findings
    assert told.mask_digest == outcome.accepted.mask_digest
    assert told.findings.needs_text_removal


async def test_precheck_shows_the_picture_and_the_mask_that_it_judged(service: Service) -> None:
    image, mask = np.full((300, 300, 3), 200, np.uint8), np.zeros((300, 300), np.uint8)
    mask[40:60, 20:140] = 255
    proxy = image[::3, ::3]
    start = opened(300, 300, mask=mask, proxy=proxy).open
    stub: Any = PrecheckServiceStub(service.channel)
    size = {"size": start.size, "pixel_format": start.pixel_format, "proxy": start.proxy}
    told = await stub.Precheck(precheck_service_pb2.PrecheckRequest(**size, mask=start.mask), timeout=10)
    picture, judged = (Image.open(io.BytesIO(data)) for data in (told.judged.picture, told.judged.mask))
    assert picture.size == judged.size == (100, 100)
    assert np.abs(np.asarray(picture).astype(int) - 200).max() < 4
    assert np.abs(np.asarray(judged).astype(int) - mask[1::3, 1::3])[12:].sum() < 255 * 100
    assert np.asarray(judged).max() == 255
    bare = await stub.Precheck(precheck_service_pb2.PrecheckRequest(**size), timeout=10)
    assert bare.judged.picture
    assert not bare.judged.mask


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"size": image_pb2.ImageSize(height=0, width=5)}, "size.height"),
        ({"pixel_format": 0}, "pixel_format"),
        ({"proxy": None}, "proxy"),
        ({"proxy": image_pb2.Proxy(data=b"what")}, "proxy.data"),
        ({"mask": image_pb2.MaskSource(inline_png=b"what")}, "mask.inline_png"),
    ],
)
async def test_precheck_refuses_as_edit_does(service: Service, change: dict[str, Any], field: str) -> None:
    good = {
        "size": image_pb2.ImageSize(height=40, width=30),
        "pixel_format": 2,
        "proxy": image_pb2.Proxy(data=encode_png(IMAGE)),
    }
    stub: Any = PrecheckServiceStub(service.channel)
    with pytest.raises(aio.AioRpcError) as caught:
        await stub.Precheck(precheck_service_pb2.PrecheckRequest(**(good | change)), timeout=10)
    outcome = outcome_of(caught.value)
    check_refusal(outcome)
    assert outcome.violations[0].field == field


async def test_precheck_is_not_stopped_by_a_full_house(service: Service) -> None:
    """It runs small models only and needs no admission."""
    stub: Any = PrecheckServiceStub(service.channel)
    async with service.app.admission.admit(10**12):
        request = precheck_service_pb2.PrecheckRequest(
            size=image_pb2.ImageSize(height=40, width=30), pixel_format=2, proxy=image_pb2.Proxy(data=encode_png(IMAGE))
        )
        assert (await stub.Precheck(request, timeout=10)).plan.output_size.height == 40


# -- who may call ---------------------------------------------------------------------------------------------------------


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Service]:
    tokens = tmp_path / "tokens"
    tokens.write_text("shop s3cret\nblog t0ken\n")
    async with serve(tmp_path, tokens_file=str(tokens), client_budget_px=2_000) as service:
        yield service


def bearer(token: str) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {token}")]


@pytest.mark.parametrize(
    "metadata", [[], bearer(""), bearer("wrong"), bearer("s3cre"), [("authorization", "Basic s3cret")], [("authorization", "")]]
)
async def test_without_a_valid_token_nothing_is_served(guarded: Service, metadata: list[tuple[str, str]]) -> None:
    outcome = await say(guarded.edits, edit_of(IMAGE), metadata=metadata)
    check_refusal(outcome)
    assert (outcome.code, outcome.reason) == (grpc.StatusCode.UNAUTHENTICATED, "BAD_TOKEN")
    models: Any = ModelServiceStub(guarded.channel)
    masks: Any = MaskServiceStub(guarded.channel)
    calls = (
        models.ListModels(model_service_pb2.ListModelsRequest(), timeout=10, metadata=metadata),
        masks.GetMask(mask_service_pb2.GetMaskRequest(image_id="a"), timeout=10, metadata=metadata).read(),
        masks.PutMask(iter([]), timeout=10, metadata=metadata),
    )
    for call in calls:
        with pytest.raises(aio.AioRpcError) as caught:
            await call
        assert outcome_of(caught.value).reason == "BAD_TOKEN"
    assert guarded.backend.calls == []


async def test_with_a_token_all_is_served_and_health_needs_none(guarded: Service) -> None:
    for metadata in (bearer("s3cret"), bearer("t0ken"), [("authorization", "bearer s3cret")]):
        assert np.array_equal((await say(guarded.edits, edit_of(IMAGE), metadata=metadata)).image(), IMAGE)
    answer = await health_pb2_grpc.HealthStub(guarded.channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_a_client_has_a_share_of_its_own(guarded: Service) -> None:
    guarded.gate.close()
    running = asyncio.create_task(say(guarded.edits, edit_of(IMAGE, upscaler="identity"), metadata=bearer("s3cret")))
    await guarded.gate.reached(1)
    refused = await say(guarded.edits, edit_of(IMAGE), metadata=bearer("s3cret"))
    check_refusal(refused)
    assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "CLIENT_BUDGET")
    assert refused.retry_s
    other = await say(guarded.edits, edit_of(IMAGE), metadata=bearer("t0ken"))
    assert other.code is grpc.StatusCode.OK
    guarded.gate.open()
    assert (await running).code is grpc.StatusCode.OK
    await guarded.comes_to_rest()


# -- TLS ------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA, a server and a client that it signed, and a client that signed itself."""
    if not shutil.which("openssl"):
        pytest.skip("openssl makes the certificates, and is not here")
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    for name in ("ca", "stranger"):
        openssl("req", "-x509", *curve, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-days", "2", "-subj", f"/CN={name}")
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1")
    for name in ("server", "client"):
        openssl("req", *curve, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        openssl(
            "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-out", f"{name}.pem", "-days", "2", "-extfile", "names",
        )  # fmt: skip
    return folder


async def edit_over(port: int, folder: Path, client: str | None) -> grpc.StatusCode:
    """One edit over TLS; with the certificate of `client` where one is named."""
    pair = [(folder / f"{client}.key").read_bytes(), (folder / f"{client}.pem").read_bytes()] if client else [None, None]
    credentials = grpc.ssl_channel_credentials((folder / "ca.pem").read_bytes(), *pair)
    async with aio.secure_channel(f"localhost:{port}", credentials) as channel:
        return (await say(EditServiceStub(channel), edit_of(IMAGE), timeout_s=10)).code


async def test_tls(tmp_path: Path, certificates: Path) -> None:
    files = {"tls_certificate": str(certificates / "server.pem"), "tls_key": str(certificates / "server.key")}
    async with serve(tmp_path, **files) as service:
        assert await edit_over(service.app.port, certificates, None) is grpc.StatusCode.OK
        plain = await say(service.edits, edit_of(IMAGE), timeout_s=10)
        assert plain.code is grpc.StatusCode.UNAVAILABLE


async def test_mutual_tls(tmp_path: Path, certificates: Path) -> None:
    files = {
        "tls_certificate": str(certificates / "server.pem"),
        "tls_key": str(certificates / "server.key"),
        "tls_client_ca": str(certificates / "ca.pem"),
    }
    async with serve(tmp_path, **files) as service:
        assert await edit_over(service.app.port, certificates, "client") is grpc.StatusCode.OK
        for other in (None, "stranger"):
            assert await edit_over(service.app.port, certificates, other) is grpc.StatusCode.UNAVAILABLE


# -- starting -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["port", "metrics_port"])
async def test_a_port_that_is_taken_is_an_error_that_names_it(tmp_path: Path, which: str) -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as taken:
        port = taken.getsockname()[1]
        ports = {"port": 0, "metrics_port": 0} | {which: port}
        store = f"sqlite+aiosqlite:///{tmp_path}/masks.db"
        app = App(Settings(host="127.0.0.1", mask_store=store, **ports), FakeBackend(fake_models()))
        with pytest.raises(OSError, match=str(port)):
            await app.start()
        await app.stop()


async def test_two_servers_do_not_share_a_port(tmp_path: Path, service: Service) -> None:
    """gRPC would let them, and each would get half of the calls."""
    store = f"sqlite+aiosqlite:///{tmp_path}/other.db"
    settings = Settings(host="127.0.0.1", port=service.app.port, metrics_port=0, mask_store=store)
    other = App(settings, FakeBackend(fake_models()))
    with pytest.raises(OSError, match=str(service.app.port)):
        await other.start()
    await other.stop()
