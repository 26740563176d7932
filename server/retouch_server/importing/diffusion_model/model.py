"""Triton model over a diffusers pipeline: the hole filled with what the prompt says. See describe.py and README.md."""

import json
from pathlib import Path

import triton_python_backend_utils as pb_utils
from describe import Describer
from wire import answered, array_of, image_and_mask


class TritonPythonModel:
    """Answers with the window whose pixels under mask > 0 are drawn; stateless."""

    def initialize(self, args):
        """Load the pipeline beside this file, on the GPU that Triton gives, if it gives one."""
        parameters = json.loads(args["model_config"]).get("parameters", {})
        device = f"cuda:{args['model_instance_device_id']}" if args["model_instance_kind"] == "GPU" else "cpu"
        self._describer = Describer(Path(__file__).parent / "pipeline", int(parameters["steps"]["string_value"]), device)

    def execute(self, requests):
        """One answer per request, in their order. A request at fault, or cancelled, does not touch the others."""
        return [answered(self._answer, request) for request in requests]

    def _answer(self, request):
        image, mask = image_and_mask(request)
        prompt, seed = (array_of(pb_utils.get_input_tensor_by_name(request, name)) for name in ("prompt", "seed"))
        text = prompt.tobytes().split(b"\0")[0].decode()
        return {"result": self._describer.fill(image, mask, text, int(seed[0]))}
