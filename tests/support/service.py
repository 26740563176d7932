"""A whole orchestrator over fake models, on a free port."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from grpc import aio

from retouch.v1.edit_service_pb2_grpc import EditServiceStub
from retouch.v1.mask_service_pb2 import MaskVersion, OpenPutMask, PutMaskRequest
from retouch.v1.mask_service_pb2_grpc import MaskServiceStub
from retouch_server.app import App
from retouch_server.config import Settings
from retouch_server.imaging.codec import encode_png
from retouch_server.models.fake import FakeBackend
from tests.support.gate import Gate
from tests.support.models import Image, Models, fake_models
from tests.support.wire import edit_of, noise, say

GAUGES = ("edits_in_flight", "edits_queued", "queued_pixels", "in_flight_pixels", "windows_waiting")


@dataclass
class Service:
    """A running App, its fake models, and stubs of a client with gRPC's default limits."""

    app: App
    backend: FakeBackend
    gate: Gate
    channel: aio.Channel

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.app.port}"

    @property
    def edits(self) -> Any:
        return EditServiceStub(self.channel)

    @property
    def masks(self) -> Any:
        return MaskServiceStub(self.channel)

    def value(self, series: str, **labels: str) -> float:
        """The value of a metric; 0 where it has none yet."""
        return self.app.metrics.registry.get_sample_value(f"retouch_{series}", labels) or 0.0

    async def put_mask(self, image_id: str, mask: Image, expected_version: int = 0) -> MaskVersion:
        """Stores a mask; the version that is current then."""
        messages = [
            PutMaskRequest(open=OpenPutMask(image_id=image_id, expected_version=expected_version)),
            PutMaskRequest(chunk=encode_png(mask)),
        ]
        return (await self.masks.PutMask(messages, timeout=20)).version

    async def comes_to_rest(self) -> None:
        """Waits until nothing runs any more, and checks that nothing is left over."""
        await eventually(lambda: not self.app.admission.in_flight and not self.backend.running)
        assert (self.app.admission.in_flight, self.app.admission.in_flight_px, self.app.admission.queued_px) == (0, 0, 0)
        assert [self.value(gauge) for gauge in GAUGES] == [0.0] * len(GAUGES)
        assert self.gate.held == 0
        await eventually(lambda: not tasks_of_edits())
        assert self.app.editor.estimator.shares.is_idle

    async def still_answers(self) -> None:
        """After a fault: everything was given back, and a good edit succeeds."""
        await self.comes_to_rest()
        self.gate.open()
        self.backend.faults.clear()
        image = noise(70, 90)
        assert ((await say(self.edits, edit_of(image, upscaler="identity"))).image() == image).all()
        await self.comes_to_rest()


@asynccontextmanager
async def serve(folder: Path, models: Models | None = None, **settings: Any) -> AsyncGenerator[Service]:
    """A service over `models` (all of `fake_models` by default); what it did to get ready is forgotten."""
    gate = Gate()
    backend = FakeBackend(models or fake_models(), gate=cast(Any, gate))
    values = {"host": "127.0.0.1", "port": 0, "metrics_port": 0, "mask_store": f"sqlite+aiosqlite:///{folder}/masks.db"}
    app = App(Settings(**cast(Any, values | settings)), backend)
    try:
        await app.start()
        backend.calls.clear()
        backend.most_running = 0
        async with aio.insecure_channel(f"127.0.0.1:{app.port}") as channel:
            yield Service(app, backend, gate, channel)
    finally:
        gate.open()
        await app.stop(grace_s=0)


def tasks_of_edits() -> list[str]:
    """The tasks of this loop that belong to an edit."""
    names = [getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks()]
    return [name for name in names if name.startswith(("TiledStage", "EditServicer", "_ProxyTap", "_copy"))]


async def eventually(claim: Callable[[], bool], timeout_s: float = 20) -> None:
    """Waits until a claim holds that no event tells of."""
    async with asyncio.timeout(timeout_s):
        while not claim():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
