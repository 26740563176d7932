"""The small stand-in for an image that lets the service decide before the pixels arrive."""

import io

from PIL import Image

from retouch.pixels import PixelSource

MAX_PROXY_SIDE_PX = 1024
MAX_PROXY_BYTES = 512 << 10
QUALITIES = (90, 80, 70, 55, 40, 25)


def proxy_of(source: PixelSource) -> bytes:
    """The whole image shrunk by area averaging to at most 1024 px on its longer side, RGB or gray, as a PNG where that is
    small and a JPEG of quality 90 where it is not; at most 512 KiB. Blocks: decodes all of a file."""
    longer = max(source.size.height, source.size.width)
    factor = max(1, longer // MAX_PROXY_SIDE_PX)
    blocks = source.shrunk(factor)
    image = Image.fromarray(blocks if blocks.shape[2] > 1 else blocks[:, :, 0])
    if longer > MAX_PROXY_SIDE_PX:
        width = max(1, round(source.size.width * MAX_PROXY_SIDE_PX / longer))
        height = max(1, round(source.size.height * MAX_PROXY_SIDE_PX / longer))
        # The last blocks may be partial: the box ends where the image does.
        box = (0.0, 0.0, source.size.width / factor, source.size.height / factor)
        image = image.resize((width, height), Image.Resampling.BOX, box=box)
    if image.width * image.height * len(image.getbands()) <= MAX_PROXY_BYTES:
        packed = _packed(image, "PNG")
        if len(packed) <= MAX_PROXY_BYTES:
            return packed
    packed = _packed(image, "JPEG", quality=QUALITIES[0])
    for quality in QUALITIES[1:]:
        if len(packed) <= MAX_PROXY_BYTES:
            break
        packed = _packed(image, "JPEG", quality=quality)
    return packed


def _packed(image: Image.Image, kind: str, **options: int) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()
