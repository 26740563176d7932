"""Checkpoints with random weights, imported into a running service: what it serves is what torch makes of them."""

import asyncio
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from retouch import RetouchClient
from retouch.cli.root import root
from retouch_server.importing.pictures import discs, photograph_like
from retouch_server.importing.run import Wanted, run
from retouch_server.importing.source import ModelImportError
from retouch_server.local.up import LocalService
from tests.importing.served import service, window

pytestmark = [
    pytest.mark.triton,
    pytest.mark.skipif(
        importlib.util.find_spec("spandrel") is None, reason="needs torch and spandrel (5 GB): `make test-import` brings them"
    ),
    pytest.mark.filterwarnings("ignore"),  # of torch and what stands on it
]
SIDE = 128


def lama() -> Any:
    from spandrel.architectures.LaMa import LaMa

    net = LaMa(in_nc=4)
    net.model.model[-2].weight.data *= 4  # contrast, or a wrong result would pass for a right one
    return net


def real_esrgan() -> Any:
    from spandrel.architectures.ESRGAN import ESRGAN

    net = ESRGAN(num_filters=16, num_blocks=2, scale=4)
    net.model[-1].weight.data *= 20
    net.model[-1].bias.data += 0.5
    return net


def span() -> Any:
    from spandrel.architectures.SPAN import SPAN

    net = SPAN(num_in_ch=3, num_out_ch=3, feature_channels=16, upscale=2, bias=True, norm=True)
    net.upsampler[0].weight.data *= 0.02
    return net


def saved(net: Any, path: Path) -> Path:
    import torch
    from safetensors.torch import save_file

    if path.suffix == ".safetensors":
        save_file({name: values.contiguous() for name, values in net.state_dict().items()}, path)
    else:
        torch.save({"params_ema": net.state_dict()}, path)
    return path


def by_torch(path: Path, image: Any, mask: Any = None) -> np.ndarray:
    """Through spandrel's public call."""
    import spandrel
    import torch

    model = spandrel.ModelLoader().load_from_file(path).eval()
    unit = torch.from_numpy(image.transpose(2, 0, 1)[None].astype(np.float32) / 255)
    hole = [] if mask is None else [torch.from_numpy((mask.transpose(2, 0, 1)[None] > 0).astype(np.float32))]
    with torch.no_grad():
        answer = model(unit, *hole)[0].numpy().transpose(1, 2, 0)
    return np.floor(answer.astype(np.float64) * 255 + 0.5)


async def imported(running: LocalService, path: Path, name: str, **more: Any) -> dict[str, Any]:
    state_dir = running.triton.settings.state_dir.parent
    wanted = Wanted(path, name, state_dir=state_dir, window_px=SIDE, **more)
    return await asyncio.to_thread(run, wanted, print)


@pytest.mark.parametrize(
    ("make", "file", "kind", "scale"),
    [
        (lama, "lama.safetensors", "inpaint", 1),
        (real_esrgan, "RealESRGAN.pth", "upscale", 4),
        (span, "span.pth", "upscale", 2),
    ],
    ids=["LaMa", "RealESRGAN", "SPAN"],
)
async def test_what_is_served_is_what_torch_makes(
    make: Callable[[], Any], file: str, kind: str, scale: int, tmp_path: Path
) -> None:
    import torch

    torch.manual_seed(1)
    path = saved(make(), tmp_path / file)
    async with service(tmp_path / "state") as running:
        told = await imported(running, path, "mine")
        assert (told["kind"], told["scale"], told["served"]) == (kind, scale, True)
        assert all(each["greatest"] <= 1 for each in told["differences"])
        for height, width in ((SIDE, SIDE), (96, 64)):  # a window, and a picture smaller than one
            image = photograph_like(height, width, seed=9)
            inputs = {"image": image} | ({"mask": discs(height, width)} if kind == "inpaint" else {})
            served = await window(running, "mine", scale, **inputs)
            truth = by_torch(path, image, inputs.get("mask"))
            assert np.abs(served - truth).max() <= 1
            assert truth.std() > 5
        async with RetouchClient(running.target) as client:
            (model,) = [each for each in await client.models() if each.name == "mine"]
            assert model.is_ready
            assert len(model.digest) == 64
            picture = photograph_like(200, 180, seed=3)
            if kind == "upscale":
                done = await client.edit_image(picture, None, scale=scale, upscaler="mine")
                assert np.asarray(done).shape == (200 * scale, 180 * scale, 3)
            else:
                mask = np.zeros((200, 180), np.uint8)
                mask[60:100, 60:120] = 255
                done = np.asarray(await client.edit_image(picture, mask, inpaint="patch", text_removal="never"))
                assert (done[mask == 0] == picture[mask == 0]).all()
                assert (done[mask > 0] != picture[mask > 0]).any()
    # It is there when the service starts again.
    async with service(tmp_path / "state") as running:
        assert "mine" in [spec.name for spec in running.app.catalogue.specs]


def test_a_network_that_froze_its_size_is_padded_to_its_window(tmp_path: Path) -> None:
    """Swin transformers compute their masks for the size they see; whichever way it is exported, sizes agree."""
    from spandrel.architectures.SwinIR import SwinIR

    net = SwinIR(upscale=2, img_size=64, window_size=8, depths=[2], embed_dim=12, num_heads=[2], upsampler="pixelshuffledirect")
    path = saved(net, tmp_path / "swin.pth")
    answer = CliRunner().invoke(
        root,
        ["models", "import", str(path), "--name", "swin", "--window-px", "64", "--state-dir", str(tmp_path), "--json"],
    )
    assert answer.exit_code == 0, answer.output
    told = json.loads(answer.stdout)
    assert told["fit"]["window_px"] % told["fit"]["multiple_px"] == 0
    assert told["outcome"] == "not served yet: no service runs on it"
    assert "SwinIR" in (tmp_path / "imported/swin/README.md").read_text()


class Loud:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> Any:
        return print, ("this must not be printed",)


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    torch.save({"state_dict": span().state_dict(), "extra": Loud()}, tmp_path / "evil.pth")
    with pytest.raises(ModelImportError, match=r"holds more than weights.*safetensors"):
        run(Wanted(tmp_path / "evil.pth", "evil", state_dir=tmp_path), lambda step: None)
    assert "this must not be printed" not in capsys.readouterr().out
    assert not (tmp_path / "imported/evil").exists()


def test_what_cannot_be_served_is_told_with_the_reason(tmp_path: Path) -> None:
    import torch
    from spandrel.architectures.SPAN import SPAN

    def refusal(state: Any, name: str = "x.pth", **more: Any) -> str:
        if state is not None:
            torch.save(state, tmp_path / name)
        with pytest.raises(ModelImportError) as caught:
            run(Wanted(tmp_path / name, "x", state_dir=tmp_path, **more), lambda step: None)
        return str(caught.value)

    assert "does not recognise its architecture" in refusal({"layer.weight": torch.zeros(3, 3)})
    three = SPAN(num_in_ch=3, num_out_ch=3, feature_channels=16, upscale=3, bias=True, norm=True)
    assert "enlarges ×3; Retouch serves ×1, ×2 and ×4" in refusal(three.state_dict())
    assert "which is for upscale, not inpaint" in refusal(span().state_dict(), kind="inpaint")
    assert "not a dictionary of weights" in refusal([1, 2])
    (tmp_path / "torn.safetensors").write_bytes(b"\0" * 40)
    assert "cannot be read as weights" in refusal(None, "torn.safetensors")
    torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "script.pt")
    assert "TorchScript archive" in refusal(None, "script.pt")


@pytest.mark.parametrize(("height", "width"), [(8, 8), (7, 10), (16, 9)])
@pytest.mark.parametrize("norm", [None, "ortho"])
def test_the_transform_in_real_numbers_is_torchs(height: int, width: int, norm: str | None) -> None:
    import torch

    from retouch_server.importing import spectrum

    pixels = torch.randn(2, 3, height, width)
    ours, theirs = spectrum.rfft2(pixels, norm=norm), torch.fft.rfft2(pixels, norm=norm)
    torch.testing.assert_close(torch.complex(ours.real, ours.imag), theirs, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(spectrum.irfft2(ours, s=(height, width), norm=norm), pixels, atol=1e-5, rtol=1e-5)
