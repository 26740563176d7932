"""What a benchmark says: a table for people, and one line of JSON for machines."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Bound:
    """What a figure must be at least, or at most."""

    least: float | None = None
    most: float | None = None

    def __str__(self) -> str:
        return f"≥ {self.least:g}" if self.least is not None else f"≤ {self.most:g}"

    def holds(self, figure: float) -> bool:
        return (self.least is None or figure >= self.least) and (self.most is None or figure <= self.most)


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of a benchmark. `bounds`: what was promised of some of the figures. `notes`: what was measured, on what."""

    name: str
    figures: Mapping[str, float]
    bounds: Mapping[str, Bound] = field(default_factory=dict[str, Bound])
    notes: Sequence[str] = ()

    def __str__(self) -> str:
        rows = [("figure", "measured", "promised", "")]
        for name, figure in self.figures.items():
            bound = self.bounds.get(name)
            verdict = "" if bound is None else "holds" if bound.holds(figure) else "MISSED"
            rows.append((name, f"{figure:.4g}", str(bound or ""), verdict))
        return "\n".join([f"{self.name}: {'; '.join(self.notes)}", *_columns(rows)])

    def json(self) -> str:
        return json.dumps({"benchmark": self.name, "figures": dict(self.figures)})


def rounded(figures: Mapping[str, float]) -> dict[str, float]:
    """Four significant digits: a noisy machine gives no more."""
    return {name: float(f"{figure:.4g}") for name, figure in figures.items()}


def paired_ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """The median of the ratios within each round: what slows the machine for a while slows both."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
