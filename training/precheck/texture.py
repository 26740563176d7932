"""Fits the precheck's texture score and prints its weights: `python -m training.precheck.texture`.

A logistic regression on the energies of a proxy's finest octaves in the ring around a region. Spectra of photographs fall
smoothly (Field, JOSA A 1987), so these foretell what lies above the proxy's resolution. Half of the items stand at 1 : 2, the
others at 1 : 2 to 1 : 6, as large originals do.
"""

import argparse
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
from numpy.typing import NDArray

from training.precheck.regions import Item, ring, texture_item
from training.served import loaded
from training.text.train import photographs

F64 = NDArray[np.float64]
SEED, ITEMS = 0, 3000


def fit(features: F64, answers: NDArray[np.bool_], ridge: float = 1e-3) -> F64:
    """Logistic regression by Newton's method on standardised features [N, F], the first of them 1; weights for the raw ones."""
    mean, deviation = features.mean(0), features.std(0) + 1e-9
    mean[0], deviation[0] = 0.0, 1.0
    x = (features - mean) / deviation
    weights = np.zeros(x.shape[1])
    for _ in range(30):
        chance = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        hessian = x.T @ (x * (chance * (1 - chance))[:, None]) / len(x) + ridge * np.eye(len(weights))
        weights -= np.linalg.solve(hessian, x.T @ (chance - answers) / len(x) + ridge * weights)
    raw = weights / deviation
    raw[0] = weights[0] - (weights[1:] * mean[1:] / deviation[1:]).sum()
    return raw


def features_of(texture: ModuleType, shown: Item) -> F64:
    grey = cv2.cvtColor(shown.image, cv2.COLOR_RGB2GRAY)
    return texture.features(grey, ring(shown.region))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--runs", type=Path, default=Path("training/runs"))
    parser.add_argument("--repository", type=Path, default=Path("model_repository"))
    options = parser.parse_args()
    texture = loaded(options.repository / "precheck" / "1" / "texture.py")
    photos, rng = photographs(options.data, options.runs), np.random.default_rng(SEED)
    ratios = [2.0 if i % 2 else float(np.exp(rng.uniform(np.log(2), np.log(6)))) for i in range(ITEMS)]
    items = [texture_item(rng, photos, ratio) for ratio in ratios]
    features = np.stack([features_of(texture, each) for each in items])
    answers = np.array([each.answer for each in items])
    print(f"{ITEMS} items, {answers.mean():.2f} too fine")
    print(f"WEIGHTS = np.array({np.round(fit(features, answers), 4).tolist()})")


if __name__ == "__main__":
    main()
