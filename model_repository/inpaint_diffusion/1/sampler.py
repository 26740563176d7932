"""Draw what a hole may hold: diffusion, from noise to a picture, with the window's own known patches for a model.

DDIM (Song, Meng, Ermon, ICLR 2021) with eta 0: no noise but the first is drawn, and the seed gives that, so that a seed
stands for a picture. In the form with exploding variance a step from sigma to sigma' is x' = D + (sigma' / sigma) (x - D), D
the denoiser's guess (denoiser.py). As in cascades (Ho et al., JMLR 2022) and latent diffusion (Rombach et al., CVPR 2022) what
is drawn is small: the level at which the hole is a few patches wide, where all known patches can be compared. Its noise lies on
a first guess (SDEdit, Meng et al., ICLR 2022), and known pixels are given at every step. inpaint_classical's search begins with
what was drawn and gives it detail; inpaint_patch's network corrects that.
"""

from functools import partial

import numpy as np
from denoiser import Denoiser
from exemplar import F32, RGB, U8, Level, first_guess
from guided import fill_guided
from threads import use_one_blas_thread

use_one_blas_thread()

STEPS = 20
FIRST_SIGMA = 0.5
"""By the deviation of the known pixels. On 24 windows of training photographs, three seeds each, LPIPS was 0.375, with 0.7
0.376; inpaint_patch's 0.374."""
LAST_SIGMA = 0.05
"""Where the steps end, by where they began."""


def fill(image: U8, mask: U8, guide: U8, reference: U8, guide_px: int, seed: int) -> U8:
    """`image` with the pixels where `mask` > 0 replaced; all others are returned as they came.

    image [H,W,3]; mask [H,W,1]; guide [H,W,4]: a coarse fill, RGB and confidence (0: none), a px of which stands for `guide_px`
    px of the image; reference [h,w,4]: more of the picture, RGB and validity; all uint8. Where there is a guide it has drawn
    already, and is given its detail. The result does not depend on the pixels in the hole. A hole without surroundings or guide
    becomes mid-grey: nothing is known of it.
    """
    return fill_guided(image, mask, guide, reference, guide_px, partial(drawn, rng=np.random.default_rng(seed)))


def drawn(level: Level, rng: np.random.Generator) -> F32:
    """[H,W,C]: the picture of a level with its hole drawn in STEPS steps, what is no colour as the first guess has it."""
    guess, denoiser = first_guess(level), Denoiser(level)
    known, hole = level.picture[..., :RGB], level.hole[..., None]
    seen = known[~level.hole]
    sigma = max(FIRST_SIGMA * float(np.sqrt(np.mean(np.square(seen - seen.mean(axis=0))))), 1.0)
    sigmas = np.geomspace(sigma, LAST_SIGMA * sigma, STEPS)
    x = np.where(hole, guess[..., :RGB] + np.float32(sigma) * rng.standard_normal(known.shape, np.float32), known)
    for now, then in zip(sigmas, (*sigmas[1:], 0.0), strict=True):
        mean = denoiser(x, float(now))
        x = np.where(hole, mean + np.float32(then / now) * (x - mean), known)
    return np.dstack([x, guess[..., RGB:]])
