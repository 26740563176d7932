"""What the planner must know of a model; it stands in `parameters` of the model's config.pbtxt."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

PREFIX = "retouch."


class Kind(StrEnum):
    """What a model is for."""

    UNKNOWN = "unknown"  # not ready, or the repository does not say; never planned with
    PRECHECK = "precheck"
    TEXT_DETECT = "text_detect"
    TEXT_REMOVAL = "text_removal"
    INPAINT = "inpaint"
    UPSCALE = "upscale"


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A served model. Lengths in px of its input.

    receptive_field_px: how far a pixel's influence reaches, at most; window_px where every pixel of a window may change
    every other (a search through the window, pooling over it). declared_blend_px: what the configuration says of blending
    where the rule below does not suit the model. preference: of models with one method the highest is used unasked. inputs: the
    names of its input tensors.
    """

    name: str
    kind: Kind
    method: str
    scale: int = 1
    window_px: int = 512
    halo_px: int = 0
    receptive_field_px: int = 0
    declared_blend_px: int | None = None
    multiple_px: int = 1
    is_deterministic: bool = False
    takes_prompt: bool = False
    preference: int = 0
    inputs: frozenset[str] = frozenset()
    versions: tuple[str, ...] = ()
    digest: str = ""
    is_ready: bool = True
    reason: str = ""

    @property
    def blend_px(self) -> int:
        """Half the width of a seam's blending zone. Unless declared: there both neighbours see their whole receptive field."""
        if self.declared_blend_px is not None:
            return self.declared_blend_px
        return max(0, self.halo_px - self.receptive_field_px)

    @property
    def takes_guide(self) -> bool:
        """Whether it fills a hole that is larger than its window as a coarse fill tells it to."""
        return "guide" in self.inputs

    @property
    def align_px(self) -> int:
        """Windows start at multiples of it: a network that halves its input then sees a pixel at the same phase in each.

        1 where there is no room between the halos, as for a network of one fixed size.
        """
        return self.multiple_px if self.multiple_px <= self.window_px - 2 * self.halo_px else 1

    @property
    def is_exact(self) -> bool:
        """Whether what a tile contributes has its whole receptive field in the window: tiled equals untiled."""
        return self.blend_px + self.receptive_field_px <= self.halo_px

    @property
    def version(self) -> str:
        """The version Triton picks when none is named: the highest."""
        return self.versions[-1] if self.versions else ""


def parse_spec(
    name: str,
    parameters: Mapping[str, str],
    *,
    versions: tuple[str, ...],
    inputs: Collection[str] = (),
    reason: str = "",
) -> ModelSpec | None:
    """The spec from a config's parameters; None for a model that does not say what it is for (not ours to plan with).

    Errors: ValueError naming model, parameter and what is allowed.
    """
    values = {key.removeprefix(PREFIX): value for key, value in parameters.items() if key.startswith(PREFIX)}
    if "kind" not in values:
        return None
    try:
        kind = Kind(values["kind"])
    except ValueError:
        raise ValueError(f"model {name}: {PREFIX}kind={values['kind']!r} is none of {', '.join(Kind)}") from None

    def integer(key: str, default: int, least: int) -> int:
        text = values.get(key, str(default))
        if not text.isdecimal() or int(text) < least:
            raise ValueError(f"model {name}: {PREFIX}{key}={text!r} must be an integer of at least {least}")
        return int(text)

    def flag(key: str) -> bool:
        text = values.get(key, "false").lower()
        if text not in ("true", "false"):
            raise ValueError(f"model {name}: {PREFIX}{key}={text!r} must be true or false")
        return text == "true"

    spec = ModelSpec(
        name=name,
        kind=kind,
        method=values.get("method", ""),
        scale=integer("scale", 1, 1),
        window_px=integer("window_px", 512, 1),
        halo_px=integer("halo_px", 0, 0),
        receptive_field_px=integer("receptive_field_px", 0, 0),
        declared_blend_px=integer("blend_px", 0, 0) if "blend_px" in values else None,
        multiple_px=integer("multiple_px", 1, 1),
        is_deterministic=flag("deterministic"),
        takes_prompt=flag("takes_prompt"),
        preference=integer("preference", 0, 0),
        inputs=frozenset(inputs),
        versions=versions,
        digest=values.get("digest", ""),
        is_ready=bool(versions),
        reason=reason,
    )
    if spec.window_px <= 2 * spec.halo_px:
        raise ValueError(f"model {name}: {PREFIX}window_px={spec.window_px} leaves no core between halos of {spec.halo_px}")
    if spec.window_px % spec.multiple_px:
        raise ValueError(f"model {name}: {PREFIX}multiple_px={spec.multiple_px} does not divide the window, {spec.window_px}")
    if spec.receptive_field_px > spec.window_px:
        raise ValueError(
            f"model {name}: {PREFIX}receptive_field_px={spec.receptive_field_px} must be at most the window, {spec.window_px}, "
            "which means that all of it counts"
        )
    if spec.blend_px > spec.halo_px:
        raise ValueError(f"model {name}: {PREFIX}blend_px={spec.blend_px} must be at most the halo, {spec.halo_px}")
    return spec
