"""Window, halo and blending that suit a model, from what was measured of it."""

import math
from dataclasses import dataclass

from retouch_server.importing.reach import Reach
from retouch_server.importing.source import ModelImportError, Needs
from retouch_server.models.spec import Kind

BLEND_PX = 6
"""Where both sides see their whole receptive field they agree; this much hides what rounding leaves."""
WINDOWS_PX = {Kind.UPSCALE: (256, 512), Kind.INPAINT: (512, 512)}
"""The least and the greatest window that is chosen unasked: a fill needs surroundings, an upscaler memory."""
_CORE_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Fit:
    """What config.pbtxt will say, in px of the input, and why."""

    window_px: int
    halo_px: int
    receptive_field_px: int
    blend_px: int
    multiple_px: int
    reason: str


def measured_at(kind: Kind, needs: Needs, window_px: int | None) -> int:
    """The side of the window that the receptive field is measured in. Errors: ModelImportError for one that cannot be."""
    side_px = needs.fitting(window_px or WINDOWS_PX[kind][0])
    if window_px and side_px != window_px:
        raise ModelImportError(f"--window-px {window_px} does not suit the model; {side_px} does")
    return side_px


def fit(kind: Kind, needs: Needs, reach: Reach, window_px: int | None, halo_px: int | None) -> Fit:
    """The given lengths are kept. Errors: ModelImportError when they leave no core."""
    field_px = reach.receptive_field_px
    most_px = window_px or max(WINDOWS_PX[kind][1], reach.side_px)
    if field_px is not None and _eights(field_px + BLEND_PX) <= most_px // 4:
        halo, blend = halo_px or _eights(field_px + BLEND_PX), None
        reason = f"a pixel reaches {field_px} px"
    else:
        # A third of the halo blends, the rest is context. A fill needs it; of an upscaler it is measured.
        least_px, greatest_px = most_px // 16, 3 * most_px // 16
        halo = halo_px or _eights(greatest_px if kind == Kind.INPAINT else min(max(reach.faint_px, least_px), greatest_px))
        blend = halo // 3
        far = "through the whole window" if field_px is None else f"{field_px} px, too far for a window of {most_px}"
        reason = f"a pixel reaches {far}; more than a level rarely beyond {reach.faint_px} px"
    window = window_px or needs.fitting(min(most_px, max(WINDOWS_PX[kind][0], math.ceil(2 * halo / (1 - _CORE_SHARE**0.5)))))
    if window <= 2 * halo:
        raise ModelImportError(
            f"a window of {window} px leaves no core between halos of {halo} px; choose a larger --window-px"
        )
    field = window if field_px is None else min(field_px, window)
    if blend is None:
        blend = max(0, halo - field)
    multiple = window if needs.side_px or needs.is_square else needs.least_multiple()
    if window % multiple:
        raise ModelImportError(f"--window-px {window} must be a multiple of {multiple}")
    return Fit(window, halo, field, min(blend, halo), multiple, reason)


def _eights(length_px: int) -> int:
    return max(8, -(-length_px // 8) * 8)
