"""What may be asked of an edit."""

from dataclasses import dataclass, replace
from typing import Literal, TypedDict, Unpack, get_args

from retouch.errors import InvalidInputError

TextRemoval = Literal["auto", "always", "never"]
Inpaint = Literal["auto", "classical", "patch", "diffusion", "none", "proxy"]
Criticality = Literal["low", "standard", "commerce"]
TileEncoding = Literal["raw", "png"]
MAX_PROMPT_CHARACTERS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class EditOptions:
    """Options of an edit. The defaults remove text and fill holes under the mask as the precheck sees fit, at scale 1.

    Raises InvalidInputError for a value outside its limits, before anything is sent.
    """

    scale: int = 1  # output size over input size: 1, 2 or 4
    text_removal: TextRemoval = "auto"
    inpaint: Inpaint = "auto"
    criticality: Criticality = "standard"  # how much invention the asset may bear
    upscaler: str | None = None  # a served upscale model by name; None: the criticality decides
    seed: int = 0  # the same request with the same seed gives the same bytes
    prompt: str = ""  # a short wish for models that take one
    output_encoding: TileEncoding = "raw"  # how finished tiles travel: raw costs the wire, png costs both processors

    def __post_init__(self) -> None:
        _check("scale", self.scale, (1, 2, 4))
        _check("text_removal", self.text_removal, get_args(TextRemoval))
        _check("inpaint", self.inpaint, get_args(Inpaint))
        _check("criticality", self.criticality, get_args(Criticality))
        _check("output_encoding", self.output_encoding, get_args(TileEncoding))
        if not 0 <= self.seed < 2**64:
            raise InvalidInputError(f"seed is {self.seed}; it must lie in 0..2^64-1")
        if len(self.prompt) > MAX_PROMPT_CHARACTERS:
            raise InvalidInputError(f"prompt has {len(self.prompt)} characters; at most {MAX_PROMPT_CHARACTERS} are taken")

    def changed(self, **fields: "Unpack[OptionFields]") -> "EditOptions":
        """These options with some fields replaced."""
        return replace(self, **fields)


class OptionFields(TypedDict, total=False):
    """The fields of EditOptions as keywords, for calls that take them one by one."""

    scale: int
    text_removal: TextRemoval
    inpaint: Inpaint
    criticality: Criticality
    upscaler: str | None
    seed: int
    prompt: str
    output_encoding: TileEncoding


def _check(field: str, value: object, allowed: tuple[object, ...]) -> None:
    if value not in allowed:
        raise InvalidInputError(f"{field} is {value!r}; it must be one of {', '.join(map(str, allowed))}")
