"""What work costs, as `python -m benchmarks.capacity.measure` found it: `measured.json`."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

PATH = Path(__file__).with_name("measured.json")

POOL_OF_KIND = {
    "precheck": "restore",
    "text_detect": "restore",
    "text_removal": "restore",
    "inpaint": "restore",
    "upscale": "upscale",
}
"""Which Triton pool serves a model of that kind; those with method `diffusion` have a pool of their own."""


@dataclass(frozen=True, slots=True)
class ModelTimes:
    """A model on one core: seconds for a window, and for a window all of which is hole. Windows and halos in px."""

    kind: str
    method: str
    window_px: int
    halo_px: int
    scale: int
    window_s: float
    hole_s: float = 0.0

    @property
    def pool(self) -> str:
        return "diffusion" if self.method == "diffusion" else POOL_OF_KIND[self.kind]


@dataclass(frozen=True, slots=True)
class OrchestratorTimes:
    """Processor seconds of the orchestrator: for an edit, a megapixel in or out, and a megapixel that a model gave back."""

    edit_s: float
    rows_mp_s: float
    windows_mp_s: float


@dataclass(frozen=True, slots=True)
class Check:
    """A real edit, alone on the machine: its processor seconds against those that the table gives for it."""

    what: str
    measured_s: float
    table_s: float
    wall_s: float


@dataclass(frozen=True, slots=True)
class Measured:
    """All of the table. starts_s: from the start of the process until it serves, for `orchestrator` and each Triton pool."""

    how: str
    machine: str
    date: str
    models: Mapping[str, ModelTimes]
    orchestrator: OrchestratorTimes
    starts_s: Mapping[str, float]
    checks: tuple[Check, ...]

    @classmethod
    def load(cls, path: Path = PATH) -> Self:
        table = json.loads(path.read_text())
        models = {name: ModelTimes(**times) for name, times in table.pop("models").items()}
        orchestrator = OrchestratorTimes(**table.pop("orchestrator"))
        checks = tuple(Check(**check) for check in table.pop("checks"))
        return cls(models=models, orchestrator=orchestrator, checks=checks, **table)

    def dump(self, path: Path = PATH) -> None:
        path.write_text(json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n")
