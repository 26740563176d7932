"""Where an enlargement strayed from its input, a faithful one takes over.

What is compared is what the caller would get: the model's result without its drift of tone (`imaging/tone.py`), which is
small and the same all over a window. That is judged before the windows are joined, and anew for a result that was kept.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retouch_server.imaging.agreement import replaced, strayed
from retouch_server.imaging.rows import Pixels
from retouch_server.pipeline.plan import StagePlan
from retouch_server.pipeline.stages.job import Enlarge, View


@dataclass(frozen=True, slots=True)
class Strayed:
    """A window's result, (h · scale, w · scale, channels), and the cells of it that are not like the input."""

    pixels: Pixels
    cells: NDArray[np.bool_]

    def mended(self, faithful: Pixels) -> Pixels:
        """With what a faithful upscaler made of the window there."""
        return replaced(self.pixels, faithful, self.cells)


@dataclass(frozen=True, slots=True)
class Faithful:
    """Finds what is less than `least_db` from its input, and says who makes it again: `job`; None: bicubic interpolation."""

    job: Enlarge | None
    least_db: float

    @staticmethod
    def of(plan: StagePlan) -> "Faithful | None":
        """None where nothing may stray, or nothing takes over."""
        fallback = plan.fallback
        return fallback and Faithful(fallback.spec and Enlarge(fallback.spec), fallback.least_db)

    def strayed(self, view: View, result: Pixels) -> Strayed | None:
        """A copy of the result where it strayed; None where it did not."""
        cells = strayed(result, view.source, self.least_db)
        return None if cells is None else Strayed(result.copy(), cells)
