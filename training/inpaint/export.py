"""Writes a checkpoint's averaged weights as ONNX: `python -m training.inpaint.export`.

`seen` [N, H, W, 7], a filled picture, another with a smooth fill and the depth of the hole, -> `result` [N, H, W, 3], both
uint8; H and W multiples of 32.
"""

import argparse
from pathlib import Path

from training.inpaint.network import Refiner
from training.inpaint.seen import NAME
from training.traced import averaged, to_onnx


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("training/runs"))
    parser.add_argument("--folder", type=Path, default=Path("model_repository") / NAME / "1", help="where the file goes")
    options = parser.parse_args()
    model = Refiner()
    trained = averaged(model, options.runs / NAME / "checkpoint.pt")
    path = options.folder / "model.onnx"
    to_onnx(model, {"seen": 7}, "result", path)
    print(f"{path}: {trained}, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
