"""A published ONNX graph as a torch module, to run on the GPU beside what is trained; only what PP-OCR's detector needs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # as the field writes it

Attributes = dict[str, Any]


def _conv(given: list[Tensor], a: Attributes) -> Tensor:
    image, *weights = given
    top, left, bottom, right = a.get("pads", [0, 0, 0, 0])
    if a.get("auto_pad") == b"SAME_UPPER":
        # As much as it takes for ceil(size / stride) outputs, the odd one at the end; sizes are multiples of the strides here.
        total = [
            max(0, (kernel - 1) * d + 1 - s)
            for kernel, d, s in zip(a["kernel_shape"], a["dilations"], a["strides"], strict=True)
        ]
        top, left, bottom, right = total[0] // 2, total[1] // 2, (total[0] + 1) // 2, (total[1] + 1) // 2
    if (top, left) != (bottom, right):
        image, top, left = F.pad(image, (left, right, top, bottom)), 0, 0
    return F.conv2d(image, *weights, stride=a["strides"], padding=(top, left), dilation=a["dilations"], groups=a["group"])


def _conv_transpose(given: list[Tensor], a: Attributes) -> Tensor:
    if any(a["pads"]):
        raise NotImplementedError(f"ConvTranspose {a}")
    return F.conv_transpose2d(*given, stride=a["strides"], groups=a["group"])


def _max_pool(given: list[Tensor], a: Attributes) -> Tensor:
    """2 x 2, stride 1, SAME_UPPER: one row and column more at the end."""
    if a["kernel_shape"] != [2, 2] or a["strides"] != [1, 1] or a["auto_pad"] != b"SAME_UPPER":
        raise NotImplementedError(f"MaxPool {a}")
    return F.max_pool2d(F.pad(given[0], (0, 1, 0, 1), value=float("-inf")), 2, 1)


def _resize(given: list[Tensor], a: Attributes) -> Tensor:
    if a["mode"] != b"nearest" or a["coordinate_transformation_mode"] != b"asymmetric":
        raise NotImplementedError(f"Resize {a}")
    return F.interpolate(given[0], scale_factor=a["factors"], mode="nearest")


OPERATORS: dict[str, Callable[[list[Tensor], Attributes], Tensor]] = {
    "Add": lambda given, _: given[0] + given[1],
    "Concat": lambda given, a: torch.cat(given, a["axis"]),
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Div": lambda given, _: given[0] / given[1],
    "Erf": lambda given, _: torch.erf(given[0]),
    "GlobalAveragePool": lambda given, _: given[0].mean((2, 3), keepdim=True),
    "HardSigmoid": lambda given, a: torch.clamp(given[0] * a["alpha"] + a["beta"], 0, 1),
    "Identity": lambda given, _: given[0],
    "MaxPool": _max_pool,
    "Mul": lambda given, _: given[0] * given[1],
    "ReduceMean": lambda given, a: given[0].mean(a["axes"], keepdim=bool(a["keepdims"])),
    "Relu": lambda given, _: torch.relu(given[0]),
    "Resize": _resize,
    "Sigmoid": lambda given, _: torch.sigmoid(given[0]),
}


class OnnxModule(nn.Module):
    """One input, one output. Errors: KeyError for an operator, NotImplementedError for a form of one, that it does not know."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        graph = onnx.load(path).graph
        constants = {each.name: torch.from_numpy(numpy_helper.to_array(each).copy()).float() for each in graph.initializer}
        self.input, self.output = graph.input[0].name, graph.output[0].name
        self.steps: list[tuple[Callable[..., Tensor], list[str], str, Attributes]] = []
        for node in graph.node:
            if node.op_type == "Identity" and node.input[0] in constants:
                constants[node.output[0]] = constants[node.input[0]]
                continue
            attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
            if node.op_type == "Resize":
                attributes["factors"] = constants[node.input[2]][2:].tolist()
            inputs = list(node.input)[: 1 if node.op_type == "Resize" else None]
            self.steps.append((OPERATORS[node.op_type], inputs, node.output[0], attributes))
        self.held: dict[str, str] = {}
        for index, name in enumerate({name for _, inputs, _, _ in self.steps for name in inputs} & constants.keys()):
            self.held[name] = f"constant{index}"
            self.register_buffer(self.held[name], constants[name])

    def forward(self, image: Tensor) -> Tensor:
        known: dict[str, Tensor] = {name: getattr(self, held) for name, held in self.held.items()}
        known[self.input] = image
        for operator, inputs, output, attributes in self.steps:
            known[output] = operator([known[name] for name in inputs], attributes)
        return known[self.output]
