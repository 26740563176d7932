"""Triton model text_detect: the PP-OCR detector behind uint8 pixels. See detector.py and README.md."""

from pathlib import Path

from detector import TextDetector
from wire import answered, picture


class TritonPythonModel:
    """Answers with the text probability of every pixel; one ONNX Runtime session of one thread per instance."""

    def initialize(self, args):
        """Load the graph that assembling the repository put beside this file."""
        self._detector = TextDetector(Path(__file__).with_name("model.onnx"))

    def execute(self, requests):
        """One answer per request, in their order. A request at fault, or cancelled, does not touch the others."""
        return [answered(self._answer, request) for request in requests]

    def _answer(self, request):
        return {"result": self._detector.probability(picture(request, "image", 3))}
