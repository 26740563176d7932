"""What the model repository serves, straight from its files. A fill: image [H, W, 3], hole [H, W] -> uint8 [H, W, 3]."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
Fill = Callable[[U8, U8], U8]


def loaded(path: Path) -> ModuleType:
    """A file of a model as a module, its neighbours importable, as Triton's stub loads it."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look their module up
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    return module


def classical(repository: Path) -> Fill:
    """inpaint_classical, with one BLAS thread, as it is served: with more it rounds otherwise, and copies other patches."""
    folder = repository / "inpaint_classical" / "1"
    loaded(folder / "threads.py").use_one_blas_thread()
    return loaded(folder / "exemplar.py").fill


def patch(repository: Path) -> Fill:
    """inpaint_patch: that fill, and the network that corrects it."""
    fill, folder = classical(repository), repository / "inpaint_patch" / "1"
    refine = loaded(folder / "refiner.py").Refiner(folder)
    return lambda image, mask: refine(fill(image, mask), mask.reshape(*image.shape[:2], 1))


def diffusion(repository: Path, seed: int) -> Fill:
    """inpaint_diffusion, without a guide."""
    folder = repository / "inpaint_diffusion" / "1"
    draw = loaded(folder / "sampler.py").fill
    refine = loaded(folder / "refiner.py").Refiner(folder, flipped=True)

    def fill(image: U8, mask: U8) -> U8:
        nothing = np.zeros((*mask.shape, 4), np.uint8)
        return refine(draw(image, mask[:, :, None], nothing, nothing[:1, :1], 1, seed), mask[:, :, None])

    return fill
