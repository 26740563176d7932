"""What a precheck judged, as a picture: the proxy, the mask as a tint, each region with its scores and its route."""

import io
from pathlib import Path

from PIL import Image, ImageDraw

from retouch.atomic import written_atomically
from retouch.errors import InvalidInputError
from retouch.plan import Precheck, Region

TINT = (255, 0, 90)
COLOURS = {
    "skip": (160, 160, 160),
    "text_removal": (255, 170, 0),
    "inpaint": (0, 170, 255),
    "inpaint_proxy": (0, 220, 130),
    "text_removal_then_inpaint": (190, 90, 255),
}


def save_judged(answer: Precheck, scale: int, path: Path) -> None:
    """Writes the drawing to `path`; `scale` is what was asked for.

    Errors: InvalidInputError where it cannot be written, or the server told no picture.
    """
    if answer.judged is None:
        raise InvalidInputError("the server told no picture of what it judged: it is older than this command")
    picture = Image.open(io.BytesIO(answer.judged.picture)).convert("RGB")
    if answer.judged.mask:
        mask = Image.open(io.BytesIO(answer.judged.mask)).convert("L").point([level // 3 for level in range(256)])
        picture.paste(Image.new("RGB", picture.size, TINT), mask=mask)
    output = answer.plan.output_size
    # Proxy pixels per image pixel, y and x.
    shrink = picture.height * scale / output.height, picture.width * scale / output.width
    draw = ImageDraw.Draw(picture)
    for region in answer.findings.regions:
        _mark(draw, region, shrink)
    with written_atomically(path) as partial:
        try:
            picture.save(partial)
        except ValueError as error:  # an extension that stands for no format
            raise InvalidInputError(f"cannot write {path}: {error}") from error


def _mark(draw: ImageDraw.ImageDraw, region: Region, shrink: tuple[float, float]) -> None:
    y, x = region.bounds.y * shrink[0], region.bounds.x * shrink[1]
    bottom, right = (region.bounds.y + region.bounds.height) * shrink[0], (region.bounds.x + region.bounds.width) * shrink[1]
    colour = COLOURS.get(region.route, TINT)
    draw.rectangle((x, y, max(x, right - 1), max(y, bottom - 1)), outline=colour, width=2)
    told = f"{region.route.replace('_', ' ')}  text {region.text_score:.2f}  texture {region.texture_score:.2f}"
    box = draw.textbbox((x, y), told, anchor="lb" if y > 14 else "lt")
    draw.rectangle(box, fill=(0, 0, 0))
    draw.text((x, y), told, fill=colour, anchor="lb" if y > 14 else "lt")
