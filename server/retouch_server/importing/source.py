"""What every way in comes down to: a function from pixels to pixels, and what it needs of its input."""

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from retouch_server.local.runtime import MissingError
from retouch_server.models.spec import Kind

U8 = NDArray[np.uint8]

Run = Callable[[U8, U8 | None], U8]
"""(h, w, 3) RGB and, for models that fill, (h, w, 1) with > 0 for the hole → (h · scale, w · scale, 3)."""


class ModelImportError(Exception):
    """The model cannot be imported. The message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Needs:
    """Sizes that a model takes: each side at least minimum_px and a multiple of multiple_px; only side_px where that is set."""

    minimum_px: int = 1
    multiple_px: int = 1
    is_square: bool = False
    side_px: int | None = None

    def least_multiple(self) -> int:
        """What sides are padded to a multiple of, so that none is below the minimum."""
        return -(-self.minimum_px // self.multiple_px) * self.multiple_px

    def fitting(self, side_px: int) -> int:
        """The least side of at least `side_px` that the model takes."""
        if self.side_px is not None:
            return self.side_px
        multiple = self.least_multiple()
        return max(multiple, -(-side_px // multiple) * multiple)


@dataclass(frozen=True, slots=True)
class Source:
    """A model as it came. facts: lines for its card, name → value."""

    architecture: str
    kind: Kind
    scale: int
    needs: Needs
    run: Run
    facts: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def takes_mask(self) -> bool:
        return self.kind == Kind.INPAINT


def require(what: str, install: str, *packages: str) -> None:
    """Errors: MissingError with the one command that installs what is missing."""
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise MissingError(f"{what} needs {', '.join(missing)}: pip install {install}")
