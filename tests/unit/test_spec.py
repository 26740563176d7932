"""What a model says of itself, and what the product's models say."""

from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from retouch_server.models.spec import Kind, ModelSpec, parse_spec

REPOSITORIES = [Path(__file__).parents[2] / "model_repository", Path(__file__).parents[1] / "support" / "model_repository"]
CONFIGS = sorted(config for repository in REPOSITORIES for config in repository.glob("*/config.pbtxt"))
GOOD = {"retouch.kind": "upscale", "retouch.scale": "2", "retouch.window_px": "64", "retouch.halo_px": "8"}


def parse(**parameters: str) -> ModelSpec | None:
    changed = GOOD | {f"retouch.{key}": value for key, value in parameters.items()}
    return parse_spec("m", changed, versions=("1", "3"))


def test_everything_that_is_said_is_read() -> None:
    spec = parse(
        method="creative", receptive_field_px="5", multiple_px="4", deterministic="true", takes_prompt="True", digest="abc"
    )
    assert spec == ModelSpec(
        name="m",
        kind=Kind.UPSCALE,
        method="creative",
        scale=2,
        window_px=64,
        halo_px=8,
        receptive_field_px=5,
        multiple_px=4,
        is_deterministic=True,
        takes_prompt=True,
        versions=("1", "3"),
        digest="abc",
    )
    assert (spec.blend_px, spec.version) == (3, "3")


def test_a_halo_below_the_receptive_field_leaves_no_blending_zone() -> None:
    spec = parse(receptive_field_px="9")
    assert spec is not None
    assert (spec.blend_px, spec.is_exact) == (0, False)


@pytest.mark.parametrize(
    ("receptive_field_px", "blend_px", "is_exact"), [("5", "3", True), ("5", "4", False), ("64", "8", False)]
)
def test_a_declared_blending_zone_counts(receptive_field_px: str, blend_px: str, is_exact: bool) -> None:
    spec = parse(receptive_field_px=receptive_field_px, blend_px=blend_px)
    assert spec is not None
    assert (spec.blend_px, spec.is_exact) == (int(blend_px), is_exact)


@pytest.mark.parametrize(("multiple_px", "align_px"), [("1", 1), ("16", 16), ("64", 1)])
def test_windows_are_aligned_where_there_is_room(multiple_px: str, align_px: int) -> None:
    spec = parse(multiple_px=multiple_px)
    assert spec is not None
    assert spec.align_px == align_px


def test_a_model_that_says_no_kind_is_not_ours() -> None:
    assert parse_spec("m", {"detect_model": "x"}, versions=("1",)) is None


def test_a_model_without_versions_is_not_ready() -> None:
    spec = parse_spec("m", GOOD, versions=(), reason="it does not load")
    assert spec is not None
    assert (spec.is_ready, spec.version, spec.reason) == (False, "", "it does not load")


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("kind", "magic"),
        ("kind", ""),
        ("scale", "0"),
        ("scale", "two"),
        ("scale", "-2"),
        ("scale", "2.0"),
        ("scale", ""),
        ("window_px", "0"),
        ("window_px", "16"),
        ("halo_px", "32"),
        ("halo_px", "-1"),
        ("receptive_field_px", "wide"),
        ("receptive_field_px", "65"),
        ("blend_px", "9"),
        ("blend_px", "-1"),
        ("multiple_px", "0"),
        ("multiple_px", "7"),
        ("multiple_px", "²"),
        ("deterministic", "yes"),
        ("takes_prompt", "1"),
    ],
)
def test_a_bad_parameter_is_named(parameter: str, value: str) -> None:
    named = "window_px" if parameter == "halo_px" and value == "32" else parameter
    with pytest.raises(ValueError, match=rf"model m: retouch\.{named}="):
        parse(**{parameter: value})


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.parent.name)
def test_every_model_in_the_repository_can_be_planned_with(config: Path) -> None:
    parsed: Any = text_format.Parse(config.read_text(), model_config_pb2.ModelConfig())  # as Triton reads it
    assert parsed.name == config.parent.name
    parameters = {key: value.string_value for key, value in parsed.parameters.items()}
    versions = tuple(sorted(path.name for path in config.parent.iterdir() if path.name.isdecimal()))
    assert versions
    spec = parse_spec(parsed.name, parameters, versions=versions)
    assert spec is not None
    assert spec.kind is not Kind.UNKNOWN
    assert spec.window_px > 2 * spec.halo_px
    assert spec.is_exact or spec.declared_blend_px is not None or spec.kind is Kind.PRECHECK, "how neighbours blend is said"
    assert spec.window_px % spec.multiple_px == 0
    assert spec.scale in ((2, 4) if spec.kind is Kind.UPSCALE and spec.method != "identity" else (1,))
    inputs = {item.name: list(item.dims) for item in parsed.input}
    outputs = {item.name: list(item.dims) for item in parsed.output}
    assert inputs["image"] == [-1, -1, 3]
    assert ("mask" in inputs) == (spec.kind in (Kind.PRECHECK, Kind.TEXT_REMOVAL, Kind.INPAINT))
    if spec.kind is Kind.PRECHECK:
        assert outputs["scores"] == [2]
    else:
        assert outputs["result"] == [-1, -1, 1 if spec.kind is Kind.TEXT_DETECT else 3]
