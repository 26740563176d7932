"""Triton model inpaint_classical: holes filled from the rest of the window. See exemplar.py, guided.py and README.md."""

from guided import fill_guided
from threads import use_one_blas_thread
from wire import answered, guidance, image_and_mask


class TritonPythonModel:
    """Answers with the window whose pixels under mask > 0 are filled; stateless."""

    def initialize(self, args):
        """Keep to one core; there is nothing to load."""
        use_one_blas_thread()

    def execute(self, requests):
        """One answer per request, in their order. A request at fault, or cancelled, does not touch the others."""
        return [answered(_answer, request) for request in requests]


def _answer(request):
    image, mask = image_and_mask(request)
    guide, guide_px, reference = guidance(request, image)
    return {"result": fill_guided(image, mask, guide, reference, guide_px)}
