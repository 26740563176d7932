"""Writes a checkpoint's averaged weights as ONNX: `python -m training.text.export`.

The part that finds the strokes; what the network would put under them is not served yet (the card of text_removal says why).
The graph takes and gives whole bytes: `image` [N, H, W, 3] and `hint` [N, H, W, 2] -> `strokes` [N, H, W, 1], 255 times the
probability, uint8; H and W multiples of 16. The same weights give the same bytes.
"""

import argparse
import warnings
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from training.text.network import TextRemover

OPSET = 17


class Served(nn.Module):
    """The first half of the network behind the wire's pixels."""

    def __init__(self, model: TextRemover) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor, hint: Tensor) -> Tensor:
        pixels, seen = (part.permute(0, 3, 1, 2).float() / 255 for part in (image, hint))
        logits, _ = self.model.find(pixels, seen)
        return torch.floor(torch.sigmoid(logits) * 255 + 0.5).permute(0, 2, 3, 1).to(torch.uint8)


def to_onnx(model: TextRemover, path: Path) -> None:
    """Traced, so that only plain operators are in it; N, H and W are free."""
    example = tuple(torch.zeros(1, 64, 64, channels, dtype=torch.uint8) for channels in (3, 2))
    free = {0: "N", 1: "H", 2: "W"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Served(model).eval(),
            example,
            path,
            input_names=["image", "hint"],
            output_names=["strokes"],
            dynamic_axes=dict.fromkeys(("image", "hint", "strokes"), free),
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
    parser.add_argument("--checkpoint", type=Path, default=Path("training/runs/text_removal/checkpoint.pt"))
    parser.add_argument("--write", type=Path, default=Path("model_repository/text_removal/1/model.onnx"))
    options = parser.parse_args()
    model = TextRemover()
    state = torch.load(options.checkpoint, map_location="cpu")
    model.load_state_dict(state["average"])
    options.write.parent.mkdir(parents=True, exist_ok=True)
    to_onnx(model, options.write)
    size = options.write.stat().st_size
    print(f"{options.write}: step {state['step']}, {state['seconds']:.0f} s, {size} bytes")


if __name__ == "__main__":
    main()
