"""ONNX files: as they are where they follow the contract, else between 8-bit pixels; measured, placed and loaded. No torch."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

from retouch.cli.root import root
from retouch_server.importing.fit import fit
from retouch_server.importing.pictures import discs, photograph_like
from retouch_server.importing.reach import Reach, measure
from retouch_server.importing.run import Wanted, run
from retouch_server.importing.source import ModelImportError, Needs, Source
from retouch_server.local import launch
from retouch_server.local.repository import assemble
from retouch_server.local.runtime import MissingError
from retouch_server.local.triton import LocalTriton, LocalTritonSettings
from retouch_server.models.spec import Kind, parse_spec
from tests.importing.served import IDENTITY, U8, service, window
from tests.models.onnx_models import config_of

RADIUS = 3


def blur(channels: int, sides: list[Any], levels: float = 1.0) -> onnx.ModelProto:
    """A float model: the mean of 7 × 7 pixels, in 0..`levels`."""
    size = 2 * RADIUS + 1
    kernel = np.zeros((3, channels, size, size), np.float32)
    kernel[range(3), range(3)] = levels / size**2
    graph = helper.make_graph(
        [helper.make_node("Conv", ["in", "kernel"], ["out"], pads=[RADIUS] * 4)],
        "blur",
        [helper.make_tensor_value_info("in", TensorProto.FLOAT, [1, channels, *sides])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 3, *sides])],
        [numpy_helper.from_array(kernel, "kernel")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def imported(path: Path, state_dir: Path, **more: Any) -> dict[str, Any]:
    return run(Wanted(path, more.pop("name", "mine"), state_dir=state_dir, **more), lambda step: None)


def spec_of(folder: Path) -> Any:
    parameters = {key: value.string_value for key, value in config_of(folder).parameters.items()}
    return parse_spec(folder.name, parameters, versions=("1",))


def blurred(image: U8) -> U8:
    """In float, rounded half up; zeros beyond the border."""
    size = (2 * RADIUS + 1,) * 2
    return np.floor(cv2.blur(image.astype(np.float64), size, borderType=cv2.BORDER_CONSTANT) + 0.5).astype(np.uint8)


@pytest.mark.triton
async def test_a_float_model_is_served_between_8_bit_pixels(tmp_path: Path) -> None:
    onnx.save(blur(3, ["h", "w"]), tmp_path / "blur.onnx")
    async with service(tmp_path / "state") as running:
        told = await asyncio.to_thread(imported, tmp_path / "blur.onnx", tmp_path / "state", kind="upscale")
        assert told["served"]
        assert told["fit"]["receptive_field_px"] == RADIUS
        image = photograph_like(70, 90)
        served = await window(running, "mine", 1, image=image)
    assert np.abs(served.astype(int) - blurred(image)).max() <= 1


@pytest.mark.triton
async def test_a_float_inpainter_of_one_size_sees_no_hole_and_changes_nothing_else(tmp_path: Path) -> None:
    onnx.save(blur(4, [128, 128], levels=255.0), tmp_path / "fill.onnx")
    async with service(tmp_path / "state") as running:
        told = await asyncio.to_thread(imported, tmp_path / "fill.onnx", tmp_path / "state", kind="inpaint")
        assert told["fit"]["multiple_px"] == told["fit"]["window_px"] == 128
        assert "it answers in 0..255" in told["notes"][0]
        image, mask = photograph_like(128, 128), discs(128, 128)
        served = await window(running, "mine", 1, image=image, mask=mask)
        hidden = await window(running, "mine", 1, image=np.where(mask > 0, 7, image).astype(np.uint8), mask=mask)
    assert (served == hidden)[mask[:, :, 0] > 0].all()
    truth = np.where(mask > 0, blurred(np.where(mask > 0, 0, image).astype(np.uint8)), image)
    assert np.abs(served.astype(int) - truth).max() <= 1


def test_a_file_that_follows_the_contract_is_measured_as_its_card_says(tmp_path: Path) -> None:
    shipped = Path(__file__).parents[2] / "model_repository" / "upscale_conservative_x2"
    told = imported(shipped / "1" / "model.onnx", tmp_path)
    ours, theirs = spec_of(tmp_path / "imported" / "mine"), spec_of(shipped)
    assert (ours.kind, ours.scale) == (theirs.kind, theirs.scale)
    # Theirs is counted; at the rim the influence of a pixel is too faint for 8 bits.
    assert theirs.receptive_field_px - 3 <= ours.receptive_field_px <= theirs.receptive_field_px
    assert ours.is_exact
    assert told["sha256"] in (tmp_path / "imported/mine/README.md").read_text()
    assert "the duty of whoever imported it" in " ".join((tmp_path / "imported/mine/README.md").read_text().split())


@pytest.mark.triton
async def test_what_triton_cannot_load_leaves_no_trace_and_the_former_model_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    onnx.save(blur(3, ["h", "w"]), tmp_path / "blur.onnx")
    async with service(tmp_path / "state") as running:
        folder, served = tmp_path / "state" / "imported" / "mine", tmp_path / "state" / "models" / "mine"

        async def broken() -> None:
            with pytest.raises(ModelImportError, match="Triton did not take the model, so it was not imported"):
                await asyncio.to_thread(imported, tmp_path / "blur.onnx", tmp_path / "state", kind="upscale", replace=True)

        with monkeypatch.context() as patch:
            patch.setattr("retouch_server.importing.run.config_text", lambda card: 'name: "mine"\nbackend: "nowhere"\n')
            await broken()
            assert not folder.exists()
            assert not served.exists()
        await asyncio.to_thread(imported, tmp_path / "blur.onnx", tmp_path / "state", kind="upscale")
        before = (folder / "config.pbtxt").read_text(), (served / "config.pbtxt").read_text()
        with monkeypatch.context() as patch:
            patch.setattr("retouch_server.importing.run.config_text", lambda card: 'name: "mine"\nbackend: "nowhere"\n')
            await broken()
        assert ((folder / "config.pbtxt").read_text(), (served / "config.pbtxt").read_text()) == before
        image = photograph_like(64, 64)
        assert np.abs((await window(running, "mine", 1, image=image)).astype(int) - blurred(image)).max() <= 1
        with pytest.raises(ModelImportError, match="'identity' that was not imported"):
            await asyncio.to_thread(
                imported, tmp_path / "blur.onnx", tmp_path / "state", kind="upscale", name="identity", replace=True
            )
    assert [path.name for path in (tmp_path / "state").iterdir() if "importing" in path.name or "staging" in path.name] == []


def test_another_repository_is_written_and_its_triton_told_or_not(tmp_path: Path) -> None:
    onnx.save(blur(3, ["h", "w"]), tmp_path / "blur.onnx")
    told = imported(tmp_path / "blur.onnx", tmp_path, kind="upscale", repository=tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere/mine/1/model.onnx").is_file()
    assert told["outcome"].startswith("not served yet")
    with pytest.raises(ModelImportError, match="Triton did not take the model"):
        imported(
            tmp_path / "blur.onnx",
            tmp_path,
            kind="upscale",
            name="other",
            repository=tmp_path / "elsewhere",
            triton_url="http://127.0.0.1:1",
        )
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["mine"]


@pytest.mark.triton
@pytest.mark.parametrize(
    ("mode", "outcome"), [("explicit", "served"), ("poll", "it will load it if it polls"), ("none", "when restarted")]
)
async def test_another_triton_loads_it_or_says_how(
    mode: str, outcome: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def command(*given: Any) -> list[str]:
        words = [word.replace("=explicit", f"={mode}") for word in launch.command(*given)]
        return words if mode == "explicit" else [word for word in words if not word.startswith("--load-model")]

    monkeypatch.setattr("retouch_server.local.run.command", command)
    onnx.save(blur(3, ["h", "w"]), tmp_path / "blur.onnx")
    repository = tmp_path / "models"
    assemble([IDENTITY], repository)
    async with LocalTriton(LocalTritonSettings(repository, tmp_path / "state")) as triton:
        told = await asyncio.to_thread(
            imported, tmp_path / "blur.onnx", tmp_path, kind="upscale", repository=repository, triton_url=triton.http_url
        )
        assert outcome in told["outcome"]
        assert ("mine" in [each.name for each in await triton.models() if each.is_ready]) == told["served"]


@pytest.mark.parametrize(
    ("make", "more", "reason"),
    [
        (lambda: blur(3, ["h", "w"]), {}, "say what it is for with --kind"),
        (lambda: blur(3, ["h", "w"]), {"kind": "inpaint"}, r"for --kind inpaint a float \[1,3,H,W\] and"),
        (lambda: blur(3, [64, 96]), {"kind": "upscale"}, "windows of 64×96 px; export it square"),
        (lambda: blur(3, [96, 96]), {"kind": "upscale", "window_px": 64}, "--window-px 64 does not suit the model; 96 does"),
        (
            lambda: blur(3, ["h", "w"]),
            {"kind": "upscale", "window_px": 256, "halo_px": 200},
            "leaves no core between halos of 200 px",
        ),
        (lambda: blur(3, ["h", "w"]), {"kind": "upscale", "name": "../up"}, "use letters, digits"),
        (None, {}, "is not a valid ONNX file"),
    ],
)
def test_what_does_not_fit_is_told_with_the_remedy(
    make: Callable[[], onnx.ModelProto] | None, more: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    (tmp_path / "m.onnx").write_bytes(make().SerializeToString() if make else b"not ONNX")
    with pytest.raises(ModelImportError, match=reason):
        imported(tmp_path / "m.onnx", tmp_path / "state", **more)
    assert list((tmp_path / "state" / "imported").glob("*")) == []


def test_missing_packages_are_told_as_the_command_that_brings_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.pth").write_bytes(b"")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingError, match=r"pip install 'retouch-server\[import\]'"):
        imported(tmp_path / "x.pth", tmp_path)


def test_the_command_tells_it_all_as_json(tmp_path: Path) -> None:
    onnx.save(blur(3, ["h", "w"]), tmp_path / "blur.onnx")
    given = ["models", "import", str(tmp_path / "blur.onnx"), "--name", "b", "--state-dir", str(tmp_path), "--json"]
    refused = CliRunner().invoke(root, given)
    assert refused.exit_code == 4
    assert "--kind" in json.loads(refused.stdout)["error"]["message"]
    done = CliRunner().invoke(root, [*given, "--kind", "upscale", "--license", "CC0", "--method", "conservative"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["use"] == "--upscaler b"
    assert "CC0" in (tmp_path / "imported/b/README.md").read_text()
    assert spec_of(tmp_path / "imported" / "b").method == "conservative"


@pytest.mark.parametrize("radius", [0, 5, 20])
@pytest.mark.parametrize("scale", [1, 2])
def test_the_measure_finds_a_reach_that_is_known(radius: int, scale: int) -> None:
    def box(image: U8, mask: U8 | None) -> U8:
        size = (2 * radius + 1,) * 2
        return cv2.blur(image, size, borderType=cv2.BORDER_REPLICATE).repeat(scale, axis=0).repeat(scale, axis=1)

    reach = measure(Source("box", Kind.UPSCALE, scale, Needs(), box), 96, lambda step: None)
    assert reach.receptive_field_px == radius


def test_a_reach_without_end_is_told_so_and_gets_a_halo_by_what_is_seen() -> None:
    def tinted(image: U8, mask: U8 | None) -> U8:
        return (image // 2 + np.uint8(image.mean() / 2)).astype(np.uint8)

    needs = Needs()
    reach = measure(Source("mean", Kind.UPSCALE, 1, needs, tinted), 96, lambda step: None)
    assert reach.receptive_field_px is None
    chosen = fit(Kind.UPSCALE, needs, reach, None, None)
    assert "through the whole window" in chosen.reason
    assert chosen.receptive_field_px == chosen.window_px
    assert 0 < chosen.blend_px < chosen.halo_px < chosen.window_px // 4


@pytest.mark.parametrize("field_px", [0, 10, 40, 90, None])
@pytest.mark.parametrize("needs", [Needs(), Needs(16, 8), Needs(64, 64, is_square=True), Needs(side_px=512)])
@pytest.mark.parametrize("kind", [Kind.INPAINT, Kind.UPSCALE])
def test_a_fit_can_be_planned_with(field_px: int | None, needs: Needs, kind: Kind) -> None:
    chosen = fit(kind, needs, Reach(512, field_px, 30), None, None)
    assert chosen.window_px > 2 * chosen.halo_px
    assert chosen.blend_px <= chosen.halo_px
    assert chosen.window_px % chosen.multiple_px == 0
    if field_px is not None and field_px + 6 <= 128:
        assert chosen.halo_px >= field_px + chosen.blend_px
