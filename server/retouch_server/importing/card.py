"""The texts beside an imported model: config.pbtxt, which Triton and the planner read, and README.md, which people do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from retouch_server.importing.check import Difference
from retouch_server.importing.fit import Fit
from retouch_server.models.spec import PREFIX, Kind

UNKNOWN_LICENCE = (
    "Not known to the import: a file of weights does not say it. To find out whether this use is allowed is the duty of "
    "whoever imported it; `--license` puts the answer here."
)


@dataclass(frozen=True, slots=True)
class Card:
    """What is said of a model. file_name and sha256: of what was imported."""

    name: str
    kind: Kind
    method: str
    scale: int
    fit: Fit
    file_name: str
    sha256: str
    licence: str | None
    facts: Mapping[str, str]
    differences: Sequence[Difference] = ()
    notes: Sequence[str] = ()
    backend: str = "onnxruntime"
    side_px: int | None = None
    is_batched: bool = False
    takes_prompt: bool = False
    parameters: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def takes_mask(self) -> bool:
        return self.kind == Kind.INPAINT


def config_text(card: Card) -> str:
    """config.pbtxt."""
    side = str(card.side_px or -1)
    out = str(card.side_px * card.scale) if card.side_px else "-1"
    inputs = [f'  {{ name: "image" data_type: TYPE_UINT8 dims: [ {side}, {side}, 3 ] }}']
    if card.takes_mask:
        inputs.append(f'  {{ name: "mask" data_type: TYPE_UINT8 dims: [ {side}, {side}, 1 ] }}')
    if card.takes_prompt:
        inputs.append('  { name: "prompt" data_type: TYPE_UINT8 dims: [ -1 ] }')
        inputs.append('  { name: "seed" data_type: TYPE_UINT64 dims: [ 1 ] }')
    told = {
        "kind": card.kind.value,
        "method": card.method,
        "scale": str(card.scale),
        "window_px": str(card.fit.window_px),
        "halo_px": str(card.fit.halo_px),
        "receptive_field_px": str(card.fit.receptive_field_px),
        "blend_px": str(card.fit.blend_px),
        "multiple_px": str(card.fit.multiple_px),
        "deterministic": "true",
        "takes_prompt": str(card.takes_prompt).lower(),
        "preference": "1",  # who imports a model wants it, where the product has one of the same method
    }
    parameters = {PREFIX + key: value for key, value in told.items()} | dict(card.parameters)
    lines = [
        f"# Imported from {card.file_name}: README.md.",
        f'name: "{card.name}"',
        f'backend: "{card.backend}"',
        f"max_batch_size: {4 if card.is_batched else 0}",
        "input [",
        ",\n".join(inputs),
        "]",
        f'output [\n  {{ name: "result" data_type: TYPE_UINT8 dims: [ {out}, {out}, 3 ] }}\n]',
        "# On a GPU where there is one.",
        "instance_group [\n  { count: 1 kind: KIND_AUTO }\n]",
        *(f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}' for key, value in parameters.items()),
    ]
    return "\n".join(lines) + "\n"


def readme_text(card: Card) -> str:
    """README.md, in the sections of the product's own cards."""
    fit, sides = card.fit, "H,W" if not card.side_px else f"{card.side_px},{card.side_px}"
    out = f"H·{card.scale},W·{card.scale}" if not card.side_px else ",".join([str(card.side_px * card.scale)] * 2)
    rows = [f"| in | `image` | uint8 | [{sides},3] | RGB |"]
    if card.takes_mask:
        rows.append(f"| in | `mask` | uint8 | [{sides},1] | > 0: hole |")
    if card.takes_prompt:
        rows.append("| in | `prompt` | uint8 | [n] | what to put there: UTF-8, ended by a zero byte |")
        rows.append("| in | `seed` | uint64 | [1] | same seed, same bytes |")
    meaning = "filled; outside the hole as it was" if card.takes_mask else "RGB"
    rows.append(f"| out | `result` | uint8 | [{out},3] | {meaning} |")
    figures = [
        f"- {each.picture}: at most {each.greatest} level of 255 from the source, in {each.share:.3%} of the values."
        for each in card.differences
    ]
    return "\n".join(
        [
            f"# {card.name}",
            "",
            "Imported by `retouch models import`; this card says what was measured then.",
            "",
            f"- Source: {card.file_name}, sha256 {card.sha256}",
            *(f"- {name}: {value}" for name, value in card.facts.items()),
            "",
            "## Inputs and outputs",
            "",
            "| | name | type | shape | meaning |",
            "|---|---|---|---|---|",
            *rows,
            "",
            "## Parameters",
            "",
            f"Window {fit.window_px} px, halo {fit.halo_px} px, blending {fit.blend_px} px: {fit.reason}. Sides are padded to "
            f"multiples of {fit.multiple_px} px.",
            "",
            "## Figures",
            "",
            *(figures or ["None: the file is served as it came."]),
            "",
            "## Known failures",
            "",
            *(f"- {note}" for note in card.notes),
            "- What it does to pictures was not judged: `retouch profile` measures that.",
            "",
            "## Licence",
            "",
            card.licence or UNKNOWN_LICENCE,
            "",
        ]
    )
