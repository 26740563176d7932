"""A mask over overlay text, found by the detector that is shipped: it covers the letters, softly, and spares the rest."""

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from benchmarks.photograph import photograph
from retouch import RetouchClient
from retouch_server.local.up import LocalService

pytestmark = pytest.mark.asyncio(loop_scope="session")  # that of the service
LINES = (("SUMMER SALE", (180, 120), 90), ("only until Sunday", (700, 560), 60), ("www.example.com", (1100, 980), 40))


async def test_overlay_text_is_covered_and_the_rest_is_not(service: LocalService) -> None:
    before = photograph()
    picture = Image.fromarray(before)
    draw = ImageDraw.Draw(picture)
    for text, at, size in LINES:
        draw.text(at, text, "white", ImageFont.load_default(size), stroke_width=3, stroke_fill="black")
    after = np.asarray(picture)
    letters = (after != before).any(axis=2).astype(np.uint8)
    async with RetouchClient(service.target) as client:
        suggested = await client.masks.suggest(after)
        nothing = await client.masks.suggest(before)
    mask = suggested.pixels
    near = cv2.dilate(letters, np.ones((121, 121), np.uint8))
    assert (mask[letters > 0] >= 128).mean() > 0.98
    assert (mask[near == 0] > 0).mean() < 0.01
    assert len(suggested.proxy_boxes) >= len(LINES)
    assert len(np.unique(suggested.proxy_mask)) > 10, "soft"
    assert (nothing.pixels[letters > 0] > 0).mean() < 0.1
