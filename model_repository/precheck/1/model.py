"""Triton model precheck: two scores of a masked region of the proxy. See scores.py and README.md."""

from pathlib import Path

from scores import Precheck
from wire import answered, image_and_mask


class TritonPythonModel:
    """Answers with [text_score, texture_score]; one ONNX Runtime session of one thread per instance."""

    def initialize(self, args):
        """Load the network that lies beside this file."""
        self._precheck = Precheck(Path(__file__).with_name("model.onnx"))

    def execute(self, requests):
        """One answer per request, in their order. A request at fault, or cancelled, does not touch the others."""
        return [answered(self._answer, request) for request in requests]

    def _answer(self, request):
        return {"scores": self._precheck.scores(*image_and_mask(request))}
