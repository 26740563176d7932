"""The client. Build it once, share it, close it with `async with`."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Unpack, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retouch import convert
from retouch.edit import MAX_OPEN_BYTES, EditCall, EditJob
from retouch.errors import InvalidInputError
from retouch.files import FileSink, FileSource, check_destination
from retouch.image import ArraySink, ArraySource, PillowSink, PillowSource
from retouch.mask import MaskLike, MaskReference, PackedMask, Picture, open_picture, pack_mask
from retouch.masks import Masks
from retouch.options import EditOptions, OptionFields
from retouch.pixels import PixelFormat, PixelSink, PixelSource
from retouch.plan import Model, Precheck
from retouch.proxy import proxy_of
from retouch.retry import Retry
from retouch.threads import in_thread
from retouch.transport import Metadata, Rpc, Tls, health_of, open_channel
from retouch.v1 import model_service_pb2 as model_pb
from retouch.v1 import precheck_service_pb2 as precheck_pb

Health = Literal["unknown", "serving", "not_serving", "service_unknown"]
HEALTH: tuple[Health, ...] = ("unknown", "serving", "not_serving", "service_unknown")
DEFAULT_OPTIONS = EditOptions()
DEFAULT_QUALITY = 95  # of JPEG and WebP results: repeated edits must not wear an image out


class RetouchClient:
    """A client of one service.

        async with RetouchClient("localhost:8300") as client:
            result = await client.edit_image(image, mask, scale=2)

    `target` is `host:port`, where all addresses behind the name that say they serve take turns, or a gRPC target (several
    numeric ones: `ipv4:10.0.0.1:8300,10.0.0.2:8300`). Options of an edit are given as
    keywords, as an EditOptions, or both (keywords win). `timeout_s` bounds a call with all its attempts. Everything raises
    RetouchError; see `retouch.errors` for the tree. Connects when first used. Not thread-safe: one event loop.
    """

    def __init__(
        self, target: str = "localhost:8300", *, token: str | None = None, tls: Tls | None = None, retry: Retry | None = None
    ) -> None:
        self._target, self._tls = target, tls
        self._channel = open_channel(target, tls)
        self._metadata: Metadata = (("authorization", f"Bearer {token}"),) if token else ()
        self._rpc = Rpc(self._channel, self._metadata)
        self._retry = retry or Retry()
        self.masks = Masks(self._rpc, self._retry)

    async def __aenter__(self) -> "RetouchClient":
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Cancels what still runs and closes the connections. Idempotent."""
        await self._channel.close()

    @overload
    def edit(
        self,
        image: NDArray[Any],
        mask: MaskLike | None = None,
        options: EditOptions = DEFAULT_OPTIONS,
        *,
        timeout_s: float | None = None,
        with_proxy: bool = True,
        **fields: Unpack[OptionFields],
    ) -> EditCall[NDArray[np.uint8]]: ...

    @overload
    def edit(
        self,
        image: Image.Image,
        mask: MaskLike | None = None,
        options: EditOptions = DEFAULT_OPTIONS,
        *,
        timeout_s: float | None = None,
        with_proxy: bool = True,
        **fields: Unpack[OptionFields],
    ) -> EditCall[Image.Image]: ...

    def edit(
        self,
        image: NDArray[Any] | Image.Image,
        mask: MaskLike | None = None,
        options: EditOptions = DEFAULT_OPTIONS,
        *,
        timeout_s: float | None = None,
        with_proxy: bool = True,
        **fields: Unpack[OptionFields],
    ) -> EditCall[Any]:
        """An edit of an image in memory; its result is of the same kind: an array of the same layout (uint8), or a Pillow image
        with the original's profile, EXIF and alpha. Await it, or iterate its events first.

        `mask` marks what may be edited (255 edits, 0 keeps, between is soft): a picture of the image's size as an array, Pillow
        image or path, or a MaskReference to one that the service holds. `with_proxy=False` lets the service make the proxy
        itself (up to 4 megapixels); the pixels are then sent before the plan is known.
        """

        def make_sink(source: PixelSource) -> PixelSink[Any]:
            if isinstance(image, Image.Image):
                assert isinstance(source, PillowSource)
                return PillowSink(image, source)
            return ArraySink(image)

        def open_image() -> PixelSource:
            return PillowSource(image) if isinstance(image, Image.Image) else ArraySource(image)

        if not isinstance(image, (np.ndarray, Image.Image)):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidInputError(f"cannot edit {type(image).__name__}; give an array or a Pillow image, or call edit_file")
        return self._call(open_image, make_sink, mask, options.changed(**fields), timeout_s, with_proxy)

    @overload
    async def edit_image(
        self,
        image: NDArray[Any],
        mask: MaskLike | None = None,
        options: EditOptions = DEFAULT_OPTIONS,
        *,
        timeout_s: float | None = None,
        **fields: Unpack[OptionFields],
    ) -> NDArray[np.uint8]: ...

    @overload
    async def edit_image(
        self,
        image: Image.Image,
        mask: MaskLike | None = None,
        options: EditOptions = DEFAULT_OPTIONS,
        *,
        timeout_s: float | None = None,
        **fields: Unpack[OptionFields],
    ) -> Image.Image: ...

    async def edit_image(
        self,
        image: NDArray[Any] | Image.Image,
        mask: MaskLike | None = None,
        options: EditOptions = DEFAULT_OPTIONS,
        *,
        timeout_s: float | None = None,
        **fields: Unpack[OptionFields],
    ) -> Any:
        """The result of `edit`, without its events and report."""
        return await self.edit(image, mask, options, timeout_s=timeout_s, **fields).result()

    def edit_file(
        self,
        path: str | os.PathLike[str],
        out_path: str | os.PathLike[str],
        mask: MaskLike | None = None,
        options: EditOptions = DEFAULT_OPTIONS,
        *,
        timeout_s: float | None = None,
        quality: int = DEFAULT_QUALITY,
        **fields: Unpack[OptionFields],
    ) -> EditCall[Path]:
        """An edit from file to file in O(width) memory; its result is the path written.

        The extension of `out_path` decides the format: PNG, TIFF, JPEG or WebP (the last two with `quality`, 1 to 100). The
        file appears once it is complete; until then nothing at `out_path` changes. ICC profile, EXIF, XMP and alpha are kept.
        """
        out, asked = Path(out_path), options.changed(**fields)

        def make_sink(source: PixelSource) -> PixelSink[Path]:
            assert isinstance(source, FileSource)
            check_destination(out, source.size.scaled(asked.scale), source.channels_kept)
            return FileSink(out, source, quality)

        return self._call(lambda: FileSource(Path(path)), make_sink, mask, asked, timeout_s, True)

    async def precheck(
        self,
        image: Picture,
        mask: MaskLike | None = None,
        options: EditOptions = DEFAULT_OPTIONS,
        *,
        timeout_s: float | None = None,
        **fields: Unpack[OptionFields],
    ) -> Precheck:
        """What an edit would find and do, without doing it; only a proxy of the image is sent."""
        judged = await in_thread(_judged, image, None if isinstance(mask, MaskReference) else mask)
        request = precheck_pb.PrecheckRequest(
            size=convert.to_size(judged.size),
            pixel_format=convert.to_pixel_format(judged.pixel_format),
            options=convert.to_options(options.changed(**fields)),
        )
        request.proxy.data = judged.proxy
        if isinstance(mask, MaskReference):
            request.mask.CopyFrom(convert.to_reference(mask))
        elif judged.mask is not None:
            room_bytes = MAX_OPEN_BYTES - len(judged.proxy)
            request.mask.CopyFrom(await self.masks.source_of(judged.mask, room_bytes, timeout_s))
        answer = await self._retry.call(lambda left_s: self._rpc.precheck(request, left_s), timeout_s)
        return convert.from_precheck(answer, judged.warnings)

    async def models(self, *, timeout_s: float | None = None) -> list[Model]:
        """The models of the service, ready or not, by name."""
        request = model_pb.ListModelsRequest()
        answer = await self._retry.call(lambda left_s: self._rpc.list_models(request, left_s), timeout_s)
        return [convert.from_model(each) for each in answer.models]

    async def health(self, service: str = "", *, timeout_s: float | None = 5.0) -> Health:
        """What grpc.health.v1 says, asked once. Raises UnavailableError when nobody answers."""
        number = await health_of(self._target, self._tls, self._metadata, service, timeout_s)
        return HEALTH[number] if number < len(HEALTH) else "unknown"

    def _call(
        self,
        open_image: Callable[[], PixelSource],
        make_sink: Callable[[PixelSource], PixelSink[Any]],
        mask: MaskLike | None,
        options: EditOptions,
        timeout_s: float | None,
        with_proxy: bool,
    ) -> EditCall[Any]:
        job = EditJob(open_image, make_sink, mask, options, timeout_s, with_proxy)
        return EditCall(self._rpc, self._retry, job)


class _Judged:
    """What a precheck needs of an image and its mask."""

    def __init__(self, source: PixelSource, mask: Picture | None) -> None:
        self.size = source.size
        self.pixel_format: PixelFormat = source.pixel_format
        self.proxy = proxy_of(source)
        self.mask: PackedMask | None = None if mask is None else pack_mask(mask, source)
        self.warnings = [*source.warnings, *(self.mask.warnings if self.mask else ())]


def _judged(image: Picture, mask: Picture | None) -> _Judged:
    source = open_picture(image)
    try:
        return _Judged(source, mask)
    finally:
        source.close()
