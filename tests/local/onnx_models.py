"""Tiny ONNX models, written into a source repository, for tests that serve them through the real Triton."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CONFIG = """\
name: "{name}"
backend: "onnxruntime"
max_batch_size: {max_batch_size}
input [{{ name: "image" data_type: TYPE_UINT8 dims: [{rank}-1, -1, 3] {input_extra} }}]
output [{{ name: "result" data_type: TYPE_UINT8 dims: [{rank}-1, -1, 3] }}]
instance_group [{{ count: 1 kind: KIND_CPU }}]
{extra}
"""


def write_model(source: Path, name: str, graph: onnx.ModelProto | None, max_batch_size: int = 8, **config: str) -> Path:
    """A model folder; without a graph, one whose version holds a `model.onnx` that is not ONNX."""
    folder = source / name
    (folder / "1").mkdir(parents=True)
    settings = {"input_extra": "", "extra": "", "rank": "", **config}
    (folder / "config.pbtxt").write_text(CONFIG.format(name=name, max_batch_size=max_batch_size, **settings))
    (folder / "1" / "model.onnx").write_bytes(graph.SerializeToString() if graph else b"not ONNX")
    return folder


def inverting() -> onnx.ModelProto:
    """result = 255 - image"""
    return _model([helper.make_node("BitwiseNot", ["image"], ["result"])])


def batch_telling() -> onnx.ModelProto:
    """Every byte of the result is the number of images that ran together: proof of what one run of the graph saw."""
    return _model(
        [
            helper.make_node("Shape", ["image"], ["shape"]),
            helper.make_node("Gather", ["shape", "zero"], ["count"]),
            helper.make_node("Cast", ["count"], ["byte"], to=TensorProto.UINT8),
            helper.make_node("Expand", ["byte", "shape"], ["result"]),
        ],
        zero=np.array([0], np.int64),
    )


def only_four_rows() -> onnx.ModelProto:
    """Gives the image back where it has 4 rows, and fails while running where it has not."""
    return _model(
        [
            helper.make_node("Cast", ["image"], ["wide"], to=TensorProto.INT32),
            helper.make_node("Add", ["wide", "four"], ["sum"]),
            helper.make_node("Cast", ["sum"], ["result"], to=TensorProto.UINT8),
        ],
        four=np.zeros((1, 4, 1, 1), np.int32),
    )


def _model(nodes: list[onnx.NodeProto], **constants: np.ndarray) -> onnx.ModelProto:
    shape = ["n", "h", "w", 3]
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("result", TensorProto.UINT8, shape)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model)
    return model
