"""A traced network as an ONNX file that takes and gives whole bytes, channels last. The same weights give the same bytes."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

OPSET = 17
IR_VERSION = 8  # what opset 17 came with: older runtimes refuse a newer one


class Served(nn.Module):
    """A network behind the wire's pixels: floats in [0, 1] from its first node to its last."""

    def __init__(self, model: Any, finish: Callable[[Tensor], Tensor] | None = None) -> None:
        """model: planes [N, C, H, W] -> planes, by `finish` in [0, 1], which are rounded half up and clipped."""
        super().__init__()
        self.model, self.finish = model, finish

    def forward(self, *pixels: Tensor) -> Tensor:
        made = self.model(*(each.permute(0, 3, 1, 2).float() / 255 for each in pixels))
        made = self.finish(made) if self.finish else made
        return torch.floor(made * 255 + 0.5).clamp(0, 255).permute(0, 2, 3, 1).to(torch.uint8)


def to_onnx(
    model: Any, inputs: dict[str, int], output: str, path: Path, finish: Callable[[Tensor], Tensor] | None = None
) -> None:
    """inputs: names, in order, and channels of uint8 [N, H, W, C]. N, H and W are free, these multiples of the network's.

    `finish` brings the model's planes into [0, 1] where they are not. Traced, so that only plain operators are in it.
    """
    example = tuple(torch.zeros(1, 64, 64, channels, dtype=torch.uint8) for channels in inputs.values())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter that writes no functions is deprecated, and says so
        torch.onnx.export(
            Served(model, finish).eval(),
            example,
            path,
            input_names=list(inputs),
            output_names=[output],
            dynamic_axes={name: {0: "N", 1: "H", 2: "W"} for name in (*inputs, output)},
            opset_version=OPSET,
            dynamo=False,
        )
    made = onnx.load(path)
    made.producer_name = "retouch training"
    made.ir_version = IR_VERSION
    onnx.checker.check_model(made, full_check=True)
    onnx.save(made, path)


def put_back(model: nn.Module, path: Path) -> None:
    """Puts the weights of a file that `to_onnx` wrote into the model; what the file has not stays as it is.

    ValueError: it has none of them.
    """
    held = {each.name: torch.from_numpy(numpy_helper.to_array(each).copy()) for each in onnx.load(path).graph.initializer}
    weights = {name: held[f"model.{name}"] for name in model.state_dict() if f"model.{name}" in held}
    if not weights:
        raise ValueError(f"{path} has no weights of {type(model).__name__}")
    model.load_state_dict(weights, strict=False)


def averaged(model: nn.Module, checkpoint: Path) -> str:
    """Puts the averaged weights of a checkpoint into the model; how long they were trained, in words."""
    state = torch.load(checkpoint, map_location="cpu")
    model.load_state_dict(state["average"])
    return f"step {state['step']}, {state['seconds']:.0f} s"
