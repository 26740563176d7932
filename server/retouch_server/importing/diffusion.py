"""A diffusers inpainting pipeline, given as its local folder: served by Triton's python backend, with a prompt and a seed."""
# pyright: basic, reportMissingImports=false

import hashlib
import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from retouch_server.importing.card import Card
from retouch_server.importing.check import check_hole
from retouch_server.importing.fit import Fit
from retouch_server.importing.pictures import photograph_like
from retouch_server.importing.source import ModelImportError, require
from retouch_server.local.repository import sha256_of
from retouch_server.models.spec import Kind

if TYPE_CHECKING:
    from retouch_server.importing.run import Wanted

INDEX = "model_index.json"
STEPS = 20
"""Denoising steps; `steps` in config.pbtxt. Schedulers of the DDIM and DPM kinds need no more."""
METHOD = "diffusion"

_TEMPLATE = Path(__file__).parent / "diffusion_model"
_LIBRARIES = ("diffusers", "transformers")
# Weights as pickles, which are never loaded, and what other frameworks would load.
_LEFT_OUT = shutil.ignore_patterns(".*", "*.bin", "*.ckpt", "*.pt", "*.pth", "*.msgpack", "*.onnx", "*.h5", "*.py")


def import_pipeline(wanted: "Wanted", fresh: Path, told: Callable[[str], None]) -> Card:
    """Fills `fresh` but for its texts. Errors: ModelImportError, MissingError."""
    require("importing a diffusers pipeline", "'retouch-server[import]'", "torch", "diffusers", "transformers", "safetensors")
    pipeline = _parse_index(wanted.path)
    if wanted.kind not in (None, Kind.INPAINT):
        raise ModelImportError(f"{wanted.path.name} is a diffusers pipeline, which can serve to inpaint only")
    told("copying the pipeline")
    shutil.copytree(wanted.path, fresh / "1" / "pipeline", ignore=_LEFT_OUT)
    for file in _TEMPLATE.glob("*.py"):
        shutil.copyfile(file, fresh / "1" / file.name)
    told("loading it")
    try:
        describer = _describer(fresh / "1" / "describe.py", fresh / "1" / "pipeline")
    except Exception as error:
        first = str(error).strip().splitlines()[0][:300]
        raise ModelImportError(
            f"{wanted.path.name} ({pipeline}) cannot be loaded to inpaint with, from safetensors alone: {first}"
        ) from error
    fit = _fit(wanted, describer.window_px)
    notes = _check(describer, fit.window_px, told)
    return Card(
        name=wanted.name,
        kind=Kind.INPAINT,
        method=wanted.method or METHOD,
        scale=1,
        fit=fit,
        file_name=wanted.path.name,
        sha256=_sha256_of_folder(fresh / "1" / "pipeline"),
        licence=wanted.licence,
        facts={"Architecture": f"diffusers {pipeline}", "Steps": str(STEPS)},
        notes=notes,
        backend="python",
        takes_prompt=True,
        parameters={"steps": str(STEPS)},
    )


def _parse_index(folder: Path) -> str:
    """The pipeline's class. Errors: ModelImportError, also for one that brings code of its own."""
    try:
        index: dict[str, Any] = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        pipeline = str(index["_class_name"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelImportError(f"{folder} has no {INDEX} that names a pipeline: it is not a diffusers folder") from error
    for name, part in index.items():
        if isinstance(part, list) and part[0] is not None and part[0] not in (*_LIBRARIES, "stable_diffusion"):
            raise ModelImportError(f"{folder.name}: its {name} comes from {part[0]!r}, which is not loaded")
    return pipeline


def _describer(file: Path, pipeline: Path) -> Any:
    """What Triton will run, run here."""
    spec = importlib.util.spec_from_file_location("retouch_imported_describe", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Describer(pipeline, STEPS)


def _fit(wanted: "Wanted", window_px: int) -> Fit:
    window = wanted.window_px or window_px
    halo = wanted.halo_px or 3 * window // 16
    if window <= 2 * halo or window % 8:
        raise ModelImportError(f"a window of {window} px must be a multiple of 8 and leave a core between halos of {halo} px")
    return Fit(window, halo, window, halo // 3, window, "every pixel of a window may change every other")


def _check(describer: Any, side_px: int, told: Callable[[str], None]) -> list[str]:
    """Errors: ModelImportError when the same seed gives two results, or the hole is seen. Returns notes."""
    mask = np.zeros((side_px, side_px, 1), np.uint8)
    mask[side_px // 4 : side_px // 2, side_px // 4 : side_px // 2] = 255
    image = photograph_like(side_px, side_px)
    results: list[Any] = []
    for number, seed in enumerate((1, 1, 2), start=1):
        told(f"drawing a window of {side_px}×{side_px} px: {number} of 3")
        results.append(describer.fill(image, mask, "a red apple", seed))
    if not np.array_equal(results[0], results[1]):
        raise ModelImportError("the pipeline draws two pictures from one seed")
    check_hole(lambda image, mask: describer.fill(image, mask, "a red apple", 1), side_px, mask, told)
    return ["The seed makes no difference to it."] if np.array_equal(results[0], results[2]) else []


def _sha256_of_folder(folder: Path) -> str:
    """Over the names and contents of its files."""
    whole = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        whole.update(f"{path.relative_to(folder).as_posix()}\0{sha256_of(path)}\n".encode())
    return whole.hexdigest()
