"""Writes a checkpoint's averaged weights as ONNX: `python -m training.text.export`, and the refiner's: `... --refiner`.

The part that finds the strokes; what the network would put under them is not served yet (the card of text_removal says why).
`image` [N, H, W, 3] and `hint` [N, H, W, 2], or `seen` [N, H, W, 7] of both and more, -> `strokes` [N, H, W, 1], 255 times the
probability, all uint8; H and W multiples of 16.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn

from training.text.network import Refiner, TextRemover
from training.traced import averaged, to_onnx


class Found(nn.Module):
    """The probabilities that a network's logits stand for."""

    def __init__(self, model: TextRemover | Refiner) -> None:
        super().__init__()
        self.model = model

    def forward(self, *seen: Tensor) -> Tensor:
        return torch.sigmoid(self.model.find(*seen)[0] if isinstance(self.model, TextRemover) else self.model(*seen))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--refiner", action="store_true", help="of training.text.refine, not of training.text.train")
    parser.add_argument("--runs", type=Path, default=Path("training/runs"))
    parser.add_argument("--folder", type=Path, default=Path("model_repository/text_removal/1"), help="where the file goes")
    options = parser.parse_args()
    model, inputs, run, name = (
        (Refiner(), {"seen": 7}, "text_refiner", "refiner.onnx")
        if options.refiner
        else (TextRemover(), {"image": 3, "hint": 2}, "text_removal", "model.onnx")
    )
    trained = averaged(model, options.runs / run / "checkpoint.pt")
    path = options.folder / name
    to_onnx(Found(model), inputs, "strokes", path)
    print(f"{path}: {trained}, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
