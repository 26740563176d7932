"""A checkpoint whose architecture spandrel recognises. Only weights are read: nothing that a pickle says is run."""
# pyright: basic, reportMissingImports=false

from pathlib import Path
from typing import Any

import numpy as np

from retouch_server.importing.source import U8, ModelImportError, Needs, Source, require
from retouch_server.models.spec import Kind
from retouch_server.pipeline.request import SCALES

SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt", ".bin")
INSTALL = "'retouch-server[import]'"

_KINDS = {"SR": Kind.UPSCALE, "Restoration": Kind.UPSCALE, "Inpainting": Kind.INPAINT}
_TO_SAFETENSORS = (
    '; where you trust it, make a safetensors file of it: python -c "import sys, torch, safetensors.torch as s; '
    "s.save_file({k: v.clone().contiguous() for k, v in %s.items()}, 'model.safetensors')\" FILE"
)
_FROM_SCRIPT = "torch.jit.load(sys.argv[1], 'cpu').state_dict()"
_FROM_PICKLE = "torch.load(sys.argv[1], 'cpu', weights_only=False)['state_dict']"


def load_checkpoint(path: Path) -> tuple[Source, Any]:
    """The source, and its torch module from uint8 HWC to uint8 HWC. Errors: ModelImportError, MissingError."""
    require("importing a checkpoint", INSTALL, "torch", "spandrel", "safetensors", "onnx", "onnxruntime")
    import spandrel

    try:
        model = spandrel.ModelLoader().load_from_state_dict(_weights(path))
    except spandrel.UnsupportedModelError as error:
        raise ModelImportError(
            f"{path.name}: spandrel {_version('spandrel')} does not recognise its architecture (it knows "
            f"{', '.join(sorted(each.architecture.id for each in spandrel.MAIN_REGISTRY.architectures()))}); "
            "export it to ONNX yourself and import that file"
        ) from error
    except (RuntimeError, KeyError, ValueError, AssertionError) as error:
        raise ModelImportError(
            f"{path.name}: the weights do not fit the architecture they look like: {_line(error)}"
        ) from error
    return _source(path, model)


def _source(path: Path, model: Any) -> tuple[Source, Any]:
    architecture, purpose = str(model.architecture.name), str(model.purpose)
    if purpose not in _KINDS:
        raise ModelImportError(f"{path.name}: {architecture} is for {purpose}, for which Retouch has no stage")
    if (model.input_channels, model.output_channels) != (3, 3):
        channels = f"{model.input_channels} channels to {model.output_channels}"
        raise ModelImportError(f"{path.name}: this {architecture} goes from {channels}; only RGB to RGB can be served")
    if model.scale not in SCALES:
        raise ModelImportError(f"{path.name}: this {architecture} enlarges ×{model.scale}; Retouch serves ×1, ×2 and ×4")
    wanted = model.size_requirements
    served = _served(model)

    def run(image: U8, mask: U8 | None) -> U8:
        import torch

        with torch.inference_mode():
            pixels = [torch.from_numpy(np.array(each)) for each in (image, mask) if each is not None]
            return served(*pixels).numpy()

    facts = {
        "Architecture": " ".join([architecture, *model.tags]),
        "Purpose": purpose,
        "Parameters": f"{sum(each.numel() for each in model.model.parameters()) / 1e6:.2f} million",
        "Recognised by": f"spandrel {_version('spandrel')}, torch {_version('torch')}",
    }
    needs = Needs(max(1, wanted.minimum), wanted.multiple_of, wanted.square)
    return Source(architecture, _KINDS[purpose], model.scale, needs, run, facts), served


def _served(model: Any) -> Any:
    """The network between 8-bit pixels: what is exported, and what the export is compared with."""
    import torch

    is_masked = str(model.purpose) == "Inpainting"
    # The public call pads and runs in inference mode, neither of which can be traced.
    call = model._call_fn

    class Served(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = model.model

        def forward(self, image: Any, mask: Any = None) -> Any:
            unit = image.permute(2, 0, 1)[None].float() / 255
            if is_masked:
                hole = (mask.permute(2, 0, 1)[None] > 0).float()
                # What is in the hole must not matter, whatever the network itself does about it.
                unit = call(self.network, unit * (1 - hole), hole)
            else:
                unit = call(self.network, unit)
            result = torch.floor(unit.clamp(0, 1) * 255 + 0.5).to(torch.uint8)[0].permute(1, 2, 0)
            return torch.where(mask > 0, result, image) if is_masked else result

    return Served().float().eval()


def _weights(path: Path) -> dict[str, Any]:
    """The state dict. Errors: ModelImportError, with how to convert what cannot be read safely."""
    import pickle

    import torch
    from spandrel import canonicalize_state_dict

    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            weights: Any = load_file(path)
        else:
            weights = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        remedy = _TO_SAFETENSORS % _FROM_PICKLE
        raise ModelImportError(f"{path.name} holds more than weights, which loading it would run{remedy}") from error
    except Exception as error:
        if "TorchScript" in str(error):
            remedy = _TO_SAFETENSORS % _FROM_SCRIPT
            raise ModelImportError(f"{path.name} is a TorchScript archive: a program, not weights{remedy}") from error
        raise ModelImportError(f"{path.name} cannot be read as weights: {_line(error)}") from error
    if not isinstance(weights, dict):
        raise ModelImportError(f"{path.name} holds a {type(weights).__name__}, not a dictionary of weights")
    return canonicalize_state_dict(weights)


def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)


def _line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0][:300] or type(error).__name__
