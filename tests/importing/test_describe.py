"""Describe: a prompt and a mask, through a diffusers pipeline of random weights that was imported into a running service."""

import asyncio
import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from retouch import RetouchClient
from retouch_server.geometry import Rect
from retouch_server.importing.pictures import photograph_like
from retouch_server.importing.run import Wanted, run
from retouch_server.importing.source import ModelImportError
from retouch_server.pipeline.wish import Wish
from tests.importing.served import service, window
from tests.importing.tiny_pipeline import save_tiny_pipeline

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("diffusers") is None, reason="needs torch and diffusers (5 GB): `make test-import` brings them"
)
SIDE = 64


@needs_torch
@pytest.mark.triton
@pytest.mark.filterwarnings("ignore")  # of torch and what stands on it
async def test_a_prompt_and_a_seed_decide_what_is_drawn(tmp_path: Path) -> None:
    save_tiny_pipeline(tmp_path / "pipeline", SIDE)
    picture = photograph_like(80, 72, seed=3)
    mask = np.zeros((80, 72), np.uint8)
    mask[20:44, 16:50] = 255
    async with service(tmp_path / "state") as running, RetouchClient(running.target) as client:
        before = client.edit(picture, mask, prompt="a vase", inpaint="none", text_removal="never")
        await before.result()
        assert any("prompt was not used" in warning for warning in before.report.warnings)

        wanted = Wanted(tmp_path / "pipeline", "draw", state_dir=tmp_path / "state")
        told = await asyncio.to_thread(run, wanted, print)
        assert (told["served"], told["method"], told["fit"]["window_px"]) == (True, "diffusion", SIDE)
        await client.models()

        async def drawn(prompt: str, seed: int) -> np.ndarray:
            edit = client.edit(picture, mask, prompt=prompt, seed=seed, text_removal="never")
            image = await edit.result()
            assert not any("prompt" in warning for warning in edit.report.warnings)
            assert [stage.model.name for stage in edit.report.stages if stage.model] == ["draw"]
            return image

        vase = await drawn("a vase", 1)
        assert (vase[mask == 0] == picture[mask == 0]).all()
        assert (vase[mask > 0] != picture[mask > 0]).mean() > 0.5
        np.testing.assert_array_equal(vase, await drawn("a vase", 1))
        assert (vase != await drawn("a vase", 2)).any()
        assert (vase != await drawn("a red apple, ripe", 1)).any()

        (spec,) = [each for each in running.app.catalogue.specs if each.name == "draw"]
        inputs = {"image": picture[:SIDE, :SIDE], "mask": mask[:SIDE, :SIDE, None]}
        wish = Wish("a vase", 7).inputs(spec, Rect(0, 0, SIDE, SIDE))
        first = await window(running, "draw", 1, **inputs, **wish)
        hidden = np.where(inputs["mask"] > 0, 0, inputs["image"]).astype(np.uint8)
        np.testing.assert_array_equal(first, await window(running, "draw", 1, **inputs | {"image": hidden}, **wish))


@needs_torch
@pytest.mark.filterwarnings("ignore")
def test_a_folder_that_cannot_be_served_is_told_with_the_reason(tmp_path: Path) -> None:
    def refusal(folder: Path, **more: str) -> str:
        with pytest.raises(ModelImportError) as caught:
            run(Wanted(folder, "x", state_dir=tmp_path / "state", **more), lambda step: None)  # type: ignore[arg-type]
        assert not (tmp_path / "state/imported/x").exists()
        return str(caught.value)

    (tmp_path / "empty").mkdir()
    assert "is not a diffusers folder" in refusal(tmp_path / "empty")
    save_tiny_pipeline(tmp_path / "pipeline", SIDE)
    assert "can serve to inpaint only" in refusal(tmp_path / "pipeline", kind="upscale")

    def changed(name: str, value: object) -> Path:
        shutil.rmtree(tmp_path / "changed", ignore_errors=True)
        shutil.copytree(tmp_path / "pipeline", tmp_path / "changed")
        index = json.loads((tmp_path / "pipeline/model_index.json").read_text())
        (tmp_path / "changed/model_index.json").write_text(json.dumps(index | {name: value}))
        return tmp_path / "changed"

    assert "its unet comes from 'evil'" in refusal(changed("unet", ["evil", "UNet"]))
    assert "cannot be loaded to inpaint with" in refusal(changed("_class_name", "DDPMPipeline"))
    pickled = changed("_name_or_path", "")
    (pickled / "unet/diffusion_pytorch_model.safetensors").rename(pickled / "unet/diffusion_pytorch_model.bin")
    assert "from safetensors alone" in refusal(pickled)


def test_the_file_that_talks_to_triton_is_that_of_the_repository() -> None:
    root = Path(__file__).parents[2]
    ours = root / "server/retouch_server/importing/diffusion_model/wire.py"
    assert ours.read_bytes() == (root / "model_repository/inpaint_classical/1/wire.py").read_bytes()
