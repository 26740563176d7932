"""A ready ONNX file: one that follows the contract is served as it is; one over float NCHW is put between 8-bit pixels.

The contract: `image` uint8 [H,W,3] (or [N,H,W,3]), for inpainters `mask` uint8 [H,W,1], and `result` uint8. Of a float model it
is taken that it wants RGB in 0..1; whether it answers in 0..1 or 0..255 is looked at.
"""
# pyright: basic, reportMissingImports=false

from pathlib import Path
from typing import Any

import numpy as np

from retouch_server.importing.pictures import discs, photograph_like
from retouch_server.importing.source import U8, ModelImportError, Needs, Run, Source, require
from retouch_server.models.spec import Kind
from retouch_server.pipeline.request import SCALES

_MULTIPLES = (1, 2, 4, 8, 16, 32, 64)
_OPSET = 17
_MOST_UNIT = 8.0
"""Of a model that answers in 0..1 nothing comes near this; of one in 0..255 nearly everything is beyond it."""


def import_onnx(path: Path, kind: str | None, target: Path) -> tuple[Source, list[str], bool]:
    """Writes `target`, which follows the contract; notes for the card; whether it takes batches. Errors: ModelImportError."""
    require("importing an ONNX file", "onnx onnxruntime", "onnx", "onnxruntime")
    import onnx

    try:
        model = onnx.load(path)  # with weights that lie in files beside it
        onnx.checker.check_model(model)
    except Exception as error:
        raise ModelImportError(f"{path.name} is not a valid ONNX file: {str(error).strip().splitlines()[0][:300]}") from error
    follows = [each.name for each in _inputs(model)] in (["image"], ["image", "mask"]) and all(
        _type(each) == onnx.TensorProto.UINT8 for each in _inputs(model)
    )
    notes: list[str] = []
    if not follows:
        if kind is None:
            raise ModelImportError(
                f"{path.name} takes {_told(model)}, not `image` uint8 [H,W,3] as the contract wants; if it is a float model "
                "of RGB in 0..1, say what it is for with --kind"
            )
        model, notes = _between_pixels(path, model, Kind(kind))
    elif [each.name for each in model.graph.output][:1] != ["result"]:
        raise ModelImportError(f"{path.name}: its output must be called `result`")
    onnx.save(model, target)
    shape = _shape(_inputs(model)[0])
    is_batched = len(shape) == 4
    run = _runner(target, is_batched)
    takes_mask = len(_inputs(model)) == 2
    found = Kind.INPAINT if takes_mask else Kind.UPSCALE
    if kind is not None and kind != found:
        raise ModelImportError(f"{path.name} takes {'a' if takes_mask else 'no'} mask, so it is for {found}, not {kind}")
    fixed = shape[-3:-1]
    if is_batched and isinstance(shape[0], int):
        raise ModelImportError(f"{path.name} takes batches of {shape[0]} only; export it with a free batch, or without one")
    if any(isinstance(side, int) for side in fixed) and fixed[0] != fixed[1]:
        raise ModelImportError(f"{path.name} takes windows of {fixed[0]}×{fixed[1]} px; export it square, or with free sides")
    needs = Needs(side_px=fixed[0]) if isinstance(fixed[0], int) else Needs(multiple_px=_multiple(run, takes_mask))
    scale = _scale(path, run, takes_mask, needs)
    facts = {"Architecture": f"ONNX, {len(model.graph.node)} nodes, opset {model.opset_import[0].version}"}
    return Source("ONNX", found, scale, needs, run, facts), notes, is_batched


def _between_pixels(path: Path, model: Any, kind: Kind) -> tuple[Any, list[str]]:
    """The float model with conversion, rounding and, for inpainters, mask and compositing around it."""
    import onnx
    from onnx import TensorProto, compose, helper, numpy_helper, version_converter

    if model.opset_import[0].version < _OPSET:
        model = version_converter.convert_version(model, _OPSET)
    inputs = _inputs(model)
    channels = [shape[1] if len(shape := _shape(each)) == 4 else None for each in inputs]
    wanted = {Kind.UPSCALE: ([3],), Kind.INPAINT: ([3, 1], [4])}[kind]
    floats = (TensorProto.FLOAT, TensorProto.FLOAT16)
    if channels not in wanted or any(_type(each) not in floats for each in inputs) or len(model.graph.output) != 1:
        raise ModelImportError(
            f"{path.name} takes {_told(model)}; for --kind {kind} a float [1,3,H,W]"
            + (" and [1,1,H,W], or [1,4,H,W]," if kind == Kind.INPAINT else "")
            + " and one output are expected"
        )
    sides = _shape(inputs[0])[2:]
    is_half = _type(inputs[0]) == TensorProto.FLOAT16
    inner = compose.add_prefix(model, "network/")
    names = [f"network/{each.name}" for each in inputs]
    levels = _levels(path, model, channels)
    constants = {
        "first": np.array([0], np.int64),
        "per_level": np.float32(1 / 255),
        "levels": np.float32(levels),
        "half": np.float32(0.5),
        "black": np.float32(0),
        "white": np.float32(255),
        "zero": np.uint8(0),
        "one": np.float32(1),
    }
    nodes: list[Any] = []

    def node(operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def planes(name: str) -> str:
        moved = node("Transpose", [name], f"{name}_planes", perm=[2, 0, 1])
        return node("Unsqueeze", [moved, "first"], f"{name}_batch")

    precision = TensorProto.FLOAT16 if is_half else TensorProto.FLOAT
    unit = node("Mul", [node("Cast", [planes("image")], "floats", to=TensorProto.FLOAT), "per_level"], "unit")
    if kind == Kind.INPAINT:
        is_hole = node("Greater", [planes("mask"), "zero"], "is_hole")
        hole = node("Cast", [is_hole], "hole", to=TensorProto.FLOAT)
        unit = node("Mul", [unit, node("Sub", ["one", hole], "kept")], "seen")
        feeds = [node("Concat", [unit, hole], "seen_and_hole", axis=1)] if channels == [4] else [unit, hole]
    else:
        feeds = [unit]
    for feed, name in zip(feeds, names, strict=True):
        node("Cast", [feed], name, to=precision)
    nodes.extend(inner.graph.node)
    answer = node("Cast", [f"network/{model.graph.output[0].name}"], "answer", to=TensorProto.FLOAT)
    shifted = node("Add", [node("Mul", [answer, "levels"], "scaled"), "half"], "shifted")
    clipped = node("Clip", [node("Floor", [shifted], "whole"), "black", "white"], "clipped")
    pixels = node("Cast", [clipped], "pixels", to=TensorProto.UINT8)
    moved = node("Transpose", [node("Squeeze", [pixels, "first"], "picture")], "moved", perm=[1, 2, 0])
    if kind == Kind.INPAINT:
        where = node("Greater", ["mask", "zero"], "where")
        node("Where", [where, moved, "image"], "result")
    else:
        node("Identity", [moved], "result")
    free = [side if isinstance(side, int) else name for side, name in zip(sides, ("height", "width"), strict=True)]
    outer_inputs = [helper.make_tensor_value_info("image", TensorProto.UINT8, [*free, 3])]
    if kind == Kind.INPAINT:
        outer_inputs.append(helper.make_tensor_value_info("mask", TensorProto.UINT8, [*free, 1]))
    result = helper.make_tensor_value_info("result", TensorProto.UINT8, ["height_out", "width_out", 3])
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "retouch", outer_inputs, [result], [*initializers, *inner.graph.initializer])
    made = helper.make_model(graph, opset_imports=list(model.opset_import), ir_version=model.ir_version)
    made.functions.extend(inner.functions)
    onnx.checker.check_model(made)
    answers = "0..1" if levels != 1 else "0..255"
    return made, [f"It was taken to want RGB in 0..1 (nothing in an ONNX file says it); it answers in {answers}."]


def _levels(path: Path, model: Any, channels: list[int | str | None]) -> float:
    """What a unit of the model's answer is in levels of 8 bits."""
    import onnxruntime

    sides = [side if isinstance(side, int) else 64 for side in _shape(_inputs(model)[0])[2:]]
    unit = photograph_like(*sides).transpose(2, 0, 1)[None].astype(np.float32) / 255
    hole = (discs(*sides).transpose(2, 0, 1)[None] > 0).astype(np.float32)
    feeds = [np.concatenate([unit * (1 - hole), hole], axis=1)] if channels == [4] else [unit, hole][: len(channels)]
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    named = zip(session.get_inputs(), feeds, strict=True)
    feed = {each.name: array.astype(np.float16 if "float16" in each.type else np.float32) for each, array in named}
    try:
        answer = np.asarray(session.run(None, feed)[0])
    except Exception as error:
        raise ModelImportError(f"{path.name} does not run on {sides[0]}×{sides[1]} px: {error}") from error
    if answer.ndim != 4 or answer.shape[:2] != (1, 3):
        raise ModelImportError(f"{path.name} answers with {list(answer.shape)}, where [1,3,H,W] is expected")
    return 1.0 if float(np.abs(answer.astype(np.float32)).max()) > _MOST_UNIT else 255.0


def _runner(path: Path, is_batched: bool) -> Run:
    from retouch_server.importing.check import open_onnx

    run = open_onnx(path)
    if not is_batched:
        return run

    def one(image: U8, mask: U8 | None) -> U8:
        return run(image[None], None if mask is None else mask[None])[0]

    return one


def _multiple(run: Run, takes_mask: bool) -> int:
    """The least multiple of sides that the model takes."""
    for multiple in _MULTIPLES:
        height, width = (-(-60 // multiple) | 1) * multiple, (-(-80 // multiple) | 1) * multiple
        try:
            result = run(photograph_like(height, width), discs(height, width) if takes_mask else None)
        except Exception:  # ONNX Runtime has a type for each way of not suiting
            continue
        if result.ndim == 3 and result.shape[0] % height == 0 and result.shape[0] * width == result.shape[1] * height:
            return multiple
    raise ModelImportError(f"the model takes no side that is a multiple of {_MULTIPLES[-1]} px; export it with free sides")


def _scale(path: Path, run: Run, takes_mask: bool, needs: Needs) -> int:
    side = needs.fitting(64)
    result = run(photograph_like(side, side), discs(side, side) if takes_mask else None)
    scale = result.shape[0] / side
    if result.dtype != np.uint8 or result.shape != (side * scale, side * scale, 3) or scale not in SCALES:
        raise ModelImportError(
            f"{path.name} makes {result.dtype} {list(result.shape)} of {side}×{side} px; Retouch serves uint8 of ×1, ×2 and ×4"
        )
    return int(scale)


def _inputs(model: Any) -> list[Any]:
    """Without weights, which old files list as inputs too."""
    weights = {each.name for each in model.graph.initializer}
    return [each for each in model.graph.input if each.name not in weights]


def _type(value: Any) -> int:
    return value.type.tensor_type.elem_type


def _shape(value: Any) -> list[int | str]:
    return [each.dim_value if each.HasField("dim_value") else each.dim_param for each in value.type.tensor_type.shape.dim]


def _told(model: Any) -> str:
    from onnx import helper

    kinds = (helper.tensor_dtype_to_np_dtype(_type(each)) for each in _inputs(model))
    return ", ".join(f"`{each.name}` {kind} {_shape(each)}" for each, kind in zip(_inputs(model), kinds, strict=True))
