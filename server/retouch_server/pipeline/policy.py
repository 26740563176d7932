"""Which models an edit may use, and which it gets unasked: a table, not code. `retouch profile` writes it, the server loads it.

    [upscale]
    least_agreement_db = 30                  # of an enlargement averaged down with its input; 0: nothing falls back

    [upscale.low]
    default = ["creative", "conservative"]   # the first method that is served
    allowed = ["*"]                          # methods that a caller may name; "*": any

    [upscale.standard]
    default = ["conservative"]
    allowed = ["*"]

    [upscale.commerce]
    default = ["conservative"]
    allowed = ["conservative"]               # never "creative" and never "*": such a table is refused

    [inpaint]
    default = ["patch", "classical"]

    [precheck]
    fine_texture = 0.8                       # texture_score from which a region is inpainted at full resolution; 0: every one
    text_dominated = 0.35                    # text_score from which a region counts as overlay text

What a table leaves out keeps its default.
"""

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from retouch_server.errors import UpscalerNotAllowed
from retouch_server.models.spec import ModelSpec
from retouch_server.pipeline.request import Criticality

ANY = "*"
CREATIVE = "creative"
CONSERVATIVE = "conservative"
INPAINT_DEFAULTS = ("patch", "classical", "diffusion")
"""Methods of inpainting that a policy may order."""


class PolicyError(ValueError):
    """A policy table that cannot be used; the message names the key and what is allowed."""


@dataclass(frozen=True, slots=True)
class Gate:
    """What one criticality may bear: methods of upscalers, best first."""

    default: tuple[str, ...]
    allowed: tuple[str, ...]

    def admits(self, method: str) -> bool:
        """Whether an upscaler of that method may run when a caller names it."""
        return ANY in self.allowed or method in self.allowed


_GATES = MappingProxyType(
    {
        Criticality.LOW: Gate((CREATIVE, CONSERVATIVE), (ANY,)),
        Criticality.STANDARD: Gate((CONSERVATIVE,), (ANY,)),
        Criticality.COMMERCE: Gate((CONSERVATIVE,), (CONSERVATIVE,)),
    }
)


LEAST_AGREEMENT_DB = 30.0
"""A root mean square of 8 levels. The shipped creative upscalers, and photographs against what they were shrunk to, stay above
31 dB in every cell; one that removes noise or blocks of JPEG leaves its input by more where there is much of that."""
MOST_AGREEMENT_DB = 60.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Scores, 0 to 1, from which a region counts as fine texture, and as overlay text."""

    fine_texture: float = 0.8
    """Below it fills at proxy resolution look as those at full resolution do; above it some are too smooth, or their grain is
    texture of the scene. By SSIM alone none would have to be filled at full resolution: `training/precheck/routing.py`."""
    text_dominated: float = 0.35


USUAL = Limits()


@dataclass(frozen=True, slots=True)
class Policy:
    """The table. `digest`: sha256 of the file it came from, empty for the one built in.

    least_agreement_db: PSNR of an enlargement, averaged down, with its input, below which a conservative one takes over where
    the upscaler is not conservative; 0: nothing does.
    """

    gates: Mapping[Criticality, Gate] = field(default_factory=lambda: _GATES)
    inpaint: tuple[str, ...] = ("patch", "classical")
    digest: str = ""
    least_agreement_db: float = LEAST_AGREEMENT_DB
    precheck: Limits = USUAL

    def check_upscaler(self, spec: ModelSpec, criticality: Criticality) -> None:
        """The gate. Errors: UpscalerNotAllowed."""
        gate = self.gates[criticality]
        if not gate.admits(spec.method):
            reason = f"its method is {spec.method or 'not stated'}, and the policy allows {' or '.join(gate.allowed)}"
            if criticality == Criticality.COMMERCE:
                reason += "; a picture of goods must not show invented texture"
            raise UpscalerNotAllowed(spec.name, criticality, reason)


BUILT_IN = Policy()


def load_policy(path: Path | None) -> Policy:
    """The policy in a TOML file; the one built in without a file. Errors: PolicyError, also when it cannot be read."""
    if path is None:
        return BUILT_IN
    try:
        return parse_policy(path.read_bytes())
    except OSError as error:
        raise PolicyError(f"the policy {path} cannot be read: {error.strerror}") from error
    except PolicyError as error:
        raise PolicyError(f"{path}: {error}") from error


def parse_policy(text: bytes) -> Policy:
    """The policy that a table says. Errors: PolicyError."""
    try:
        table = tomllib.loads(text.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PolicyError(f"is not TOML: {error}") from error
    _check_keys("", table, ("upscale", "inpaint", "precheck"))
    upscale, inpaint, precheck = _table("upscale", table), _table("inpaint", table), _table("precheck", table)
    _check_keys("upscale", upscale, (*Criticality, "least_agreement_db"))
    _check_keys("inpaint", inpaint, ("default",))
    _check_keys("precheck", precheck, ("fine_texture", "text_dominated"))
    return Policy(
        gates=MappingProxyType({level: _gate(level, upscale) for level in Criticality}),
        inpaint=_methods("inpaint.default", inpaint, "default", BUILT_IN.inpaint, INPAINT_DEFAULTS),
        digest=hashlib.sha256(text).hexdigest(),
        least_agreement_db=_decibels("upscale.least_agreement_db", upscale.get("least_agreement_db", LEAST_AGREEMENT_DB)),
        precheck=Limits(
            _score("precheck.fine_texture", precheck.get("fine_texture", BUILT_IN.precheck.fine_texture)),
            _score("precheck.text_dominated", precheck.get("text_dominated", BUILT_IN.precheck.text_dominated)),
        ),
    )


def _gate(level: Criticality, upscale: Mapping[str, Any]) -> Gate:
    name, built_in = f"upscale.{level}", _GATES[level]
    row = _table(level, upscale, "upscale")
    _check_keys(name, row, ("default", "allowed"))
    gate = Gate(
        _methods(f"{name}.default", row, "default", built_in.default),
        _methods(f"{name}.allowed", row, "allowed", built_in.allowed),
    )
    for method in gate.default:
        if not gate.admits(method):
            raise PolicyError(f"{name}.default names {method!r}, which {name}.allowed does not; add it there or drop it")
    if level == Criticality.COMMERCE and (gate.admits(CREATIVE) or ANY in gate.default):
        raise PolicyError(f"{name} must not admit {CREATIVE!r} nor {ANY!r}: a picture of goods must not show invented texture")
    return gate


def _decibels(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MOST_AGREEMENT_DB:
        raise PolicyError(f"{name} = {value!r} must be a number of dB from 0 (nothing falls back) to {MOST_AGREEMENT_DB:g}")
    return float(value)


def _score(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise PolicyError(f"{name} = {value!r} must be a score from 0 to 1")
    return float(value)


def _table(key: str, table: Mapping[str, Any], parent: str = "") -> Mapping[str, Any]:
    value = table.get(key, {})
    if not isinstance(value, dict):
        raise PolicyError(f"{'.'.join(filter(None, (parent, key)))} must be a table")
    return cast(Mapping[str, Any], value)


def _check_keys(name: str, table: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for key in table:
        if key not in known:
            raise PolicyError(f"{'.'.join(filter(None, (name, key)))} is not known here; there are {', '.join(known)}")


def _methods(
    name: str, table: Mapping[str, Any], key: str, default: tuple[str, ...], known: tuple[str, ...] = ()
) -> tuple[str, ...]:
    value: object = table.get(key, list(default))
    items = cast(list[object], value) if isinstance(value, list) else []
    methods = tuple(item for item in items if isinstance(item, str) and item)
    if not methods or len(methods) != len(items):
        raise PolicyError(f"{name} = {value!r} must be a list of at least one method, such as {list(default)!r}")
    for method in methods:
        if known and method not in known:
            raise PolicyError(f"{name} names {method!r}; there are {', '.join(known)}")
    return methods
