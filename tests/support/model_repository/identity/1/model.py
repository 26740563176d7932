"""The model of the laws: gives back the bytes it was given, whatever the shape. For tests and benchmarks only."""

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """`image` uint8 [N, H, W, 3] → `result`, the same bytes."""

    def execute(self, requests):
        # The output tensor takes the input's memory over DLPack: no copy is made in this process.
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor.from_dlpack("result", request.inputs()[0])]) for request in requests
        ]
