"""Image files, decoded and encoded in bands with libvips, so that memory is O(width) however tall the image is.

Interlaced PNG, progressive JPEG, WebP, HEIC and AVIF cannot be decoded in bands; libvips holds those decoded, and a WebP that
is written, too. Images that are stored turned (EXIF orientation 3 to 8) are decoded to a temporary file when they are larger
than 100 MB.
"""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyvips

from retouch.atomic import written_atomically
from retouch.errors import InvalidInputError
from retouch.geometry import Rect, Size
from retouch.image import luma
from retouch.pixels import FORMATS, PixelFormat, Pixels, check_size, shrink, to_array, with_blobs
from retouch.tiff import tiff_head
from retouch.upright import STREAMABLE, parse_orientation, upright_size, upright_vips, upright_xmp

BLOBS = ("icc-profile-data", "exif-data", "xmp-data", "iptc-data")
MAX_SIDE_PX_BY_SUFFIX = {".jpg": 65_500, ".jpeg": 65_500, ".webp": 16_383}  # libjpeg's and libwebp's own limits
LOSSY = frozenset({".jpg", ".jpeg", ".webp"})
HAS_NO_ALPHA = frozenset({".jpg", ".jpeg"})
SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a result file keeps of its original beside the pixels."""

    blobs: dict[str, bytes] = field(default_factory=dict[str, bytes])
    resolution_per_mm: tuple[float, float] = (1.0, 1.0)  # (x, y)


class FileSource:
    """An image file of any kind that libvips reads. Raises InvalidInputError for one that it does not."""

    is_blocking = True

    def __init__(self, path: Path, *, orientation: int | None = None) -> None:
        self._path = path
        self._region: pyvips.Region | None = None
        header = self._open()
        own = parse_orientation(_get(header, "orientation"))
        self.has_orientation_tag = own is not None
        self.orientation = orientation or own or 1
        self.stored_size = Size(header.height, header.width)
        self.size = upright_size(self.stored_size, self.orientation)
        check_size(self.size)
        self.warnings: list[str] = []
        try:
            converted, self._keeps_profile = _converted(header, self.warnings)
        except pyvips.Error as error:
            raise _unreadable(path, error) from error
        self.channels_kept = converted.bands  # 1 gray, 2 gray and alpha, 3 RGB, 4 RGBA
        self.pixel_format: PixelFormat = FORMATS.get(converted.bands, "rgba8")
        if isinstance(pages := _get(header, "n-pages"), int) and pages > 1:
            self.warnings.append(f"the file has {pages} pages; only the first is edited")

    def read(self, y: int, height: int) -> Pixels:
        """See PixelSource; reading row 0 opens the file anew."""
        try:
            if y == 0 or self._region is None:
                self._region = pyvips.Region.new(self._pipeline())
            fetched = self._region.fetch(0, y, self.size.width, height)
        except pyvips.Error as error:
            raise _unreadable(self._path, error) from error
        band = np.frombuffer(fetched, np.uint8).reshape(height, self.size.width, -1)
        return np.ascontiguousarray(band[:, :, (0, 0, 0, 1)]) if band.shape[2] == 2 else band

    def shrunk(self, factor: int) -> Pixels:
        """See PixelSource. One pass over the file."""
        try:
            image = self._pipeline()
            return to_array(shrink(image.extract_band(0) if image.bands == 2 else image, factor))
        except pyvips.Error as error:
            raise _unreadable(self._path, error) from error

    def metadata(self) -> Metadata:
        """What the result keeps; the orientation in it is 1."""
        header = self._open()
        blobs = {name: value for name in BLOBS if isinstance(value := _get(header, name), bytes)}
        if not self._keeps_profile:
            blobs.pop("icc-profile-data", None)
        if "xmp-data" in blobs:
            blobs["xmp-data"] = upright_xmp(blobs["xmp-data"])
        return Metadata(blobs, (header.xres, header.yres))

    def close(self) -> None:
        """Closes the file."""
        self._region = None

    def _open(self, access: str = "sequential") -> pyvips.Image:
        if not self._path.is_file():
            raise InvalidInputError(f"{self._path} is no file")
        try:
            return pyvips.Image.new_from_file(str(self._path), access=access, fail_on="truncated")
        except pyvips.Error as error:
            raise _unreadable(self._path, error) from error

    def _pipeline(self) -> pyvips.Image:
        image = self._open("sequential" if self.orientation in STREAMABLE else "random")
        return upright_vips(_converted(image, [])[0], self.orientation)


class FileSink:
    """A file that appears at `path` once it is complete, and never in part.

    Rows go uncompressed to a hidden temporary file beside it (height * width * channels bytes), are encoded from there to a
    second one, and that is renamed. Both temporary files are gone afterwards, however it ended.
    """

    is_blocking = True

    def __init__(self, path: Path, source: FileSource, quality: int) -> None:
        self.path = path
        self._source = source
        self._quality = quality
        self._size = Size(0, 0)
        self._raw = Path()
        self._pixels_at = 0
        self._file: Any = None
        self._encoding: pyvips.Image | None = None

    def begin(self, size: Size) -> None:
        """Raises InvalidInputError where the result does not fit the format or the directory cannot be written."""
        self._remove_raw()
        check_destination(self.path, size, self._source.channels_kept)
        self._size = size
        try:
            self._file = tempfile.NamedTemporaryFile(  # noqa: SIM115 - closed in `finish` or `discard`
                dir=self.path.parent, prefix=f".{self.path.name}.", suffix=".rows", delete=False
            )
        except OSError as error:
            raise InvalidInputError(f"cannot write to {self.path.parent}: {error.strerror or error}") from error
        self._raw = Path(self._file.name)
        head = tiff_head(size, self._source.channels_kept)
        self._file.write(head)
        self._pixels_at = len(head)

    def write(self, rect: Rect, pixels: Pixels) -> None:
        """Appends rows; pieces of rows are put where they belong."""
        kept = _kept(pixels, self._source.channels_kept)
        row_bytes = self._size.width * kept.shape[2]
        if rect.width == self._size.width:
            self._file.seek(self._pixels_at + rect.y * row_bytes)
            self._file.write(kept.data)
            return
        for row in range(rect.height):
            self._file.seek(self._pixels_at + (rect.y + row) * row_bytes + rect.x * kept.shape[2])
            self._file.write(kept[row].data)

    def finish(self) -> Path:
        """Encodes and renames. Raises InvalidInputError when the disk is full or the encoder refuses."""
        self._file.close()
        try:
            rows = pyvips.Image.tiffload(str(self._raw), access="sequential")
            self._encoding = _with_metadata(rows, self._source.metadata())
            with written_atomically(self.path) as partial:
                self._encoding.write_to_file(str(partial), **self._save_options())
        except pyvips.Error as error:
            raise InvalidInputError(f"cannot write {self.path}: {_last_line(error)}") from error
        finally:
            self._remove_raw()
        return self.path

    def discard(self) -> None:
        """See PixelSink."""
        if self._encoding is not None:
            self._encoding.set_kill(True)
        self._remove_raw()

    def _remove_raw(self) -> None:
        if self._file is not None:
            self._file.close()
            self._raw.unlink(missing_ok=True)
            self._file = None

    def _save_options(self) -> dict[str, Any]:
        suffix = self.path.suffix.lower()
        if suffix in (".tif", ".tiff"):
            raw_bytes = self._size.height * self._size.width * self._source.channels_kept
            return {"compression": "deflate", "predictor": "horizontal", "bigtiff": raw_bytes > 3 << 30}
        return {"Q": self._quality} if suffix in LOSSY else {}


def check_destination(path: Path, size: Size, channels: int) -> None:
    """Raises InvalidInputError where a result of that size cannot become that file; asked before anything is sent."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InvalidInputError(f"cannot write {path.name}: the extension must be one of {' '.join(SUFFIXES)}")
    if channels in (2, 4) and suffix in HAS_NO_ALPHA:
        raise InvalidInputError(
            f"cannot write {path.name}: the image has alpha and {suffix} has none; write .png, .webp or .tiff"
        )
    limit_px = MAX_SIDE_PX_BY_SUFFIX.get(suffix)
    if limit_px and max(size.height, size.width) > limit_px:
        raise InvalidInputError(f"the result is {size} and {suffix} takes at most {limit_px} px a side; write .png or .tiff")
    if not path.parent.is_dir():
        raise InvalidInputError(f"cannot write {path.name}: {path.parent} is no directory")


def _converted(image: pyvips.Image, warnings: list[str]) -> tuple[pyvips.Image, bool]:
    """The image with 1 to 4 bands of 8 bits, and whether its ICC profile still describes it."""
    has_alpha, kind = image.hasalpha(), image.interpretation
    if kind == "cmyk":
        warnings.append("the image is CMYK; it was converted to sRGB and comes out as RGB without its CMYK profile")
        has_profile = bool(image.get_typeof("icc-profile-data"))
        return image.icc_transform("srgb", embedded=has_profile, input_profile="cmyk", intent="relative"), False
    keeps_profile = True
    if kind not in ("srgb", "rgb", "b-w", "grey16", "rgb16", "multiband"):
        warnings.append(f"the image is {kind}; it was converted to sRGB and comes out so")
        image, keeps_profile = image.colourspace("srgb"), False
    if image.format == "ushort":
        warnings.append("the image has 16 bits per channel; it is edited, and comes out, with 8")
        image = (image / 257).rint().cast("uchar")
    elif image.format != "uchar":
        warnings.append(f"the image has {image.format} channels; it is edited, and comes out, with 8 bits, 0 to 255")
        image = image.cast("uchar")
    bands = image.bands if image.bands <= 4 else 4 if has_alpha else 3
    if bands < image.bands:
        warnings.append(f"the image has {image.bands} channels; the first {bands} are edited and come out")
        image = image.extract_band(0, n=bands)
    return image.copy(interpretation="b-w" if bands < 3 else "srgb"), keeps_profile


def _kept(pixels: Pixels, channels: int) -> Pixels:
    """Wire pixels as the channels that the file had."""
    if channels == 2:
        return np.ascontiguousarray(np.stack((luma(pixels), pixels[:, :, 3]), axis=2))
    return pixels


def _with_metadata(image: pyvips.Image, metadata: Metadata) -> pyvips.Image:
    interpretation = "b-w" if image.bands < 3 else "srgb"
    x_per_mm, y_per_mm = metadata.resolution_per_mm
    copy = image.copy(interpretation=interpretation, xres=x_per_mm, yres=y_per_mm)
    upright = with_blobs(copy, metadata.blobs)
    upright.set_type(pyvips.GValue.gint_type, "orientation", 1)  # beats what the EXIF block says
    return upright


def _get(image: pyvips.Image, name: str) -> object:
    return image.get(name) if image.get_typeof(name) else None


def _unreadable(path: Path, error: Exception) -> InvalidInputError:
    return InvalidInputError(f"cannot read {path}: {_last_line(error)}")


def _last_line(error: Exception) -> str:
    """What libvips said, without its log of the way there."""
    text = getattr(error, "detail", None) or getattr(error, "strerror", None) or str(error)
    return str(text).strip().splitlines()[-1]
