"""Every field outside its limits is refused by name, with the code and the reason of the table."""

import struct
import zlib
from collections.abc import Sequence
from typing import Any

import cv2
import grpc
import numpy as np
import pytest

from retouch.v1 import edit_service_pb2 as pb
from retouch.v1 import image_pb2, options_pb2
from retouch_server.imaging.codec import encode_png
from tests.rpc.test_sequences import check_refusal
from tests.support.service import Service
from tests.support.wire import MIB, edit_of, noise, opened, say, tile

IMAGE = noise(40, 30)
GRAY_MASK = np.full((40, 30), 255, np.uint8)


def raw_tile(height: int, width: int, data: bytes, **fields: Any) -> pb.EditRequest:
    rect = image_pb2.Rect(y=fields.pop("y", 0), x=fields.pop("x", 0), height=height, width=width)
    return pb.EditRequest(tile=image_pb2.Tile(rect=rect, data=data, **fields))


def with_mask_png(png: bytes) -> pb.EditRequest:
    message = opened(40, 30)
    message.open.mask.inline_png = png
    return message


def with_proxy(data: bytes) -> pb.EditRequest:
    message = opened(40, 30, mask=GRAY_MASK)
    message.open.proxy.data = data
    return message


def png(pixels: Any) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()


def lying(honest: bytes, height: int, width: int) -> bytes:
    """A PNG whose header says another size than its pixels have."""
    header = b"IHDR" + struct.pack(">II", width, height) + honest[24:29]
    return honest[:12] + header + struct.pack(">I", zlib.crc32(header)) + honest[33:]


def reference(**fields: Any) -> pb.EditRequest:
    message = opened(40, 30)
    message.open.mask.reference.CopyFrom(image_pb2.MaskReference(**fields))
    return message


def without_source() -> pb.EditRequest:
    message = opened(40, 30)
    message.open.mask.SetInParent()
    return message


def without_format() -> pb.EditRequest:
    message = opened(40, 30)
    message.open.pixel_format = image_pb2.PIXEL_FORMAT_UNSPECIFIED
    return message


def unknown_format() -> pb.EditRequest:
    message = opened(40, 30)
    message.open.pixel_format = 77  # type: ignore[assignment]
    return message


OPEN = opened(40, 30)
BAD: dict[str, tuple[str, Sequence[pb.EditRequest]]] = {
    "no size": ("size.height", [pb.EditRequest(open=pb.OpenEdit())]),
    "height 0": ("size.height", [opened(0, 30)]),
    "width 0": ("size.width", [opened(40, 0)]),
    "100,000 × 100,000": ("size.height", [opened(100_000, 100_000)]),
    "width 65,536": ("size.width", [opened(1, 65_536)]),
    "4 gigapixels": ("size", [opened(65_535, 65_535)]),
    "no pixel format": ("pixel_format", [without_format()]),
    "unknown pixel format": ("pixel_format", [unknown_format()]),
    "scale 3": ("options.scale", [opened(40, 30, scale=3)]),
    "scale 2^32-1": ("options.scale", [opened(40, 30, scale=2**32 - 1)]),
    "unknown text removal": ("options.text_removal", [opened(40, 30, text_removal=9)]),
    "unknown inpaint": ("options.inpaint", [opened(40, 30, inpaint=9)]),
    "unknown criticality": ("options.criticality", [opened(40, 30, criticality=9)]),
    "unknown output encoding": ("options.output_encoding", [opened(40, 30, output_encoding=9)]),
    "JPEG output": ("options.output_encoding", [opened(40, 30, output_encoding=image_pb2.ENCODING_JPEG)]),
    "prompt too long": ("options.prompt", [opened(40, 30, prompt="x" * 1001)]),
    "upscaler of another scale": ("options.upscaler", [opened(40, 30, scale=2, upscaler="upscale_creative_x4")]),
    "upscaler name too long": ("options.upscaler", [opened(40, 30, scale=2, upscaler="x" * 100_000)]),
    "mask of another size": ("mask.inline_png", [opened(40, 30, mask=np.zeros((30, 40), np.uint8)), tile(IMAGE)]),
    "mask that is no PNG": ("mask.inline_png", [with_mask_png(b"GIF89a" + bytes(100))]),
    "mask that is empty": ("mask.inline_png", [with_mask_png(b"")]),
    "16-bit mask": ("mask.inline_png", [with_mask_png(png(np.zeros((40, 30), np.uint16)))]),
    "RGB mask": ("mask.inline_png", [with_mask_png(png(np.zeros((40, 30, 3), np.uint8)))]),
    "mask cut short": ("mask.inline_png", [with_mask_png(encode_png(GRAY_MASK)[:-20])]),
    "mask with a lying header": (
        "mask.inline_png",
        [pb.EditRequest(open=pb.OpenEdit(size=image_pb2.ImageSize(height=9000, width=9000), pixel_format=2,
         mask=image_pb2.MaskSource(inline_png=lying(encode_png(GRAY_MASK), 9000, 9000))))],
    ),
    "mask too large to be inline": ("mask.inline_png", [with_mask_png(bytes(800 * 1024))]),
    "mask without a source": ("mask.source", [without_source()]),
    "mask reference that pins nothing": ("mask.reference", [reference(image_id="a")]),
    "mask reference without an image": ("mask.reference.image_id", [reference(version=1)]),
    "mask reference with a long image id": ("mask.reference.image_id", [reference(image_id="a" * 100_000, version=1)]),
    "mask reference with a bad digest": ("mask.reference.digest", [reference(image_id="a", digest="f" * 100_000)]),
    "proxy that is no picture": ("proxy.data", [with_proxy(b"hello"), tile(IMAGE)]),
    "proxy too large": ("proxy.data", [with_proxy(bytes(600 * 1024))]),
    "proxy too wide": ("proxy.data", [with_proxy(png(np.zeros((10, 1025, 3), np.uint8)))]),
    "proxy with a lying header": ("proxy.data", [with_proxy(lying(png(np.zeros((20, 20, 3), np.uint8)), 1000, 1000))]),
    "raw tile too short": ("tile.data", [OPEN, raw_tile(40, 30, bytes(40 * 30 * 3 - 1))]),
    "raw tile too long": ("tile.data", [OPEN, raw_tile(40, 30, bytes(40 * 30 * 3 + 1))]),
    "raw tile without pixels": ("tile.data", [OPEN, raw_tile(40, 30, b"")]),
    "gray tile in an RGB edit": ("tile.data", [OPEN, raw_tile(40, 30, bytes(40 * 30))]),
    "unknown tile encoding": ("tile.encoding", [OPEN, raw_tile(40, 30, b"x", encoding=55)]),
    "JPEG tile": ("tile.encoding", [OPEN, raw_tile(40, 30, b"\xff\xd8\xff", encoding=image_pb2.ENCODING_JPEG)]),
    "PNG tile of another size": (
        "tile.data", [OPEN, raw_tile(40, 30, encode_png(noise(30, 40)), encoding=image_pb2.ENCODING_PNG)]
    ),
    "PNG tile with other channels": (
        "tile.data", [OPEN, raw_tile(40, 30, encode_png(GRAY_MASK), encoding=image_pb2.ENCODING_PNG)]
    ),
    "PNG tile with a lying header": (
        "tile.data",
        [opened(1000, 9000), raw_tile(1000, 9000, lying(encode_png(IMAGE), 1000, 9000), encoding=image_pb2.ENCODING_PNG)],
    ),
    "empty tile": ("tile.rect", [OPEN, raw_tile(0, 30, b"")]),
    "tile without a rect": ("tile.rect", [OPEN, pb.EditRequest(tile=image_pb2.Tile(data=b"abc"))]),
    "tile to the right of the image": ("tile.rect", [OPEN, raw_tile(1, 1, bytes(3), x=30)]),
    "tile below the image": ("tile.rect", [OPEN, raw_tile(1, 1, bytes(3), y=40)]),
    "tile at the end of the number range": ("tile.rect", [OPEN, raw_tile(2**32 - 1, 2**32 - 1, bytes(3), x=2**32 - 1)]),
    "tile that was sent before": ("tile.rect", [OPEN, tile(IMAGE, 0, 0, 20), tile(IMAGE, 10, 0, 20)]),
    "tiles that overlap": ("tile.rect", [OPEN, tile(IMAGE, 0, 0, 20, 20), tile(IMAGE, 0, 19, 20, 11)]),
    "tile too far ahead": ("tile.rect", [opened(3000, 2), raw_tile(1, 2, bytes(6), y=1024)]),
    "message of 1.5 MiB": ("message", [opened(1024, 512), raw_tile(1024, 512, bytes(3 * MIB // 2))]),
    "message of 5 MiB": ("message", [opened(2000, 1000), raw_tile(2000, 1000, bytes(5 * MIB))]),
    "open of 1.5 MiB": ("message", [with_mask_png(bytes(3 * MIB // 2))]),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_field_is_named(service: Service, name: str) -> None:
    field, messages = BAD[name]
    outcome = await say(service.edits, messages)
    check_refusal(outcome)
    assert (outcome.code, outcome.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "BAD_FIELD"), outcome.message
    assert outcome.violations[0].field == field
    assert not {"text_removal", "inpaint_classical", "identity"} & set(service.backend.calls)


async def test_a_message_that_no_answer_could_name_is_refused_by_grpc(service: Service) -> None:
    outcome = await say(service.edits, [opened(40, 30), raw_tile(40, 30, bytes(40 * MIB))])
    assert outcome.code is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_tile_of_exactly_1_mib_is_taken(service: Service) -> None:
    image = noise(1000, 1000, 1)
    message = tile(image, 0, 0, 1000, 1000)
    assert message.ByteSize() < MIB
    outcome = await say(service.edits, [opened(1000, 1000, 1), message])
    assert np.array_equal(outcome.image(), image)


@pytest.mark.parametrize(
    ("options", "code", "reason", "named"),
    [
        ({"scale": 2, "upscaler": "nonesuch"}, "FAILED_PRECONDITION", "MODEL_NOT_SERVED", "upscale_conservative_x2"),
        ({"scale": 2, "upscaler": "text_removal"}, "FAILED_PRECONDITION", "MODEL_NOT_SERVED", "upscale_creative_x2"),
        ({"inpaint": options_pb2.INPAINT_PATCH}, "FAILED_PRECONDITION", "MODEL_NOT_SERVED", "inpaint_classical"),
        ({"inpaint": options_pb2.INPAINT_DIFFUSION}, "FAILED_PRECONDITION", "MODEL_NOT_SERVED", "inpaint_classical"),
        (
            {"scale": 2, "upscaler": "upscale_creative_x2", "criticality": options_pb2.CRITICALITY_COMMERCE},
            "PERMISSION_DENIED",
            "UPSCALER_NOT_ALLOWED",
            "commerce",
        ),
    ],
)
async def test_what_cannot_be_had_is_told_with_what_can(
    service: Service, options: dict[str, Any], code: str, reason: str, named: str
) -> None:
    outcome = await say(service.edits, edit_of(IMAGE, mask=GRAY_MASK, **options))
    check_refusal(outcome)
    assert (outcome.code.name, outcome.reason) == (code, reason)
    assert named in outcome.message
    assert not {"text_removal", "inpaint_classical"} & set(service.backend.calls)
