"""Trains and exports the precheck: `python -m training.precheck.train --steps 6000`.

Binary cross-entropy. Item n is drawn from (seed, n) alone. The network is
shown what the service shows it: crops.py of the model itself cuts them.
"""

import argparse
import logging
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from training.loop import Run, rate, run_until
from training.precheck.network import PrecheckNet
from training.precheck.regions import Item, text_item
from training.served import loaded
from training.text.train import photographs

PEAK_RATE = 2e-3
BATCH = 16
OPSET = 17
log = logging.getLogger("train")


def loss_of(model: nn.Module, cut: ModuleType, shown: Item) -> Tensor:
    window = cut.bounds(shown.region)
    region = shown.region[window].astype(np.uint8)
    crops, weights = cut.crops(np.ascontiguousarray(shown.image[window]), np.dstack([region, cut.ring(region)]))
    logit = model(torch.from_numpy(crops), torch.from_numpy(weights))
    return binary_cross_entropy_with_logits(logit, torch.tensor([float(shown.answer)]))


class Served(nn.Module):
    """A score instead of a logit."""

    def __init__(self, model: PrecheckNet) -> None:
        super().__init__()
        self.model = model

    def forward(self, crops: Tensor, weights: Tensor) -> Tensor:
        return torch.sigmoid(self.model(crops, weights))


def export(model: PrecheckNet, path: Path) -> None:
    """crops uint8 [K, S, S, 3], weights uint8 [K, S, S, 2] -> score float32 [1]; K and S are free."""
    example = torch.zeros(2, 64, 64, 3, dtype=torch.uint8), torch.ones(2, 64, 64, 2, dtype=torch.uint8)
    free = {name: {0: "K", 1: "S", 2: "S"} for name in ("crops", "weights")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = {"input_names": ["crops", "weights"], "output_names": ["score"]}
        torch.onnx.export(Served(model).eval(), example, path, **names, dynamic_axes=free, opset_version=OPSET, dynamo=False)
    made = onnx.load(path)
    made.producer_name = "retouch training.precheck.train"
    made.ir_version = 8  # what opset 17 came with: older runtimes refuse a newer one
    onnx.checker.check_model(made, full_check=True)
    onnx.save(made, path)


def train(options: argparse.Namespace) -> None:
    torch.manual_seed(options.seed)
    torch.set_num_threads(1)
    path = options.runs / "precheck" / "checkpoint.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    photos, cut = photographs(options.data, options.runs), loaded(options.repository / "precheck" / "1" / "crops.py")
    model, average = PrecheckNet(), PrecheckNet()
    average.load_state_dict(model.state_dict())
    run = Run(model, average, torch.optim.Adam(model.parameters(), betas=(0.9, 0.99)))
    if options.resume and path.exists():
        run.load(path)

    def step(progress: float) -> dict[str, Tensor]:
        first = run.step * BATCH
        parts = [loss_of(model, cut, text_item(photos, "train", options.seed, first + i)) for i in range(BATCH)]
        loss = torch.stack(parts).mean()
        run.update(loss, rate(progress, PEAK_RATE))
        return {"cross_entropy": loss}

    run_until(run, path, log, step, steps=options.steps, minutes=options.minutes)
    written = options.repository / "precheck" / "1" / "model.onnx"
    export(average, written)
    log.info("%s: step %d, %.0f s, %d bytes", written, run.step, run.seconds, written.stat().st_size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--steps", type=int, help="length of the run in steps: the same on every machine")
    length.add_argument("--minutes", type=float, help="length of the run by the clock; the rate follows the clock too")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--runs", type=Path, default=Path("training/runs"))
    parser.add_argument("--repository", type=Path, default=Path("model_repository"))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
