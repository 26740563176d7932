"""The best guess at a clean picture, given one with noise of known strength: the mean of its posterior over known patches.

If clean patches were drawn from the known patches p_i, then of a patch y with Gaussian noise of deviation sigma the mean of
the posterior is sum_i w_i p_i, w_i ~ exp(-|y - p_i|^2 / 2 sigma^2). No denoiser that sees only a patch, and treats all places
alike, has a smaller squared error over those patches, and trained convolutional diffusion models come close to it (Kamb and
Ganguli, "An Analytic Theory of Creativity in Convolutional Diffusion Models", ICML 2025, who take each mean's centre). Where
patches overlap, their means are averaged (Niedoba et al., "Towards a Mechanistic Explanation of Diffusion Model
Generalization", 2024), the centre counting most. The sum is over the few nearest patches (Niedoba et al., "Nearest Neighbour
Score Estimators for Diffusion Generative Models", ICML 2024), found exhaustively.

Distances are between *descriptors*, the lower frequencies of a patch rounded to whole numbers. Sums of their products stay
below 2^24, so that 32-bit floats hold them exactly: the order of summation, hence the BLAS, its threads and the shapes of the
matrices, cannot change what is nearest.
"""

import cv2
import numpy as np
from exemplar import F32, PEELED_PAIRS, PRODUCTS, RADIUS_PX, RGB, SIDE_PX, Flat, Level

NEAREST = 2
LARGEST_NORM = 1900.0
"""Of a descriptor, in grey levels: a patch of 0 and 255 has 1546. With more noise than that it is shortened."""
VOTE_SIGMA_PX = 1.2
"""A patch says most of its centre: means over whole patches lose grain at every step, and water became glass."""


class Denoiser:
    """The posterior over the known patches of a level, or of as many of them as PEELED_PAIRS allows."""

    def __init__(self, level: Level) -> None:
        self._level = level
        pairs = len(level.targets) * len(level.sources)
        self._sources = level.sources[:: max(1, -(-pairs // PEELED_PAIRS))]
        self._known = np.ascontiguousarray(level.picture[..., :RGB])
        self._have = described(self._known, self._sources)
        self._squares = np.einsum("nd,nd->n", self._have, self._have)

    def __call__(self, noisy: F32, sigma: float) -> F32:
        """[H,W,3]: the picture with its hole as the posterior's mean has it, of one whose noise has the deviation `sigma`."""
        return self._voted(*self._matched(described(noisy, self._level.targets)), sigma)

    def _matched(self, wanted: F32) -> tuple[Flat, F32]:
        """The NEAREST sources of each target, best first, and their squared distances: [T,NEAREST] both."""
        found, costs = np.empty((len(wanted), NEAREST), np.intp), np.empty((len(wanted), NEAREST), np.float32)
        block = max(1, PRODUCTS // len(self._sources))
        for start in range(0, len(wanted), block):
            rows = slice(start, start + block)
            distance = self._squares - 2.0 * (wanted[rows] @ self._have.T)
            each = np.arange(len(distance))
            for number in range(NEAREST):
                best = np.argmin(distance, axis=1)
                found[rows, number], costs[rows, number] = best, distance[each, best]
                distance[each, best] = np.inf
        return self._sources[found], costs + np.einsum("nd,nd->n", wanted, wanted)[:, None]

    def _voted(self, found: Flat, costs: F32, sigma: float) -> F32:
        """The picture, each pixel of the hole the mean of what the patches over it hold.

        Within a patch the posterior's weights count; between patches exp(-cost / 2 s^2) of the best match, s^2 the 75th
        percentile of the costs (Wexler, Shechtman, Irani, TPAMI 2007, section 3.2).
        """
        level, best = self._level, costs[:, :1]
        posterior = np.exp((best - costs) / (2.0 * sigma**2))
        trust = np.maximum(np.exp(best / (-2.0 * max(float(np.percentile(best, 75)), 1.0))), 1e-6)
        weights, field = np.zeros((level.hole.size, NEAREST), np.float32), np.zeros((level.hole.size, NEAREST), np.intp)
        weights[level.targets] = trust * posterior / posterior.sum(axis=1, keepdims=True)
        field[level.targets] = found
        flat, pixels = self._known.reshape(-1, RGB), np.flatnonzero(level.hole)
        total, weight = np.zeros((len(pixels), RGB), np.float32), np.zeros(len(pixels), np.float32)
        for dy in range(-RADIUS_PX, RADIUS_PX + 1):
            for dx in range(-RADIUS_PX, RADIUS_PX + 1):
                step = dy * level.width + dx
                near = np.float32(np.exp((dy**2 + dx**2) / (-2.0 * VOTE_SIGMA_PX**2)))
                votes = near * weights.take(pixels - step, axis=0, mode="clip")
                proposed = flat.take(field.take(pixels - step, axis=0, mode="clip") + step, axis=0, mode="clip")
                total += np.einsum("nk,nkc->nc", votes, proposed)
                weight += np.einsum("nk->n", votes)
        out = self._known.copy()
        out.reshape(-1, RGB)[pixels] = total / np.maximum(weight, 1e-12)[:, None]
        return out


# --- descriptors ---


def _basis() -> list[tuple[int, F32, F32]]:
    """(plane, along y, along x) of the descriptor's cosines: 21 of brightness, three of each opponent colour."""
    steps = np.arange(SIDE_PX) + 0.5
    waves = [np.cos(np.pi * steps * number / SIDE_PX) for number in range(6)]
    waves = [(wave / np.sqrt(np.square(wave).sum())).astype(np.float32) for wave in waves]
    return [
        (plane, waves[v], waves[u])
        for plane, highest in ((0, 5), (1, 1), (2, 1))
        for v in range(highest + 1)
        for u in range(highest + 1 - v)
    ]


_BASIS = _basis()
_OPPONENT = np.array(((1, 1, 1), (1, 0, -1), (1, -2, 1)), np.float32) / np.sqrt(np.array(((3,), (2,), (6,)), np.float32))


def described(picture: F32, where: Flat) -> F32:
    """[N,27], whole numbers: the patches around the pixels `where`, flat, of picture [H,W,3] along the orthonormal basis."""
    planes = cv2.split(cv2.transform(picture - 128.0, _OPPONENT))
    along = [cv2.sepFilter2D(planes[plane], -1, u, v, borderType=cv2.BORDER_REPLICATE).ravel()[where] for plane, v, u in _BASIS]
    out = np.stack(along, axis=1)
    norm = np.sqrt(np.einsum("nd,nd->n", out, out))[:, None]
    return np.rint(out * np.minimum(1.0, LARGEST_NORM / np.maximum(norm, 1.0)))
