"""The policy table: what it says, what it refuses."""

from pathlib import Path

import pytest

from retouch_server.errors import UpscalerNotAllowed
from retouch_server.models.spec import Kind, ModelSpec
from retouch_server.pipeline import policy as room
from retouch_server.pipeline.policy import Policy, PolicyError, load_policy, parse_policy
from retouch_server.pipeline.request import Criticality


def upscaler(method: str) -> ModelSpec:
    return ModelSpec(f"upscale_{method}_x2", Kind.UPSCALE, method, scale=2)


def test_the_table_in_the_docstring_is_the_one_built_in() -> None:
    lines = [line[4:] for line in (room.__doc__ or "").splitlines() if line.startswith("    ") or not line]
    written = parse_policy("\n".join(lines).encode())
    built_in = Policy()
    assert dict(written.gates) == dict(built_in.gates)
    assert written.inpaint == built_in.inpaint
    assert written.precheck == built_in.precheck


@pytest.mark.parametrize("value", ["-0.1", "1.1", "true", '"low"'])
@pytest.mark.parametrize("key", ["fine_texture", "text_dominated"])
def test_a_limit_of_the_precheck_is_a_score(key: str, value: str) -> None:
    with pytest.raises(PolicyError, match=f"precheck.{key}.*score from 0 to 1"):
        parse_policy(f"[precheck]\n{key} = {value}".encode())


def test_an_empty_table_is_the_one_built_in_but_for_its_digest() -> None:
    assert dict(parse_policy(b"").gates) == dict(Policy().gates)
    assert parse_policy(b"").digest
    assert not Policy().digest


@pytest.mark.parametrize(
    ("method", "criticality", "is_allowed"),
    [
        ("creative", Criticality.LOW, True),
        ("creative", Criticality.STANDARD, True),
        ("creative", Criticality.COMMERCE, False),
        ("conservative", Criticality.COMMERCE, True),
        ("", Criticality.COMMERCE, False),
        ("imported", Criticality.COMMERCE, False),
        ("imported", Criticality.STANDARD, True),
    ],
)
def test_the_gate_that_is_built_in(method: str, criticality: Criticality, is_allowed: bool) -> None:
    if is_allowed:
        Policy().check_upscaler(upscaler(method), criticality)
    else:
        with pytest.raises(UpscalerNotAllowed, match=r"policy allows conservative; a picture of goods"):
            Policy().check_upscaler(upscaler(method), criticality)


def test_a_table_may_close_a_gate_further() -> None:
    policy = parse_policy(b'[upscale.standard]\nallowed = ["conservative"]')
    with pytest.raises(UpscalerNotAllowed):
        policy.check_upscaler(upscaler("creative"), Criticality.STANDARD)


def test_a_table_says_how_far_an_enlargement_may_stray() -> None:
    assert Policy().least_agreement_db == parse_policy(b"").least_agreement_db == 30
    assert parse_policy(b"[upscale]\nleast_agreement_db = 24.5").least_agreement_db == 24.5
    assert parse_policy(b"[upscale]\nleast_agreement_db = 0").least_agreement_db == 0


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"[", "is not TOML"),
        (b"\xff", "is not TOML"),
        (b"[upscaling]", "upscaling is not known here; there are upscale, inpaint"),
        (b"[upscale.medium]", "upscale.medium is not known"),
        (b"[upscale.low]\nalowed = ['*']", "upscale.low.alowed is not known"),
        (b"upscale = 3", "upscale must be a table"),
        (b"[upscale]\nlow = 3", "upscale.low must be a table"),
        (b"[upscale.low]\ndefault = []", "upscale.low.default"),
        (b"[upscale.low]\ndefault = [3]", "upscale.low.default"),
        (b"[upscale.commerce]\nallowed = ['creative', 'conservative']", "must not admit 'creative'"),
        (b"[upscale.commerce]\nallowed = ['*']", "must not admit 'creative'"),
        (b"[upscale.standard]\ndefault = ['x']\nallowed = ['y']", "names 'x', which upscale.standard.allowed does not"),
        (b"[upscale]\nleast_agreement_db = -1", "upscale.least_agreement_db = -1 must be a number of dB from 0"),
        (b"[upscale]\nleast_agreement_db = 'high'", "upscale.least_agreement_db = 'high' must be a number"),
        (b"[upscale]\nleast_agreement_db = true", "upscale.least_agreement_db = True must be a number"),
        (b"[upscale]\nleast_agreement_db = 61", "to 60"),
        (b"[inpaint]\nproxy = true", "inpaint.proxy is not known"),
        (b"[inpaint]\ndefault = ['lama']", "there are patch, classical, diffusion"),
    ],
)
def test_a_table_that_cannot_be_used_says_why(text: bytes, complaint: str) -> None:
    with pytest.raises(PolicyError, match=complaint.replace("[", r"\[").replace("*", r"\*")):
        parse_policy(text)


def test_a_file_is_named_in_its_complaint(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"missing\.toml cannot be read"):
        load_policy(tmp_path / "missing.toml")
    (tmp_path / "bad.toml").write_text("[upscaling]")
    with pytest.raises(PolicyError, match=r"bad\.toml: upscaling"):
        load_policy(tmp_path / "bad.toml")
    assert load_policy(None) == Policy()
