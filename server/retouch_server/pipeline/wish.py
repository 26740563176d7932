"""What a model that takes a prompt is told beside pixels: the prompt, and a seed of its own for each window.

    prompt   uint8 [n]     UTF-8, ended by a zero byte: handing a TYPE_STRING to NumPy 2 ends the stub of Triton 2.51
    seed     uint64 [1]

Both are inputs like any other, so that results are kept under them too.
"""

from dataclasses import dataclass

import numpy as np

from retouch_server.geometry import Rect
from retouch_server.models.backend import Array
from retouch_server.models.spec import ModelSpec

_SEEDS = 1 << 64
_STRIDE = 0x9E3779B97F4A7C15
"""Odd, near 2^64 / golden ratio: multiples of it lie far apart (Knuth, TAOCP 3, 6.4)."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What an edit asks of models that draw."""

    prompt: str = ""
    seed: int = 0

    def inputs(self, spec: ModelSpec, window: Rect) -> dict[str, Array]:
        """What of it the model takes. Windows get different noise, or all would have the same blobs."""
        seed = (self.seed + (window.y << 32 | window.x) * _STRIDE) % _SEEDS
        inputs: dict[str, Array] = {
            "prompt": np.frombuffer(self.prompt.replace("\0", " ").encode() + b"\0", np.uint8),
            "seed": np.array([seed], np.uint64),
        }
        return {name: values for name, values in inputs.items() if name in spec.inputs}


UNSAID = Wish()
