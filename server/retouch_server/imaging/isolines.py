"""From which value on a soft mask lies on what it is there to remove.

A soft mask says how much of a pixel to replace, not that the rest is clean. Where it is a stroke's own coverage m, and the
picture (1 - m) · background + m · stroke (Porter and Duff 1984), compositing leaves m · (1 - m) of the stroke: a line around
it, at the most a quarter of its contrast. Where it is the stroke's outline, grown and feathered, its tail lies on clean pixels.
The picture tells which: a background knows nothing of the mask, so that the picture, averaged along the mask's edge, changes
from where the mask is 0 to where it is m only if there is something of the stroke at m.

That change is the flux of the picture's gradient through the mask's isolines from 0 to m, over their length: the integral of
the mask's own gradient there (coarea formula: Federer 1959). Gradients of scenes are nearly white (Field 1987) where their
values are not, so that the scene's own edges average out, however strong they are.
"""

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from retouch_server.imaging.cells import CELL_PX, F32, Floats, box_mean
from retouch_server.imaging.rings import REACH_PX, distance_px

Indices = NDArray[np.intp]

STEPS = 8
"""The values of a mask are told apart in steps of 256 / STEPS."""
ALONG_CELLS = 8
"""Changes are averaged over the square of cells within this, 68 px: how a mask was made hardly changes along its edge."""
ERRORS = 3.0
"""A change of so many standard errors is one. To be wrong costs a soft edge, and no more."""
FAINTEST_LEVELS = 6.0
"""Root mean square of the channels: nothing is seen of less."""


def stained_from(planes: F32, mask: NDArray[np.uint8]) -> Indices:
    """The value of the mask from which on the picture changes with it, 0 to 224, around each cell (rows, columns); 256: none.

    planes (channels, h, w), mask (h, w); both lengths are multiples of CELL_PX.
    """
    distance = distance_px(mask > 0)
    edge = _Isolines.of(mask.astype(np.float32) / 255.0, mask.astype(np.intp) * STEPS // 256, STEPS)
    beside = _Isolines.of(-distance, np.where((distance > 0) & (distance <= REACH_PX), 0, -1), 1)
    length = edge.up_to_steps(edge.steepness)
    whole, square = np.maximum(_along(length), 1e-6), np.maximum(_along(np.square(length)), 1e-12)
    width_px = _along(edge.up_to_steps(np.ones_like(edge.steepness))) / whole
    beside_px = np.maximum(_along(beside.up_to_steps(np.ones_like(beside.steepness))), 1e-6)
    # Changes per unit of the mask, squared, of all channels.
    power, scatter, scene = np.zeros_like(whole), np.zeros_like(whole), np.zeros_like(whole)
    for plane in planes:
        gradient = _gradient(plane)
        flux = edge.up_to_steps(edge.uphill(gradient))
        change = _along(flux) / whole
        power += np.square(change)
        scatter += _along(np.square(flux)) - 2.0 * change * _along(flux * length) + np.square(change) * square
        # As much as the picture changes beside the mask, over as many pixels, it would without a stroke.
        scene += np.square(_along(beside.up_to_steps(beside.uphill(gradient))) / beside_px * width_px)
    # A cell of edge is an independent sample; the tails of Student's distribution, of n samples, are wider by n / (n - 3).
    count = np.square(whole) / square
    variance = np.maximum(scatter, 0.0) / np.square(whole) * count
    is_clear = (power - ERRORS**2 * scene) * np.maximum(count - 3.0, 0.0) > ERRORS**2 * variance
    reached = (np.arange(STEPS, dtype=np.float32) + 1.0) / STEPS
    shows = is_clear & (power * np.square(reached) > len(planes) * FAINTEST_LEVELS**2)
    lowest = np.where(shows.any(axis=2), shows.argmax(axis=2), STEPS).astype(np.uint8)
    # Neighbours average over nearly the same pixels: one below all others is chance.
    lowest = np.asarray(cv2.morphologyEx(lowest, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)), np.intp)
    return lowest * (256 // STEPS)


@dataclass(frozen=True, slots=True)
class _Isolines:
    """Those of a plane, at the pixels (n,) where it has a slope: steepness per px, and normals (2, n), uphill."""

    steepness: F32
    _normals: F32
    _pixels: tuple[Indices, Indices]
    _bins: Indices
    _shape: tuple[int, int, int]

    @classmethod
    def of(cls, plane: F32, step: Indices, steps: int) -> Self:
        """step: (h, w), to which of `steps` a pixel belongs; below 0: to none."""
        gradient = _gradient(plane)
        steepness = np.hypot(*gradient)
        y, x = np.nonzero((steepness > 0) & (step >= 0))
        shape = plane.shape[0] // CELL_PX, plane.shape[1] // CELL_PX, steps
        bins = np.ravel_multi_index((y // CELL_PX, x // CELL_PX, step[y, x]), shape)
        return cls(steepness[y, x], gradient[:, y, x] / steepness[y, x], (y, x), bins, shape)

    def uphill(self, gradient: F32) -> Floats:
        """The component of a gradient (2, h, w) along the normals, (n,)."""
        return (self._normals * gradient[:, *self._pixels]).sum(axis=0)

    def up_to_steps(self, values: Floats) -> F32:
        """Sums of values (n,) over the pixels of each cell and of each step or a lower one, (rows, columns, steps)."""
        total = np.bincount(self._bins, values, np.prod(self._shape)).reshape(self._shape)
        return total.cumsum(axis=2).astype(np.float32)


def _gradient(plane: Floats) -> F32:
    """Of a plane (h, w), downwards and to the right, per px: (2, h, w). Central differences; none across the border."""
    across = np.array([[-0.5, 0.0, 0.5]], np.float32)
    parts = [cv2.filter2D(plane, -1, kernel, borderType=cv2.BORDER_REFLECT_101) for kernel in (across.T, across)]
    return np.asarray(parts, np.float32)


def _along(values: Floats) -> F32:
    """Sums over the cells along the edge."""
    return box_mean(values, ALONG_CELLS) * (2 * ALONG_CELLS + 1) ** 2
