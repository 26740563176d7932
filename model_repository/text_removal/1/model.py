"""Triton model text_removal: strokes of overlay text found and filled. See removal.py, strokes.py and README.md."""

import json
from pathlib import Path

import triton_python_backend_utils as pb_utils
from removal import remove_text
from strokes import StrokeFinder
from wire import answered, array_of, image_and_mask, tensor_of


class TritonPythonModel:
    """Composes two other models inside Triton (business logic scripting): a detector, and an inpainter for the strokes.

    Both are named in config.pbtxt (detect_model, fill_model), so that a learned fill needs no change here. Neither calls
    back, so waiting for them cannot deadlock.
    """

    def initialize(self, args):
        """Read the names of the models to call; load the networks that lie beside this file."""
        parameters = json.loads(args["model_config"])["parameters"]
        self._detect_model = parameters["detect_model"]["string_value"]
        self._fill_model = parameters["fill_model"]["string_value"]
        self._find = StrokeFinder(Path(__file__).parent)

    def execute(self, requests):
        """One answer per request, in their order. A request at fault, or cancelled, does not touch the others."""
        return [answered(self._answer, request) for request in requests]

    def _answer(self, request):
        image, mask = image_and_mask(request)

        def detect(picture):
            return _called(request, self._detect_model, image=picture)

        def fill(picture, hole):
            return _called(request, self._fill_model, image=picture, mask=hole)

        removal = remove_text(image, mask, detect, self._find, fill)
        return {"result": removal.result, "strokes": removal.strokes}


def _called(request, model, **pictures):
    """The output `result` of another model of this server. Raises TritonModelException where it fails."""
    if request.is_cancelled():
        raise pb_utils.TritonModelException(f"cancelled before {model} was called")
    call = pb_utils.InferenceRequest(
        model_name=model,
        requested_output_names=["result"],
        inputs=[tensor_of(name, pixels) for name, pixels in pictures.items()],
        # A learned fill may run on a GPU; its answer is wanted in main memory.
        preferred_memory=pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU, 0),
    )
    response = call.exec()
    if response.has_error():
        raise pb_utils.TritonModelException(f"{model}: {response.error().message()}")
    return array_of(pb_utils.get_output_tensor_by_name(response, "result"))
