"""What a caller asks, checked and in the words of the domain."""

from dataclasses import dataclass, field
from enum import StrEnum

from retouch_server.errors import BadField
from retouch_server.imaging.mask import Mask

MAX_SIDE_PX = 65_535
MAX_PIXELS = 1_100_000_000
MAX_PROMPT = 1000
MAX_NAME = 200
MAX_PIXELS_WITHOUT_PROXY = 4_000_000
SCALES = (1, 2, 4)


class StageName(StrEnum):
    """The stages, in the order in which they run: inpainting an upscaled image would invent texture."""

    TEXT_REMOVAL = "text_removal"
    INPAINT = "inpaint"
    UPSCALE = "upscale"


class TextRemoval(StrEnum):
    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class Inpaint(StrEnum):
    AUTO = "auto"
    CLASSICAL = "classical"
    PATCH = "patch"
    DIFFUSION = "diffusion"
    NONE = "none"
    PROXY = "proxy"


class Criticality(StrEnum):
    LOW = "low"
    STANDARD = "standard"
    COMMERCE = "commerce"


@dataclass(frozen=True, slots=True)
class Options:
    """What may be asked of an edit; the defaults are the API's."""

    text_removal: TextRemoval = TextRemoval.AUTO
    inpaint: Inpaint = Inpaint.AUTO
    scale: int = 1
    criticality: Criticality = Criticality.STANDARD
    upscaler: str = ""
    seed: int = 0
    prompt: str = ""

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise BadField("options.scale", f"{self.scale} is not possible; choose one of {', '.join(map(str, SCALES))}")
        if len(self.prompt) > MAX_PROMPT:
            raise BadField("options.prompt", f"{len(self.prompt)} characters are too many; use at most {MAX_PROMPT}")
        if len(self.upscaler) > MAX_NAME:
            raise BadField(
                "options.upscaler", f"{len(self.upscaler)} characters are too many for a name; use at most {MAX_NAME}"
            )


@dataclass(frozen=True, slots=True)
class EditRequest:
    """An edit to be planned: an image of height × width × channels px (1 gray, 3 RGB, 4 RGBA), a mask of its size, options."""

    height: int
    width: int
    channels: int
    mask: Mask | None = None
    mask_version: int = 0
    options: Options = field(default_factory=Options)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.height, self.width

    @property
    def pixels(self) -> int:
        return self.height * self.width


def check_size(height: int, width: int) -> None:
    """Whether an image of that size is taken. Errors: BadField with the limit."""
    for name, side in (("size.height", height), ("size.width", width)):
        if not 1 <= side <= MAX_SIDE_PX:
            raise BadField(name, f"{side} px is out of range; each side must be 1 to {MAX_SIDE_PX} px")
    if height * width > MAX_PIXELS:
        raise BadField("size", f"{height}×{width} = {height * width} px are too many; at most {MAX_PIXELS} px, cut the image")
