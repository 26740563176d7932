"""The criticality gate at work: which upscaler an edit gets, why, and what takes over where that one strays from its input."""

from dataclasses import dataclass

from retouch_server.errors import BadField
from retouch_server.models.catalogue import Catalogue
from retouch_server.models.spec import Kind, ModelSpec
from retouch_server.pipeline.policy import CONSERVATIVE, Policy
from retouch_server.pipeline.request import Criticality, Options

BICUBIC = "bicubic"


@dataclass(frozen=True, slots=True)
class Fallback:
    """What takes over where an enlargement, averaged down, is less than `least_db` (PSNR) from its input.

    spec: a conservative upscaler of the same scale; None: none is served that could, and bicubic interpolation has to do.
    """

    spec: ModelSpec | None
    least_db: float

    @property
    def name(self) -> str:
        return self.spec.name if self.spec else BICUBIC


@dataclass(frozen=True, slots=True)
class Decision:
    """What the gate said, for the audit. asked: the upscaler named by the caller, empty where the criticality decided.

    fallback: None for a conservative upscaler, which is what others fall back to, and at scale 1, where nothing is enlarged.
    """

    criticality: Criticality
    asked: str
    spec: ModelSpec
    allowed: tuple[str, ...]
    policy_digest: str
    reason: str
    fallback: Fallback | None


def decide(options: Options, catalogue: Catalogue, policy: Policy) -> Decision | None:
    """None where no upscaler is to run. Errors: ModelNotServed, UpscalerNotAllowed, BadField."""
    gate = policy.gates[options.criticality]
    if options.upscaler:
        spec = catalogue.get(options.upscaler, Kind.UPSCALE)
        if spec.scale != options.scale:
            raise BadField(
                "options.upscaler",
                f"{spec.name} enlarges ×{spec.scale}, but options.scale is {options.scale}; make them agree",
            )
        policy.check_upscaler(spec, options.criticality)
        reason = "asked for by name"
    elif options.scale == 1:
        return None
    else:
        spec = catalogue.require(Kind.UPSCALE, methods=gate.default, scale=options.scale)
        reason = f"criticality {options.criticality} gets {spec.method}"
    fallback = _fallback(spec, catalogue, policy.least_agreement_db)
    if fallback is not None:
        reason += f"; {fallback.name} takes over where it strays from its input"
    return Decision(options.criticality, options.upscaler, spec, gate.allowed, policy.digest, reason, fallback)


def _fallback(spec: ModelSpec, catalogue: Catalogue, least_db: float) -> Fallback | None:
    """Whoever is not known to be conservative may stray; how far is the policy's."""
    if spec.method == CONSERVATIVE or spec.scale == 1 or not least_db:
        return None
    served = (s for s in catalogue.specs if s.kind == Kind.UPSCALE and s.is_ready and s.method == CONSERVATIVE)
    fitting = [s for s in served if s.scale == spec.scale and (s.window_px >= spec.window_px or s.multiple_px < s.window_px)]
    return Fallback(max(fitting, key=lambda s: s.preference, default=None), least_db)
