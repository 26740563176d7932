"""Whose colour a pixel has, the strokes' or their ground's: what a network that looks for shapes does not compare.

Expectation and maximisation (Dempster, Laird and Rubin, JRSS B 1977) over two histograms of colours in CIELAB.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]
Bools = NDArray[np.bool_]
Flat = NDArray[np.intp]

FOUND_LEVEL = 77
"""0.3 of 255: from this probability on a pixel counts as found."""
BINS = 16
"""Along each of L, a and b."""
GROUP_PX, AROUND_PX = 16, 8
"""Strokes no farther apart than twice GROUP_PX have their histograms in common; their ground reaches AROUND_PX farther."""
LEAST_PRIOR, MOST_PRIOR = 0.35, 0.65
"""The probability of what was found counts for no more than this: the network is sure of much that is ground."""
ROUNDS = 4
EMPTY = 1e-5
"""Added to the share of each bin: a colour that was never seen tells nothing."""
UNKNOWN = 128


def likelihood(image: U8, probability: U8) -> U8:
    """[H,W]: 255 times how likely a pixel's colour is a stroke's rather than its ground's; UNKNOWN far from what was found.

    image [H,W,3] uint8 RGB; probability [H,W] uint8, of 255.
    """
    found = probability >= FOUND_LEVEL
    result = np.full(found.shape, UNKNOWN, np.uint8)
    if not found.any():
        return result
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB) // (256 // BINS)
    colours = np.ravel_multi_index(cv2.split(lab), (BINS,) * 3)
    _, labels, boxes, _ = cv2.connectedComponentsWithStats(_grown(found, GROUP_PX))
    for group, (x, y, width, height, _) in enumerate(boxes[1:], 1):
        box = np.s_[max(0, y - AROUND_PX) : y + height + AROUND_PX, max(0, x - AROUND_PX) : x + width + AROUND_PX]
        member = labels[box] == group
        zone = _grown(member, AROUND_PX) > 0
        prior = np.clip(probability[box][zone] / np.float32(255), LEAST_PRIOR, MOST_PRIOR) * (found[box] & member)[zone]
        told = _told_apart(colours[box][zone], prior)
        result[box][zone] = np.rint(255 * told)
    return result


def _told_apart(colours: Flat, prior: F32) -> F32:
    """[N]: how likely each of the colours, [N] bins, is a stroke's, given the prior [N] of its pixel."""
    share = prior
    for _ in range(ROUNDS):
        stroke, ground = (_histogram(colours, weights) for weights in (share, 1 - share))
        likely = (stroke / (stroke + ground))[colours]
        share = prior * likely / (prior * likely + (1 - prior) * (1 - likely))
    return likely


def _histogram(colours: Flat, weights: F32) -> F32:
    """Shares of the bins, [BINS**3], smoothed by 1 2 1 along each axis."""
    cube = np.bincount(colours, weights, BINS**3).astype(np.float32)
    for _ in range(3):  # the last axis, and then the next becomes the last
        rows = cv2.sepFilter2D(cube.reshape(-1, BINS), -1, np.array([1, 2, 1]) / 4, np.ones(1), borderType=cv2.BORDER_REPLICATE)
        cube = rows.reshape(BINS, BINS, BINS).transpose(2, 0, 1).ravel()
    return cube / max(float(cube.sum()), 1e-6) + EMPTY


def _grown(flags: Bools, radius_px: int) -> U8:
    return np.asarray(cv2.dilate(flags.astype(np.uint8), np.ones((2 * radius_px + 1,) * 2, np.uint8)), np.uint8)
