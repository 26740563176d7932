"""A running service, and windows through its models."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retouch_server.local.up import LocalService, LocalSettings, local_service
from retouch_server.models.backend import Array, Call, Output

IDENTITY = Path(__file__).parents[1] / "support" / "model_repository"
U8 = NDArray[np.uint8]


@asynccontextmanager
async def service(state_dir: Path) -> AsyncGenerator[LocalService]:
    """A service of the identity alone, until something is imported."""
    async with local_service(LocalSettings(state_dir=state_dir, model_repositories=(IDENTITY,))) as running:
        yield running


async def window(running: LocalService, model: str, scale: int, **inputs: Array) -> U8:
    """What a model makes of one window, through the backend that edits use."""
    await running.app.catalogue.refresh()
    height, width = inputs["image"].shape[:2]
    call = Call(model, inputs, {"result": Output((height * scale, width * scale, 3), np.uint8)})
    async with running.app.backend.infer(call) as outputs:
        return outputs["result"].copy()
