"""A torch source as ONNX, under the names and types of the contract.

The tracing exporter is used, not the newer one over torch.export: it leaves the sides free without being told which sums of
them a network makes, and takes seconds where the other takes minutes. What it writes is checked against the source afterwards,
at sizes that were not traced; where it froze a size, the window's is frozen for all, and smaller pictures are padded to it.
"""
# pyright: basic, reportMissingImports=false

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from retouch_server.importing.check import differs, open_onnx
from retouch_server.importing.pictures import discs, noise
from retouch_server.importing.source import ModelImportError, Source
from retouch_server.importing.spectrum import in_real_numbers

OPSET = 17
"""The newest that the tracing exporter and Triton's ONNX Runtime of the last years both know."""


@dataclass(frozen=True, slots=True)
class Exported:
    """An ONNX file. side_px: the only side that it takes; None: any that the source takes."""

    path: Path
    side_px: int | None


def export(source: Source, served: Any, window_px: int, path: Path, told: Callable[[str], None]) -> Exported:
    """Writes `path`. Errors: ModelImportError when no way of exporting gives what the source gives."""
    wants_one_size = source.needs.is_square or source.needs.side_px is not None
    reasons: list[str] = []
    for side_px in (window_px,) if wants_one_size else (None, window_px):
        try:
            _trace(source, served, window_px, side_px is None, path)
            reason = _fault(source, path, side_px)
        except Exception as error:  # of torch's exporter, or of ONNX Runtime when it opens what that wrote
            reason = f"{type(error).__name__}: {str(error).strip().splitlines()[0][:300]}"
        if not reason:
            return Exported(path, side_px)
        reasons.append(f"with {'free sides' if side_px is None else f'sides of {side_px} px'}: {reason}")
        told(f"not exported {reasons[-1]}")
    raise ModelImportError(f"this {source.architecture} cannot be exported to ONNX {'; '.join(reasons)}")


def _trace(source: Source, served: Any, window_px: int, is_free: bool, path: Path) -> None:
    arguments = [noise(window_px, window_px)] + ([discs(window_px, window_px)] if source.takes_mask else [])
    names = ["image", "mask"][: len(arguments)]
    axes = {name: {0: "height", 1: "width"} for name in names} | {"result": {0: "height_out", 1: "width_out"}}
    with warnings.catch_warnings(), torch.no_grad(), in_real_numbers():
        warnings.simplefilter("ignore")  # of being the older exporter, and of each size that it takes for a constant
        torch.onnx.export(
            served,
            tuple(torch.from_numpy(each) for each in arguments),
            str(path),
            dynamo=False,
            input_names=names,
            output_names=["result"],
            opset_version=OPSET,
            dynamic_axes=axes if is_free else None,
        )


def _fault(source: Source, path: Path, side_px: int | None) -> str:
    """What is wrong with the file; empty when it gives what the source gives."""
    run = open_onnx(path)
    for height, width in _sizes(source, side_px):
        mask = discs(height, width) if source.takes_mask else None
        difference = differs(run, source.run, noise(height, width), mask)
        if difference.greatest > 1:
            return f"at {height}×{width} px it differs from the source by {difference.greatest} levels"
    return ""


def _sizes(source: Source, side_px: int | None) -> Iterator[tuple[int, int]]:
    if side_px is not None:
        yield side_px, side_px
        return
    small = source.needs.fitting(64)
    step = source.needs.least_multiple()
    yield small, small + step
    yield small + 3 * step, small


def with_side(source: Source, side_px: int | None) -> Source:
    """The source as it is served: with one size only where the export has one."""
    return source if side_px is None else replace(source, needs=replace(source.needs, side_px=side_px))
