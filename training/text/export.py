"""Writes a checkpoint's averaged weights as ONNX: `python -m training.text.export`.

The finder: `image` [N, H, W, 3] and `hint` [N, H, W, 2]; the refiner: `seen` [N, H, W, 7] of both and more; each -> `strokes`
[N, H, W, 1], 255 times the probability; all uint8; H and W multiples of 16.
"""

import argparse
from pathlib import Path

import torch

from training.text.network import Networks
from training.text.train import NAME
from training.traced import averaged, to_onnx


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("training/runs"))
    parser.add_argument("--folder", type=Path, default=Path("model_repository/text_removal/1"), help="where the files go")
    options = parser.parse_args()
    networks = Networks()
    print(averaged(networks, options.runs / NAME / "checkpoint.pt"))
    for network, inputs, name in (
        (networks.finder, {"image": 3, "hint": 2}, "model.onnx"),
        (networks.refiner, {"seen": 7}, "refiner.onnx"),
    ):
        path = options.folder / name
        to_onnx(network, inputs, "strokes", path, torch.sigmoid)
        print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
