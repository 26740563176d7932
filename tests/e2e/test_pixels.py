"""Through client, gRPC, Triton, canvas and back: what must be equal is equal to the byte."""

from typing import Any

import cv2
import numpy as np
import pytest
from grpc import aio

from retouch import RetouchClient
from retouch.v1 import options_pb2
from retouch.v1.edit_service_pb2_grpc import EditServiceStub
from retouch_server.app import App
from retouch_server.config import Settings
from retouch_server.local.up import LocalService
from tests.models.onnx_models import onnx_model
from tests.models.test_exactness import UPSCALERS
from tests.rpc.test_edit import random_cut
from tests.support.wire import Image, edit_of, noise, opened, say

pytestmark = pytest.mark.asyncio(loop_scope="session")  # that of the service
SIZES = [(1, 1), (1, 700), (900, 1), (37, 53), (511, 513), (512, 512), (1025, 777)]


def landscape(height: int, width: int) -> Image:
    """Soft hills under a sky, with a little grain: something that can be filled and enlarged."""
    y, x = np.mgrid[:height, :width] / 100
    waves = [np.sin(y * a + x * b + c) for a, b, c in ((1.0, 0.7, 0), (0.4, 1.3, 1), (1.7, 0.2, 2))]
    grain = np.random.default_rng(0).normal(0, 1.5, (height, width, 3))
    return np.clip(128 + 50 * np.stack(waves, axis=2) + grain, 0, 255).astype(np.uint8)


def closeness_db(a: Any, b: Any) -> float:
    """PSNR."""
    return float(10 * np.log10(255**2 / max(1e-9, np.mean((a.astype(float) - b) ** 2))))


def grain_levels(image: Image, where: Any) -> float:
    """What a blurred copy does not show, standard deviation."""
    return float(np.std((image - cv2.GaussianBlur(image.astype(np.float32), (0, 0), 2.0))[where]))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("layout", ["RGB", "RGBA", "gray"])
async def test_the_identity_gives_the_image_back(service: LocalService, size: tuple[int, int], layout: str) -> None:
    image = noise(*size, {"RGB": 3, "RGBA": 4, "gray": 1}[layout])
    image = image[:, :, 0] if layout == "gray" else image
    async with RetouchClient(service.target) as client:
        result = await client.edit_image(image, upscaler="identity")
    assert result.dtype == np.uint8
    assert np.array_equal(result, image)


async def test_the_identity_gives_a_large_image_back(service: LocalService) -> None:
    image = noise(5000, 3000)
    async with RetouchClient(service.target) as client:
        call = client.edit(image, upscaler="identity")
        assert np.array_equal(await call.result(), image)
        assert call.report.stages[0].tiles_run == 11 * 7  # cores of 480 px


@pytest.mark.parametrize("seed", range(3))
async def test_any_cut_of_the_upload_gives_the_same_bytes(service: LocalService, seed: int) -> None:
    image = noise(1100, 900, seed=seed)
    async with aio.insecure_channel(service.target) as channel:
        stub = EditServiceStub(channel)
        outcome = await say(stub, [opened(1100, 900, upscaler="identity"), *random_cut(image, seed)])
    assert np.array_equal(outcome.image(), image)


@pytest.mark.parametrize("method", ["classical", "patch"])
async def test_a_hole_of_several_windows_gets_one_fill_with_the_texture_around_it(service: LocalService, method: str) -> None:
    image = landscape(1300, 1200)
    mask = np.zeros((1300, 1200), np.uint8)
    cv2.ellipse(mask, (600, 650), (380, 420), 0, 0, 360, 255, -1)
    hole = mask > 0
    damaged = np.where(hole[:, :, None], np.uint8(255), image)
    async with RetouchClient(service.target) as client:
        call = client.edit(damaged, mask, inpaint=method, text_removal="never")
        events = [event async for event in call]
        result = await call.result()
    assert "filled on the proxy first" in str(events[0])
    assert not [warning for warning in call.report.warnings if "lie wholly within" in warning]
    assert np.array_equal(result[~hole], damaged[~hole])
    assert call.report.seam_score < 1.05
    deep = cv2.erode(mask, np.ones((9, 9), np.uint8)) > 0
    # Hills 600 px long, behind a hole of 800: all that is asked is that nothing stands out, and that the grain goes on.
    assert np.abs(result[deep].astype(float).mean(axis=0) - image[~hole].mean(axis=0)).max() < 40
    steps = np.abs(np.diff(result.astype(np.int16), axis=1)).mean(axis=2)
    assert 0.8 < steps[deep[:, 1:]].mean() / steps[~hole[:, 1:]].mean() < 1.2


@pytest.mark.parametrize("channels", [3, 4, 1])
async def test_filling_changes_nothing_outside_the_mask(service: LocalService, channels: int) -> None:
    image = landscape(700, 800)
    image = {3: image, 1: image[:, :, 0], 4: np.dstack([image, noise(700, 800, 1)])}[channels]
    mask = np.zeros((700, 800), np.uint8)
    cv2.circle(mask, (500, 300), 60, 255, -1)  # over the border of two windows
    mask = cv2.GaussianBlur(mask, (0, 0), 3)
    damaged = image.copy()
    damaged[mask == 255] = 255
    async with RetouchClient(service.target) as client:
        result = await client.edit_image(damaged, mask, inpaint="classical", text_removal="never")
    assert np.array_equal(result[mask == 0], damaged[mask == 0])
    colour = slice(0, 3) if channels == 4 else slice(None)
    hole = mask == 255
    assert closeness_db(result[hole][..., colour], image[hole][..., colour]) > 20, "smooth hills are filled well"
    if channels == 4:
        assert np.array_equal(result[:, :, 3], damaged[:, :, 3])


async def test_a_caption_is_removed_and_nothing_else_is_touched(service: LocalService) -> None:
    clean = landscape(600, 1000)
    image, mask = clean.copy(), np.zeros((600, 1000), np.uint8)
    cv2.putText(image, "Summer SALE 50% off", (80, 330), cv2.FONT_HERSHEY_SIMPLEX, 2.2, (255, 255, 255), 7, cv2.LINE_AA)
    mask[250:360, 60:900] = 255
    async with RetouchClient(service.target) as client:
        call = client.edit(image, mask)
        result = await call.result()
    assert np.array_equal(result[mask == 0], image[mask == 0])
    assert [stage.stage for stage in call.report.stages] == ["text_removal"], "the precheck saw that it is text"
    letters = np.abs(image.astype(int) - clean).max(axis=2) > 40
    assert closeness_db(result[letters], clean[letters]) > 22
    assert call.report.residual_text_score is not None
    assert call.report.residual_text_score < 0.3


async def test_without_text_the_precheck_chooses_to_fill(service: LocalService) -> None:
    image, mask = landscape(600, 700), np.zeros((600, 700), np.uint8)
    mask[200:280, 200:300] = 255
    async with RetouchClient(service.target) as client:
        call = client.edit(image, mask)
        await call.result()
    assert [stage.stage for stage in call.report.stages] == ["inpaint"]


@pytest.mark.parametrize("scale", [2, 4])
async def test_enlarging_is_close_to_bicubic(service: LocalService, scale: int) -> None:
    image = landscape(333, 530)
    async with RetouchClient(service.target) as client:
        result = await client.edit_image(image, scale=scale)
    assert result.shape == (333 * scale, 530 * scale, 3)
    bicubic = cv2.resize(image, (530 * scale, 333 * scale), interpolation=cv2.INTER_CUBIC)
    assert closeness_db(result, bicubic) > 32


async def test_windows_leave_no_trace_when_enlarging(service: LocalService) -> None:
    """The halo covers the receptive field, so tiled and whole are equal: a crop in the middle of one window says the same."""
    image = landscape(600, 900)
    async with RetouchClient(service.target) as client:
        whole = await client.edit_image(image, scale=2)
        part = await client.edit_image(image[100:600, 200:700].copy(), scale=2)
    inner = part[40:-40, 40:-40]
    assert np.array_equal(whole[2 * 100 + 40 : 2 * 600 - 40, 2 * 200 + 40 : 2 * 700 - 40], inner)


@pytest.mark.parametrize("name", UPSCALERS)
async def test_triton_in_windows_or_onnx_runtime_in_one_piece(service: LocalService, name: str) -> None:
    image, model = landscape(700, 610), onnx_model(name)
    whole = model({"image": image})["result"].astype(np.int16)
    async with RetouchClient(service.target) as client:
        tiled = await client.edit_image(image, scale=model.spec.scale, upscaler=name, criticality="low")
    assert np.abs(tiled - whole).max() <= 1


async def test_bytes_and_shared_memory_carry_the_same_pixels(service: LocalService) -> None:
    image, mask = landscape(600, 700), np.zeros((600, 700), np.uint8)
    mask[100:180, 460:560] = 255
    options = {"inpaint": options_pb2.INPAINT_CLASSICAL, "text_removal": options_pb2.TEXT_REMOVAL_ALWAYS, "scale": 2, "seed": 3}
    settings = service.app.settings
    other = App(
        Settings(
            host="127.0.0.1", port=0, metrics_port=0, triton_urls=settings.triton_urls, mask_store=settings.mask_store,
            shared_memory="never",
        )
    )  # fmt: skip
    results: list[Image] = []
    await other.start()
    try:
        for app in (service.app, other):
            async with aio.insecure_channel(f"127.0.0.1:{app.port}") as channel:
                outcome = await say(EditServiceStub(channel), edit_of(image, mask=mask, **options), timeout_s=120)
            results.append(outcome.image())
            assert len(outcome.done.stages) == 3
        assert service.app.metrics.registry.get_sample_value("retouch_shared_memory_slots") > 0  # type: ignore[operator]
        assert other.metrics.registry.get_sample_value("retouch_shared_memory_slots") == 0
    finally:
        await other.stop()
    assert np.array_equal(*results)
    outside = cv2.resize(mask, (1400, 1200), interpolation=cv2.INTER_NEAREST) == 0
    assert not np.array_equal(results[0][~outside], cv2.resize(image, (1400, 1200))[~outside])


async def test_the_same_edit_twice_gives_the_same_bytes(service: LocalService) -> None:
    image, mask = landscape(600, 700), np.zeros((600, 700), np.uint8)
    mask[100:180, 460:560] = 255
    async with RetouchClient(service.target) as client:
        first, second = [await client.edit_image(image, mask, inpaint="classical", text_removal="never") for _ in range(2)]
    assert np.array_equal(first, second)


async def test_by_default_the_classical_fill_is_corrected_by_a_network(service: LocalService) -> None:
    image, mask = landscape(400, 500), np.zeros((400, 500), np.uint8)
    cv2.line(mask, (60, 300), (430, 90), 255, 7)
    damaged = np.where(mask[:, :, None] > 0, np.uint8(255), image)
    hole = mask > 0
    async with RetouchClient(service.target) as client:
        call = client.edit(damaged, mask, text_removal="never")
        result = await call.result()
        asked = await client.edit_image(damaged, mask, text_removal="never", inpaint="patch")
        classical = await client.edit_image(damaged, mask, text_removal="never", inpaint="classical")
    assert [stage.model and stage.model.name for stage in call.report.stages] == ["inpaint_patch"]
    assert np.array_equal(result, asked)
    assert np.array_equal(result[~hole], damaged[~hole])
    assert not np.array_equal(result, classical)
    assert closeness_db(result[hole], image[hole]) > closeness_db(classical[hole], image[hole]) - 0.5


async def test_a_smooth_region_is_filled_at_proxy_resolution_and_keeps_its_grain(service: LocalService) -> None:
    image, mask = landscape(1300, 1500), np.zeros((1300, 1500), np.uint8)
    cv2.circle(mask, (720, 560), 110, 255, -1)
    damaged = np.where(mask[:, :, None] > 0, np.uint8(20), image)
    async with RetouchClient(service.target) as client:
        told = await client.precheck(damaged, mask, text_removal="never")
        assert [region.route for region in told.findings.regions] == ["inpaint_proxy"]
        result = await client.edit_image(damaged, mask, text_removal="never")
        asked = await client.edit_image(damaged, mask, text_removal="never", inpaint="proxy")
        full = await client.edit_image(damaged, mask, text_removal="never", inpaint="patch")
    hole = mask > 0
    assert np.array_equal(result, asked)
    assert np.array_equal(result[~hole], image[~hole])
    assert not np.array_equal(result, full)
    assert closeness_db(result[hole], image[hole]) > closeness_db(full[hole], image[hole]) - 1.5
    inside = cv2.erode(mask, np.ones((9, 9), np.uint8)) > 0
    assert 0.6 < grain_levels(result, inside) / grain_levels(image, inside) < 1.4
