"""Writes a checkpoint's averaged weights as ONNX: `python -m training.inpaint.export`.

Conversion to float and back, rounding and the composite with the image are in the graph. Weights are stored as float16 and
computed with as float32: half of the bytes. The operators are checked against a list that ONNX Runtime's CPU and CUDA providers
and TensorRT 10 all have.
"""

import argparse
import io
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from training.inpaint.network import MULTIPLE_PX, Inpainter, restored
from training.inpaint.train import NAME

OPSET = 17
SMALLEST_HALVED = 1024  # values of a constant; smaller ones are not worth a node
IR_VERSION = 8  # what opset 17 came with: older runtimes refuse a newer one
# fmt: off
OPERATORS = frozenset([
    "Add", "AveragePool", "Cast", "Clip", "Concat", "Constant", "ConstantOfShape", "Conv", "CumSum", "DepthToSpace",
    "Div", "Exp", "Floor", "Gather", "Greater", "MatMul", "MaxPool", "Mul", "Neg", "Pad", "Pow", "ReduceMean",
    "ReduceSum", "Reshape", "Resize", "Shape", "Sigmoid", "Slice", "Softmax", "Sqrt", "Squeeze", "Sub", "Transpose",
    "Unsqueeze", "Where",
])
# fmt: on


class Served(nn.Module):
    """image [N, H, W, 3], mask [N, H, W, 1] (> 0: hole), guide [N, H, W, 4], uint8 -> uint8 [N, H, W, 3]."""

    def __init__(self, model: Inpainter) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor, mask: Tensor, guide: Tensor) -> Tensor:
        # Floats from the first node to the last: TensorRT takes uint8 at the graph's borders only.
        pixels, holes, guides = (plane.float().permute(0, 3, 1, 2) for plane in (image, mask, guide))
        is_hole = holes > 0
        filled = self.model(pixels * (1 / 255), is_hole.float(), guides * (1 / 255))
        levels = torch.floor(filled * 255 + 0.5).clamp(0, 255)
        return torch.where(is_hole, levels, pixels).permute(0, 2, 3, 1).to(torch.uint8)


def to_onnx(model: Inpainter) -> onnx.ModelProto:
    """The served graph; N, H and W are free, H and W multiples of MULTIPLE_PX."""
    side = 2 * MULTIPLE_PX
    shapes = {"image": 3, "mask": 1, "guide": 4}
    example = tuple(torch.zeros(1, side, side, channels, dtype=torch.uint8) for channels in shapes.values())
    free = {name: {0: "N", 1: "H", 2: "W"} for name in (*shapes, "result")}
    written = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter that writes no functions is deprecated, and says so
        torch.onnx.export(
            Served(model).eval(),
            example,
            written,
            opset_version=OPSET,
            input_names=list(shapes),
            output_names=["result"],
            dynamic_axes=free,
            dynamo=False,
        )
    made = onnx.load_from_string(written.getvalue())
    _halve(made.graph)
    made.ir_version = IR_VERSION
    made.producer_name, made.producer_version = "retouch training.inpaint.export", ""
    unknown = {node.op_type for node in made.graph.node} - OPERATORS
    if unknown:
        raise ValueError(f"operators that TensorRT may not have: {', '.join(sorted(unknown))}")
    onnx.checker.check_model(made, full_check=True)
    return made


def _halve(graph: onnx.GraphProto) -> None:
    """Large float constants to float16, each with a Cast back, which runtimes fold when they load."""
    casts = []
    for constant in graph.initializer:
        values = numpy_helper.to_array(constant)
        if values.dtype == np.float32 and values.size >= SMALLEST_HALVED:
            name = constant.name
            constant.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
            casts.append(helper.make_node("Cast", [f"{name}.half"], [name], name=f"Cast_{name}", to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, default=Path("training/runs") / NAME / "checkpoint.pt")
    parser.add_argument("--repository", type=Path, default=Path("model_repository"))
    options = parser.parse_args()
    state = torch.load(options.checkpoint, map_location="cpu")
    model = restored(state["average"])
    path = options.repository / NAME / "1" / "model.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(to_onnx(model), path)
    print(f"{path}: step {state['step']}, {state['seconds']:.0f} s, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
