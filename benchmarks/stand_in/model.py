"""Stands in for a model where not its picture counts but what carries it: each pixel comes back scale × scale times.

`benchmarks.service` puts it behind the configuration of a model of the product, and `wire.py` beside it.
"""

import json

from wire import answered, picture


class TritonPythonModel:
    """`image` uint8 [H, W, 3] → `result` [H · scale, W · scale, 3]; other inputs are not looked at."""

    def initialize(self, args):
        parameters = json.loads(args["model_config"])["parameters"]
        self._scale = int(parameters["retouch.scale"]["string_value"])

    def execute(self, requests):
        return [answered(self._answer, request) for request in requests]

    def _answer(self, request):
        image = picture(request, "image", 3)
        return {"result": image.repeat(self._scale, axis=0).repeat(self._scale, axis=1)}
