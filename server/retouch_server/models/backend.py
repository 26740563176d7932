"""The seam between the orchestrator and whatever runs the models. `triton.py` is the real one, `fake.py` the one for tests."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from retouch_server.models.spec import ModelSpec

Array = NDArray[Any]
"""An input or output tensor without its batch dimension."""


@dataclass(frozen=True, slots=True)
class Output:
    """An output that a call expects: the answer is checked against it."""

    shape: tuple[int, ...]
    dtype: type[np.generic]


@dataclass(frozen=True, slots=True)
class Call:
    """One inference. Inputs may be strided views; they are copied once, to where the model reads them."""

    model: str
    inputs: Mapping[str, Array]
    outputs: Mapping[str, Output]


class ModelBackend(Protocol):
    """Runs models. Does not retry: that is `dispatch.py`'s."""

    async def specs(self) -> list[ModelSpec]:
        """All models of the repository, ready or not, by name. Errors: ModelUnavailable."""
        ...

    def infer(self, call: Call, *, turn: int = 0) -> AbstractAsyncContextManager[Mapping[str, Array]]:
        """Runs `call`; the outputs are valid, and read-only, inside the `async with`.

        turn: which replica is asked, where there are several: they are counted round. Cancelling leaves no memory that a model
        still writes to in use. Errors: ModelUnavailable when no answer came and another attempt may help, ModelFault
        when the model answered wrongly.
        """
        ...

    async def close(self) -> None:
        """Waits for what still runs and gives everything back."""
        ...
