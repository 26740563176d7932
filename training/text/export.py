"""Writes a checkpoint's averaged weights as ONNX: `python -m training.text.export`, and the refiner's: `... --refiner`.

The part that finds the strokes; what the network would put under them is not served yet (the card of text_removal says why).
The graphs take and give whole bytes: `image` [N, H, W, 3] and `hint` [N, H, W, 2], or `seen` [N, H, W, 7] of both and more, ->
`strokes` [N, H, W, 1], 255 times the probability, uint8; H and W multiples of 16. The same weights give the same bytes.
"""

import argparse
import warnings
from pathlib import Path
from typing import ClassVar

import onnx
import torch
from torch import Tensor, nn

from training.text.network import Refiner, TextRemover

OPSET = 17


class Finder(nn.Module):
    """The first half of TextRemover behind the wire's pixels."""

    INPUTS: ClassVar = {"image": 3, "hint": 2}

    def __init__(self) -> None:
        super().__init__()
        self.model = TextRemover()

    def forward(self, image: Tensor, hint: Tensor) -> Tensor:
        logits, _ = self.model.find(*(_planes(part) for part in (image, hint)))
        return _bytes(logits)


class Refined(nn.Module):
    """The refiner behind the wire's pixels."""

    INPUTS: ClassVar = {"seen": 7}

    def __init__(self) -> None:
        super().__init__()
        self.model = Refiner()

    def forward(self, seen: Tensor) -> Tensor:
        return _bytes(self.model(_planes(seen)))


def _planes(pixels: Tensor) -> Tensor:
    return pixels.permute(0, 3, 1, 2).float() / 255


def _bytes(logits: Tensor) -> Tensor:
    return torch.floor(torch.sigmoid(logits) * 255 + 0.5).permute(0, 2, 3, 1).to(torch.uint8)


def to_onnx(served: Finder | Refined, path: Path) -> None:
    """Traced, so that only plain operators are in it; N, H and W are free."""
    example = tuple(torch.zeros(1, 64, 64, channels, dtype=torch.uint8) for channels in served.INPUTS.values())
    free = {0: "N", 1: "H", 2: "W"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            served.eval(),
            example,
            path,
            input_names=list(served.INPUTS),
            output_names=["strokes"],
            dynamic_axes=dict.fromkeys((*served.INPUTS, "strokes"), free),
            opset_version=OPSET,
            dynamo=False,
        )
    made = onnx.load(path)
    made.producer_name = "retouch training.text.export"
    made.ir_version = 8  # what opset 17 came with: older runtimes refuse a newer one
    onnx.checker.check_model(made, full_check=True)
    onnx.save(made, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--refiner", action="store_true", help="of training.text.refine, not of training.text.train")
    parser.add_argument("--runs", type=Path, default=Path("training/runs"))
    parser.add_argument("--folder", type=Path, default=Path("model_repository/text_removal/1"), help="where the file goes")
    options = parser.parse_args()
    served, run, name = (
        (Refined(), "text_refiner", "refiner.onnx") if options.refiner else (Finder(), "text_removal", "model.onnx")
    )
    state = torch.load(options.runs / run / "checkpoint.pt", map_location="cpu")
    served.model.load_state_dict(state["average"])
    to_onnx(served, options.folder / name)
    size = (options.folder / name).stat().st_size
    print(f"{options.folder / name}: step {state['step']}, {state['seconds']:.0f} s, {size} bytes")


if __name__ == "__main__":
    main()
