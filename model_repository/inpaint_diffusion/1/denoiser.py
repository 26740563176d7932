"""The best guess at a clean picture, given one with noise of known strength: the mean of its posterior over known patches.

If clean patches were drawn from the known patches p_i, then of a patch y with Gaussian noise of deviation sigma the mean of
the posterior is sum_i w_i p_i, w_i ~ exp(-|y - p_i|^2 / 2 sigma^2). No denoiser that sees only a patch, and treats all places
alike, has a smaller squared error over those patches, and trained convolutional diffusion models come close to it (Kamb and
Ganguli, "An Analytic Theory of Creativity in Convolutional Diffusion Models", ICML 2025, who take each mean's centre). Where
patches overlap, their means are averaged (Niedoba et al., "Towards a Mechanistic Explanation of Diffusion Model
Generalization", 2024), the centre counting most. The sum is over the few nearest patches (Niedoba et al., "Nearest Neighbour
Score Estimators for Diffusion Generative Models", ICML 2024), found exhaustively on small levels, else by PatchMatch (Barnes
et al., SIGGRAPH 2009).

Distances are between *descriptors*, the lower frequencies of a patch rounded to whole numbers. Sums of their products stay
below 2^24, so that 32-bit floats hold them exactly: the order of summation, hence the BLAS, its threads and the shapes of the
matrices, cannot change what is nearest.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from levels import F32, RADIUS_PX, SIDE_PX, Bools, Flat, Level

NEAREST = 2
EXHAUSTIVE_PAIRS = 8_000_000
JUMPS_PX = (8, 4, 2, 1)
COHERENCE = 0.6
"""A source somewhere else must be so much nearer (in squared distance) than what continues a neighbour's patch (Hertzmann
et al., "Image Analogies", SIGGRAPH 2001): with this and LAST_SHARPNESS LPIPS was 0.400, not 0.411, on 24 training windows."""
LARGEST_NORM = 1900.0
"""Of a descriptor, in grey levels: a patch of 0 and 255 has 1546. With more noise than that it is shortened."""
VOTE_SIGMA_PX = 1.2
"""A patch says most of its centre: means over whole patches lose grain at every step, and water became glass."""


@dataclass(frozen=True)
class Matches:
    """Of each target its nearest sources, best first, [T,NEAREST], and their squared distances, infinite: none."""

    sources: Flat
    costs: F32


class Denoiser:
    """The posterior over the known patches of one level."""

    def __init__(self, level: Level, rng: np.random.Generator) -> None:
        self.level, self._rng = level, rng
        self._is_small = level.pairs <= EXHAUSTIVE_PAIRS
        self._have = described(level.picture, slice(None))

    def begun(self, coarse: Level | None, matches: Matches | None) -> Matches:
        """Random matches, or twice the `matches` of the `coarse` level below, where those are sources here."""
        count = len(self.level.targets)
        guess = self.level.sources[self._rng.integers(0, len(self.level.sources), (count, NEAREST))]
        if coarse is not None and matches is not None:
            (height, width), wide = self.level.hole.shape, self.level.canvas_width
            y, x = np.divmod(self.level.targets, width)
            row = np.clip(y // 2, RADIUS_PX, height // 2 - RADIUS_PX - 1)
            column = np.clip(x // 2, RADIUS_PX, width // 2 - RADIUS_PX - 1)
            field = np.full((coarse.hole.size, NEAREST), -1, np.intp)
            field[coarse.targets] = matches.sources
            above = field[row * (width // 2) + column]
            above_y, above_x = np.divmod(np.maximum(above, 0), wide // 2)
            at_y = np.clip(2 * above_y + (y - 2 * row)[:, None], 0, self.level.known.shape[0] - 1)
            at_x = np.clip(2 * above_x + (x - 2 * column)[:, None], 0, wide - 1)
            at = at_y * wide + at_x
            guess = np.where((above >= 0) & self.level.is_source[at], at, guess)
        return Matches(guess, np.zeros(guess.shape, np.float32))

    def matched(self, noisy: F32, matches: Matches) -> Matches:
        """The nearest sources of the `noisy` window's patches."""
        wanted = described(noisy, self.level.targets)
        return self._exhaustive(wanted) if self._is_small else self._patch_match(wanted, matches)

    def mean(self, matches: Matches, sigma: float) -> F32:
        """[h,w,3]: the window with its hole as the posterior's mean has it; noise has the deviation `sigma`."""
        return voted(self.level, self.level.hole, matches, sigma)

    def _exhaustive(self, wanted: F32) -> Matches:
        sources = self.level.sources
        have = self._have[sources]
        squares = np.einsum("nd,nd->n", have, have)
        found, costs = np.empty((len(wanted), NEAREST), np.intp), np.empty((len(wanted), NEAREST), np.float32)
        block = max(1, 2_000_000 // len(sources))
        for start in range(0, len(wanted), block):
            rows = slice(start, start + block)
            distance = squares - 2.0 * (wanted[rows] @ have.T)
            each = np.arange(len(distance))
            for number in range(NEAREST):
                best = np.argmin(distance, axis=1)
                found[rows, number], costs[rows, number] = best, distance[each, best]
                distance[each, best] = np.inf
        return Matches(sources[found], costs + np.einsum("nd,nd->n", wanted, wanted)[:, None])

    def _patch_match(self, wanted: F32, matches: Matches) -> Matches:
        """Each target is offered its neighbours' matches, moved as they lie, and random ones near its own: two rounds."""
        wide, reach = self.level.canvas_width, max(self.level.known.shape)
        for jumps, radii in ((JUMPS_PX[:2], (reach // 2, reach // 8)), (JUMPS_PX[2:], (16, 4))):
            best = matches.sources[:, 0]
            offers = [matches.sources]
            field = np.full(self.level.hole.shape, -1, np.intp)
            field.ravel()[self.level.targets] = best
            for jump in jumps:
                around = np.pad(field, jump, constant_values=-1)
                y, x = np.divmod(self.level.targets, self.level.hole.shape[1])
                for dy, dx in ((-jump, 0), (jump, 0), (0, -jump), (0, jump)):
                    beside = around[y + jump + dy, x + jump + dx]
                    offers.append(np.where(beside >= 0, beside - dy * wide - dx, -1)[:, None])
            near = self._best(wanted, np.concatenate(offers, axis=1))
            offers = [near.sources]
            for radius in radii:
                dy, dx = self._rng.integers(-radius, radius + 1, (2, len(best)))
                offers.append((best + dy * wide + dx)[:, None])
            anywhere = self._best(wanted, np.concatenate(offers, axis=1))
            is_nearer = anywhere.costs[:, :1] < COHERENCE * near.costs[:, :1]
            matches = Matches(
                np.where(is_nearer, anywhere.sources, near.sources), np.where(is_nearer, anywhere.costs, near.costs)
            )
        return matches

    def _best(self, wanted: F32, offers: Flat) -> Matches:
        """The NEAREST of each target's `offers` [T,C], each but once."""
        offers = np.sort(offers, axis=1)
        usable = (offers >= 0) & (offers < self.level.known.size)
        usable[:, 1:] &= offers[:, 1:] != offers[:, :-1]
        offers = np.where(usable, offers, 0)
        usable &= self.level.is_source[offers]
        costs = np.empty(offers.shape, np.float32)
        for column in range(offers.shape[1]):
            difference = wanted - self._have[offers[:, column]]
            costs[:, column] = np.einsum("nd,nd->n", difference, difference)
        costs[~usable] = np.inf
        order = np.argsort(costs, axis=1, kind="stable")[:, :NEAREST]
        return Matches(np.take_along_axis(offers, order, 1), np.take_along_axis(costs, order, 1))


def voted(level: Level, where: Bools, matches: Matches, sigma: float, sharpness: float = 1.0) -> F32:
    """The window with the pixels of `where` [h,w] replaced by the mean of what the patches over them hold.

    Within a patch the posterior's weights count; between patches exp(-sharpness * cost / 2 s^2) of the best match, s^2 the
    75th percentile of the costs (Wexler, Shechtman, Irani, TPAMI 2007, section 3.2).
    """
    best = matches.costs[:, :1]
    posterior = np.exp((best - matches.costs) / (2.0 * sigma**2))
    scale = max(float(np.percentile(best, 75)), 1.0)
    trust = np.maximum(np.exp(-sharpness * best / (2.0 * scale)), 1e-6)
    (height, width), wide = level.hole.shape, level.canvas_width
    weights, field = np.zeros((height * width, NEAREST), np.float32), np.zeros((height * width, NEAREST), np.intp)
    weights[level.targets] = trust * posterior / posterior.sum(axis=1, keepdims=True)
    field[level.targets] = matches.sources
    flat, pixels = level.picture.reshape(-1, 3), np.flatnonzero(where)
    total, weight = np.zeros((len(pixels), 3), np.float32), np.zeros(len(pixels), np.float32)
    for dy in range(-RADIUS_PX, RADIUS_PX + 1):
        for dx in range(-RADIUS_PX, RADIUS_PX + 1):
            centres = pixels - (dy * width + dx)
            near = np.float32(np.exp((dy**2 + dx**2) / (-2.0 * VOTE_SIGMA_PX**2)))
            votes = near * weights.take(centres, axis=0, mode="clip")
            proposed = flat.take(field.take(centres, axis=0, mode="clip") + (dy * wide + dx), axis=0, mode="clip")
            total += np.einsum("nk,nkc->nc", votes, proposed)
            weight += np.einsum("nk->n", votes)
    out = level.window.copy()
    out.reshape(-1, 3)[pixels] = total / np.maximum(weight, 1e-12)[:, None]
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


def described(picture: F32, where: Flat | slice) -> F32:
    """[N,27], whole numbers: the patches around the pixels `where`, flat, of picture [H,W,3] along the orthonormal basis."""
    planes = cv2.split(cv2.transform(picture - 128.0, _OPPONENT))
    along = [cv2.sepFilter2D(planes[plane], -1, u, v, borderType=cv2.BORDER_REPLICATE).ravel()[where] for plane, v, u in _BASIS]
    out = np.stack(along, axis=1)
    norm = np.sqrt(np.einsum("nd,nd->n", out, out))[:, None]
    return np.rint(out * np.minimum(1.0, LARGEST_NORM / np.maximum(norm, 1.0)))
