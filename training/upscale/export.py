"""Writes a checkpoint's averaged weights as ONNX: `python -m training.upscale.export --scale 2 --method creative`.

The graph is built node by node, so that it holds only operators that ONNX Runtime (CPU, CUDA) and TensorRT have, and
the same weights give the same bytes. An ONNX graph cannot call its input and its output by one name (each name is
assigned once), so the input is `image` and the output `result`.
"""

import argparse
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from training.upscale.network import SLOPE, Collapsible, Upscaler

OPSET = 17
IR_VERSION = 8  # what opset 17 came with: older runtimes refuse a newer one


def to_onnx(model: Upscaler, name: str) -> onnx.ModelProto:
    """image uint8 [N, H, W, 3] -> result uint8 [N, H * scale, W * scale, 3]; N, H and W are free."""
    constants, nodes = [], []

    def constant(name: str, value: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(operator: str, inputs: list[str], output: str, **attributes: object) -> str:
        nodes.append(helper.make_node(operator, inputs, [output], name=f"{operator}_{output}", **attributes))
        return output

    def convolution(features: str, name: str, layer: torch.nn.Conv2d | Collapsible) -> str:
        weight = constant(f"{name}.weight", layer.weight.detach().contiguous().numpy())
        bias = constant(f"{name}.bias", layer.bias.detach().numpy())
        return node("Conv", [features, weight, bias], name, kernel_shape=[3, 3], pads=[1, 1, 1, 1])

    def rectified(features: str) -> str:
        return node("LeakyRelu", [features], f"{features}_relu", alpha=SLOPE)

    pixels = node("Transpose", ["image"], "pixels", perm=[0, 3, 1, 2])
    floats = node("Cast", [pixels], "floats", to=TensorProto.FLOAT)
    unit = node("Mul", [floats, constant("one_level", np.float32(1 / 255))], "unit")
    first = features = rectified(convolution(unit, "head", model.head))
    for index, layer in enumerate(model.body):
        features = rectified(convolution(features, f"body{index}", layer))
    residual = convolution(node("Add", [features, first], "both"), "tail", model.tail)
    # The anchor: channel c of the input at c * scale^2 ... c * scale^2 + scale^2 - 1, as a 1x1 convolution with ones.
    repeat = np.repeat(np.eye(3, dtype=np.float32), model.scale**2, axis=0)[:, :, None, None]
    anchor = node("Conv", [unit, constant("repeat", repeat)], "anchor", kernel_shape=[1, 1])
    total = node("Add", [residual, anchor], "total")
    # Rounding half up before the shuffle, in float: Floor(x * 255 + 0.5), clipped to 0-255.
    levels = node("Mul", [total, constant("levels_per_unit", np.float32(255))], "levels")
    shifted = node("Add", [levels, constant("half", np.float32(0.5))], "shifted")
    whole = node("Floor", [shifted], "whole")
    clipped = node("Clip", [whole, constant("lowest", np.float32(0)), constant("highest", np.float32(255))], "clipped")
    # CRD is the channel order of torch's pixel_shuffle.
    shuffled = node("DepthToSpace", [clipped], "shuffled", blocksize=model.scale, mode="CRD")
    channels_last = node("Transpose", [shuffled], "channels_last", perm=[0, 2, 3, 1])
    node("Cast", [channels_last], "result", to=TensorProto.UINT8)

    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", "H", "W", 3])
    result = helper.make_tensor_value_info("result", TensorProto.UINT8, ["N", "H_out", "W_out", 3])
    graph = helper.make_graph(nodes, name, [image], [result], constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    made.producer_name = "retouch training.upscale.export"
    onnx.checker.check_model(made, full_check=True)
    return made


def from_onnx(path: Path) -> Upscaler:
    """The network that computes what an exported file does, to be trained on: the file holds collapsed weights only."""
    held = {each.name: torch.from_numpy(numpy_helper.to_array(each).copy()) for each in onnx.load(path).graph.initializer}
    model = Upscaler(round((held["tail.bias"].numel() / 3) ** 0.5))
    with torch.no_grad():
        for name, layer in (("head", model.head), ("tail", model.tail), *((f"body{i}", e) for i, e in enumerate(model.body))):
            layer.bias.copy_(held[f"{name}.bias"])
            if isinstance(layer, Collapsible):
                layer.collapse_to(held[f"{name}.weight"])
            else:
                layer.weight.copy_(held[f"{name}.weight"])
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=int, choices=(2, 4), required=True)
    parser.add_argument("--method", choices=("conservative", "creative"), default="conservative")
    parser.add_argument("--runs", type=Path, default=Path("training/runs"))
    parser.add_argument("--repository", type=Path, default=Path("model_repository"))
    options = parser.parse_args()
    name = f"upscale_{options.method}_x{options.scale}"
    model = Upscaler(options.scale)
    state = torch.load(options.runs / name / "checkpoint.pt", map_location="cpu")
    model.load_state_dict(state["average"])
    path = options.repository / name / "1" / "model.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(to_onnx(model, name), path)
    print(f"{path}: step {state['step']}, {state['seconds']:.0f} s, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
