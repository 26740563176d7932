"""The seam between the orchestrator and whatever runs the models.

`triton.py` is the real server, `fake.py` the one for tests, and `pools.py` makes a backend of any number of servers.
"""

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


class ModelServer(Protocol):
    """One server that runs models. Does not retry: that is `dispatch.py`'s."""

    async def specs(self) -> list[ModelSpec]:
        """All models of its repository, ready or not, by name. Errors: ModelUnavailable."""
        ...

    def infer(self, call: Call) -> AbstractAsyncContextManager[Mapping[str, Array]]:
        """Runs `call`; the outputs are valid, and read-only, inside the `async with`.

        Cancelling leaves no memory that a model still writes to in use. Errors: ModelUnavailable when no answer came and
        another attempt may help, ModelFault when the model answered wrongly.
        """
        ...

    async def close(self) -> None:
        """Waits for what still runs and gives everything back."""
        ...


class ModelBackend(Protocol):
    """All servers together. Does not retry either."""

    async def specs(self) -> list[ModelSpec]:
        """All models that any of them serves, ready or not, by name. Errors: ModelUnavailable when none answers."""
        ...

    def infer(self, call: Call, *, turn: int = 0) -> AbstractAsyncContextManager[Mapping[str, Array]]:
        """As `ModelServer.infer`, on one of the servers that have the model ready. turn: on which; they are counted round."""
        ...

    async def close(self) -> None:
        """Waits for what still runs and gives everything back."""
        ...
