"""Triton model precheck: two scores of a masked region of the proxy. See scores.py and README.md."""

from scores import scores
from wire import answered, image_and_mask


class TritonPythonModel:
    """Answers with [text_score, texture_score]; stateless."""

    def execute(self, requests):
        """One answer per request, in their order. A request at fault, or cancelled, does not touch the others."""
        return [answered(_answer, request) for request in requests]


def _answer(request):
    return {"scores": scores(*image_and_mask(request))}
