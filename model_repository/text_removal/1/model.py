"""Triton model text_removal: strokes of overlay text found and filled. See removal.py, strokes.py and README.md."""

import json
from pathlib import Path

from removal import remove_text
from strokes import StrokeFinder
from wire import answered, called, image_and_mask


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
            return called(request, self._detect_model, image=picture)

        def fill(picture, hole):
            return called(request, self._fill_model, image=picture, mask=hole)

        removal = remove_text(image, mask, detect, self._find, fill)
        return {"result": removal.result, "strokes": removal.strokes}
