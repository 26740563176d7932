"""Measures every shipped model beside its published peers: `python -m training.evaluate [model ...]`.

Each model's module has `evaluate(options: Options) -> Table`. This prints the tables and puts each in the place of its
section of `docs/models.md`, with its comparison pictures beside it. Needs `--data` (training/README.md) and the environment
of training/requirements.txt.
"""

import argparse
import importlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

MODULES = {
    "upscale": "training.upscale.evaluate",
    "text_removal": "training.text.evaluate",
    "inpaint_patch": "training.inpaint.evaluate",
    "inpaint_diffusion": "training.inpaint.evaluate_diffusion",
    "precheck": "training.precheck.evaluate",
}
"""Model or family -> the module that measures it. A module that is not there yet, or whose weights are not, is left out."""


HEAD = """# The models, measured

Written by `python -m training.evaluate`; each model's card beside it in `model_repository/` says how it was made.
"""


@dataclass(frozen=True)
class Options:
    """Where everything is. `quick` asks for a tenth of the pictures: to see that it runs, not to be quoted."""

    data: Path = Path("../shared/data")
    repository: Path = Path("model_repository")
    pictures: Path = Path("docs/models")
    quick: bool = False


@dataclass(frozen=True)
class Picture:
    """One comparison picture that `evaluate` has written into options.pictures."""

    file: str
    caption: str
    """What stands in it from left to right, and the credit of the photograph (CC0 or public domain only)."""


@dataclass(frozen=True)
class Table:
    """What one module measured. `rows` hold text or numbers; floats are printed to 3 digits after the point."""

    title: str
    conditions: str
    """One or two sentences: pictures, number of windows, what was left out, how it was counted."""
    columns: Sequence[str]
    rows: Sequence[Sequence[str | float]]
    goals: Sequence[tuple[str, bool]] = ()
    """What issue 3 asks, in words with the figure reached, and whether it was."""
    pictures: Sequence[Picture] = field(default=())

    def markdown(self) -> str:
        lines = [f"## {self.title}", "", self.conditions, "", _row(self.columns), _row(["---"] * len(self.columns))]
        lines += [_row([f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row]) for row in self.rows]
        lines += [""] + [f"- {'reached' if is_reached else '**not reached**'}: {goal}" for goal, is_reached in self.goals]
        for picture in self.pictures:
            lines += ["", f"![{self.title}](models/{picture.file})", "", picture.caption]
        return "\n".join(lines).rstrip() + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="model", help=f"of {', '.join(MODULES)}; all if none is named")
    parser.add_argument("--data", type=Path, default=Options.data)
    parser.add_argument("--repository", type=Path, default=Options.repository)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--write", type=Path, default=Path("docs/models.md"))
    given = parser.parse_args()
    unknown = set(given.models) - set(MODULES)
    if unknown:
        parser.error(f"no such model: {', '.join(sorted(unknown))}")
    options = Options(given.data, given.repository, given.write.parent / "models", given.quick)
    options.pictures.mkdir(parents=True, exist_ok=True)
    for model in given.models or MODULES:
        table = importlib.import_module(MODULES[model]).evaluate(options)
        print(table.markdown(), flush=True)
        if not given.quick:
            given.write.write_text(with_section(given.write.read_text() if given.write.exists() else HEAD, table.markdown()))


def with_section(document: str, section: str) -> str:
    """The document with `section` in the place of the one that has its heading, or at its end."""
    head, *sections = re.split(r"^(?=## )", document, flags=re.MULTILINE)
    heading = section.splitlines()[0]
    titles = [each.splitlines()[0] for each in sections]
    at = titles.index(heading) if heading in titles else len(titles)
    sections[at : at + 1] = [section]
    return "\n".join(part.rstrip("\n") + "\n" for part in (head, *sections))


if __name__ == "__main__":
    main()
