"""The client for programs without an event loop: the same calls, run by a loop in a thread of its own."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from os import PathLike
from pathlib import Path
from typing import Any, Generic, TypeVar, Unpack, cast, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retouch.client import DEFAULT_OPTIONS, DEFAULT_QUALITY, Health, RetouchClient
from retouch.edit import EditCall
from retouch.events import Done, Event
from retouch.mask import MaskLike, Picture
from retouch.masks import Masks, MaskVersion, StoredMask, SuggestedMask
from retouch.options import EditOptions, OptionFields
from retouch.plan import Model, Precheck
from retouch.retry import Retry
from retouch.transport import Tls

T = TypeVar("T")
CANCEL_WAIT_S = 10.0  # for what an interrupted call has to clear away


class BlockingClient:
    """`RetouchClient` for threads; the parameters are its. Thread-safe. Ctrl-C and exceptions cancel what is under way.

    with BlockingClient("localhost:8300") as client:
        result = client.edit_image(image, mask, scale=2)
    """

    def __init__(
        self, target: str = "localhost:8300", *, token: str | None = None, tls: Tls | None = None, retry: Retry | None = None
    ) -> None:
        self._portal = _Portal()

        async def build() -> RetouchClient:
            return RetouchClient(target, token=token, tls=tls, retry=retry)

        try:
            self._client = self._portal.run(build())
        except BaseException:
            self._portal.close()
            raise
        self.masks = BlockingMasks(self._client.masks, self._portal)

    def __enter__(self) -> "BlockingClient":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections and ends the thread. Idempotent."""
        if not self._portal.is_closed:
            self._portal.run(self._client.close())
            self._portal.close()

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
    ) -> "BlockingEditCall[NDArray[np.uint8]]": ...

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
    ) -> "BlockingEditCall[Image.Image]": ...

    def edit(self, image: Any, *arguments: Any, **named: Any) -> "BlockingEditCall[Any]":
        """See RetouchClient.edit: iterate it, or ask for its result."""
        call: EditCall[Any] = cast(Any, self._client).edit(image, *arguments, **named)
        return BlockingEditCall(call, self._portal)

    @overload
    def edit_image(
        self,
        image: NDArray[Any],
        mask: MaskLike | None = None,
        options: EditOptions = DEFAULT_OPTIONS,
        *,
        timeout_s: float | None = None,
        **fields: Unpack[OptionFields],
    ) -> NDArray[np.uint8]: ...

    @overload
    def edit_image(
        self,
        image: Image.Image,
        mask: MaskLike | None = None,
        options: EditOptions = DEFAULT_OPTIONS,
        *,
        timeout_s: float | None = None,
        **fields: Unpack[OptionFields],
    ) -> Image.Image: ...

    def edit_image(self, image: Any, *arguments: Any, **named: Any) -> Any:
        """See RetouchClient.edit_image."""
        call: BlockingEditCall[Any] = cast(Any, self).edit(image, *arguments, **named)
        return call.result()

    def edit_file(
        self,
        path: str | PathLike[str],
        out_path: str | PathLike[str],
        mask: MaskLike | None = None,
        options: EditOptions = DEFAULT_OPTIONS,
        *,
        timeout_s: float | None = None,
        quality: int = DEFAULT_QUALITY,
        **fields: Unpack[OptionFields],
    ) -> "BlockingEditCall[Path]":
        """See RetouchClient.edit_file; nothing happens before the call is iterated or its result asked for."""
        call = self._client.edit_file(path, out_path, mask, options, timeout_s=timeout_s, quality=quality, **fields)
        return BlockingEditCall(call, self._portal)

    def precheck(
        self,
        image: Picture,
        mask: MaskLike | None = None,
        options: EditOptions = DEFAULT_OPTIONS,
        *,
        timeout_s: float | None = None,
        **fields: Unpack[OptionFields],
    ) -> Precheck:
        """See RetouchClient.precheck."""
        return self._portal.run(self._client.precheck(image, mask, options, timeout_s=timeout_s, **fields))

    def models(self, *, timeout_s: float | None = None) -> list[Model]:
        """See RetouchClient.models."""
        return self._portal.run(self._client.models(timeout_s=timeout_s))

    def health(self, service: str = "", *, timeout_s: float | None = 5.0) -> Health:
        """See RetouchClient.health."""
        return self._portal.run(self._client.health(service, timeout_s=timeout_s))


class BlockingMasks:
    """`Masks` for threads."""

    def __init__(self, masks: Masks, portal: "_Portal") -> None:
        self._masks = masks
        self._portal = portal

    def put(self, image_id: str, mask: Picture, *, expected_version: int = 0, timeout_s: float | None = None) -> MaskVersion:
        """See Masks.put."""
        put = self._masks.put(image_id, mask, expected_version=expected_version, timeout_s=timeout_s)
        return self._portal.run(put)

    def get(self, image_id: str, *, version: int = 0, timeout_s: float | None = None) -> StoredMask:
        """See Masks.get."""
        return self._portal.run(self._masks.get(image_id, version=version, timeout_s=timeout_s))

    def list(
        self, image_id: str, *, limit: int = 100, before_version: int = 0, timeout_s: float | None = None
    ) -> list[MaskVersion]:
        """See Masks.list."""
        listed = self._masks.list(image_id, limit=limit, before_version=before_version, timeout_s=timeout_s)
        return self._portal.run(listed)

    def suggest(self, image: Picture, *, timeout_s: float | None = None) -> SuggestedMask:
        """See Masks.suggest."""
        return self._portal.run(self._masks.suggest(image, timeout_s=timeout_s))


class BlockingEditCall(Generic[T]):
    """`EditCall` for threads. Leaving a `for` loop over it early needs `with call:` around it."""

    def __init__(self, call: EditCall[T], portal: "_Portal") -> None:
        self._call = call
        self._portal = portal

    @property
    def report(self) -> Done:
        """See EditCall.report."""
        return self._call.report

    def __iter__(self) -> Iterator[Event]:
        events = aiter(self._call)

        async def advance() -> Event | None:
            return await anext(events, None)

        while (event := self._portal.run(advance())) is not None:
            yield event

    def result(self) -> T:
        """See EditCall.result."""
        return self._portal.run(self._call.result())

    def close(self) -> None:
        """See EditCall.aclose."""
        self._portal.run(self._call.aclose())

    def __enter__(self) -> "BlockingEditCall[T]":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class _Portal:
    """An event loop in a daemon thread, and the way in."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="retouch-client", daemon=True)
        self._thread.start()
        self.is_closed = False

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`. When interrupted, cancels it and waits for its end."""
        if self.is_closed:
            work.close()
            raise RuntimeError("the client is closed")
        is_over = threading.Event()

        async def watched() -> T:
            try:
                return await work
            finally:
                is_over.set()

        future = asyncio.run_coroutine_threadsafe(watched(), self._loop)
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            is_over.wait(CANCEL_WAIT_S)
            raise

    def close(self) -> None:
        """Ends the loop and its thread."""
        self.is_closed = True
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()
