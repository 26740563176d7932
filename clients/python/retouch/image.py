"""Images in memory, numpy arrays and Pillow images: read band by band, and put together again as the same kind."""

from typing import Any, cast

import numpy as np
import pyvips
from numpy.typing import NDArray
from PIL import Image

from retouch.errors import InvalidInputError
from retouch.geometry import Rect, Size
from retouch.pixels import FORMATS, PixelFormat, Pixels, check_size, shrunk_by_bands, with_blobs
from retouch.upright import ORIENTATION_TAG, parse_orientation, upright_array, upright_pillow, upright_xmp

DTYPES = ("uint8", "uint16", "bool")
IN_16_BIT = "the image has 16 bits per channel; it is edited, and comes out, with 8"


class ArraySource:
    """A numpy array: (height, width) or (height, width, channels) with 1 (gray), 2 (gray, alpha), 3 (RGB) or 4 (RGBA)
    channels; uint8, or uint16 and bool, which become uint8. Not copied: it must not change while it is sent."""

    is_blocking = False

    def __init__(self, array: NDArray[Any], *, orientation: int | None = None) -> None:
        if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 2, 3, 4)):
            raise InvalidInputError(
                f"an array of shape {array.shape} is no image; give (height, width) or (height, width, 1 to 4 channels)"
            )
        if array.dtype.name not in DTYPES:
            raise InvalidInputError(f"the array has dtype {array.dtype}; convert it to uint8, 0 to 255")
        self.has_orientation_tag = orientation is not None
        self.orientation = orientation or 1
        self.stored_size = Size(*array.shape[:2])
        self._array = upright_array(array if array.ndim == 3 else array[:, :, np.newaxis], self.orientation)
        self.size = Size(*self._array.shape[:2])
        check_size(self.size)
        self.pixel_format: PixelFormat = FORMATS.get(self._array.shape[2], "rgba8")
        self.warnings = [IN_16_BIT] if array.dtype == np.uint16 else []

    def read(self, y: int, height: int) -> Pixels:
        """Rows as the stream wants them; a view where the array allows it."""
        band = self._array[y : y + height]
        if band.dtype == np.bool_:
            band = np.where(band, np.uint8(255), np.uint8(0))
        elif band.dtype == np.uint16:
            band = ((band.astype(np.uint32) + 128) // 257).astype(np.uint8)
        if band.shape[2] == 2:
            band = band[:, :, (0, 0, 0, 1)]
        return np.ascontiguousarray(band, dtype=np.uint8)

    def shrunk(self, factor: int) -> Pixels:
        """See PixelSource."""
        return shrunk_by_bands(self, factor)

    def close(self) -> None:
        """Nothing is held."""


class ArraySink:
    """A numpy array of the layout of the one that was sent; always uint8."""

    is_blocking = False

    def __init__(self, like: NDArray[Any]) -> None:
        self._layout = like.shape[2:]
        self._array: Pixels = np.empty((0, 0, 0), np.uint8)

    def begin(self, size: Size) -> None:
        """See PixelSink."""
        self._array = np.empty((size.height, size.width, *(self._layout or (1,))), np.uint8)

    def write(self, rect: Rect, pixels: Pixels) -> None:
        """One copy, straight from the received message."""
        part = self._array[rect.y : rect.bottom, rect.x : rect.right]
        if self._layout == (2,):
            part[:, :, 0], part[:, :, 1] = luma(pixels), pixels[:, :, 3]
        else:
            part[:] = pixels

    def finish(self) -> Pixels:
        """(height, width) when that was sent, else with the channels that were sent."""
        return self._array if self._layout else self._array[:, :, 0]

    def discard(self) -> None:
        """Lets the memory go."""


class PillowSource:
    """A Pillow image of any mode but F. L, LA, RGB and RGBA are sent as they are, others are converted with a warning."""

    is_blocking = False

    def __init__(self, image: Image.Image, *, orientation: int | None = None) -> None:
        own = parse_orientation(image.getexif().get(ORIENTATION_TAG))
        self.has_orientation_tag = own is not None
        self.orientation = orientation or own or 1
        self.stored_size = Size(image.height, image.width)
        self.warnings: list[str] = []
        check_size(self.stored_size)
        converted, self.keeps_profile = _converted(image, self.warnings)
        self.image = upright_pillow(converted, self.orientation)
        self.size = Size(self.image.height, self.image.width)
        self.mode = self.image.mode
        self.pixel_format: PixelFormat = {"L": "gray8", "RGB": "rgb8"}.get(self.mode, "rgba8")  # type: ignore[assignment]
        if getattr(image, "is_animated", False):
            self.warnings.append("the image has several frames; only the current one is edited")

    def read(self, y: int, height: int) -> Pixels:
        """A copy of some rows."""
        band = self.image.crop((0, y, self.size.width, y + height))
        pixels = np.asarray(band.convert("RGBA") if self.mode == "LA" else band)
        return pixels if pixels.ndim == 3 else pixels[:, :, np.newaxis]

    def shrunk(self, factor: int) -> Pixels:
        """See PixelSource."""
        return shrunk_by_bands(self, factor)

    def close(self) -> None:
        """Nothing is held."""


class PillowSink:
    """A Pillow image with the ICC profile, EXIF (orientation 1), XMP and resolution of the one that was sent."""

    is_blocking = False

    def __init__(self, like: Image.Image, source: PillowSource) -> None:
        self._mode = source.mode
        self._metadata = _metadata(like, source)
        self._image = Image.new(self._mode, (0, 0))

    def begin(self, size: Size) -> None:
        """See PixelSink."""
        self._image = Image.new(self._mode, (size.width, size.height))

    def write(self, rect: Rect, pixels: Pixels) -> None:
        """See PixelSink."""
        wire_mode = "RGBA" if self._mode == "LA" else self._mode
        tile = Image.frombuffer(wire_mode, (rect.width, rect.height), pixels, "raw", wire_mode, 0, 1)
        self._image.paste(tile.convert("LA") if self._mode == "LA" else tile, (rect.x, rect.y))

    def finish(self) -> Image.Image:
        """The image; `info` has the metadata, for `save(path, exif=image.info.get("exif"))`."""
        self._image.info.update(self._metadata)
        return self._image

    def discard(self) -> None:
        """Lets the memory go."""


def luma(pixels: Pixels) -> Pixels:
    """Rec. 601 luma of (…, 3 or more) as Pillow's convert("L") computes it; gray stays exactly what it was."""
    wide = pixels.astype(np.uint32)
    weighted = wide[..., 0] * 19595 + wide[..., 1] * 38470 + wide[..., 2] * 7471 + 0x8000
    return (weighted >> 16).astype(np.uint8)


def _converted(image: Image.Image, warnings: list[str]) -> tuple[Image.Image, bool]:
    """The image in a mode that travels, and whether its ICC profile still describes it."""
    mode = image.mode
    if mode in ("L", "LA", "RGB", "RGBA") and "transparency" not in image.info:
        return image, True
    if mode == "F":
        raise InvalidInputError("a Pillow image of mode F has no known range; scale it to 0..255 and convert it to L")
    if mode.startswith("I"):
        warnings.append(IN_16_BIT)
        wide = np.asarray(image).astype(np.int64).clip(0, 65535)
        return Image.fromarray(((wide + 128) // 257).astype(np.uint8)), True
    if mode == "CMYK":
        warnings.append("the image is CMYK; it was converted to sRGB and comes out as RGB without its CMYK profile")
        return _srgb_from_cmyk(image), False
    has_alpha = "transparency" in image.info or image.has_transparency_data
    target = "L" if mode == "1" else "RGBA" if has_alpha else "RGB"
    warnings.append(f"the image has mode {mode}; it was converted to {target} and comes out so")
    return image.convert(target), mode in ("1", "P", "PA", "L", "RGB", "RGBX", "RGBa", "La")


def _srgb_from_cmyk(image: Image.Image) -> Image.Image:
    inks = np.asarray(image)
    vips = pyvips.Image.new_from_memory(inks.tobytes(), image.width, image.height, 4, "uchar").copy(interpretation="cmyk")
    profile = image.info.get("icc_profile")
    if profile:
        vips = with_blobs(vips, {"icc-profile-data": bytes(profile)})
    srgb = vips.icc_transform("srgb", embedded=bool(profile), input_profile="cmyk", intent="relative")
    return Image.frombytes("RGB", image.size, srgb.write_to_memory())


def _metadata(like: Image.Image, source: PillowSource) -> dict[str, object]:
    info = cast(dict[str, object], like.info)
    kept = {key: info[key] for key in ("icc_profile", "exif", "xmp", "dpi") if info.get(key)}
    if not source.keeps_profile:
        kept.pop("icc_profile", None)
    exif = like.getexif()
    if ORIENTATION_TAG in exif and source.orientation != 1:
        upright = Image.Exif()
        upright.load(exif.tobytes())
        upright[ORIENTATION_TAG] = 1
        kept["exif"] = upright.tobytes()
    if isinstance(xmp := kept.get("xmp"), bytes):
        kept["xmp"] = upright_xmp(xmp)
    return kept
