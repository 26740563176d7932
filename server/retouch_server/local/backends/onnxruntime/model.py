# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
"""ONNX Runtime as a python-based Triton backend: what `backend: "onnxruntime"` means where NVIDIA's native one is absent.

Runs in Triton's stub process, with numpy and onnxruntime and nothing of Retouch. It serves `<version>/model.onnx` (or
`default_model_filename`) under the names in the graph, on the CPU. Of `config.pbtxt` it honours `max_batch_size`,
`instance_group` (Triton's doing) and the native backend's parameters `intra_op_thread_count` and `inter_op_thread_count`.

The requests that Triton hands over together and that have equal shapes run as one batch. A group that fails fails alone.

Arrays travel by DLPack, which needs no copy here. `as_numpy()` and `pb_utils.Tensor(name, array)` will not do: the stub of
Triton 2.51 knows the arrays of NumPy 1 only, and with NumPy 2 sends outputs without bytes.
"""

import ctypes
import os
from pathlib import Path

import numpy as np
import onnxruntime as ort
import triton_python_backend_utils as pb_utils
from onnxruntime.capi import onnxruntime_pybind11_state as errors

_rename_capsule = ctypes.pythonapi.PyCapsule_SetName
_rename_capsule.argtypes = [ctypes.py_object, ctypes.c_char_p]

# What onnxruntime raises when the caller's tensors do not suit the graph.
_CALLERS_FAULTS = (errors.InvalidArgument, ValueError)


class TritonPythonModel:
    """One instance of one model."""

    def initialize(self, args):
        config = pb_utils.ModelConfig(args["model_config"]).as_dict()
        file_name = config.get("default_model_filename") or "model.onnx"
        path = Path(args["model_repository"]) / args["model_version"] / file_name
        if not path.is_file():
            raise pb_utils.TritonModelException(f"there is no {path}")
        self._is_batched = config["max_batch_size"] > 0
        self._session = ort.InferenceSession(path, _session_options(config), providers=["CPUExecutionProvider"])
        self._inputs = [tensor.name for tensor in self._session.get_inputs()]
        self._outputs = [tensor.name for tensor in self._session.get_outputs()]
        for kind, in_graph in (("input", self._inputs), ("output", self._outputs)):
            missing = {tensor["name"] for tensor in config[kind]} - set(in_graph)
            if missing:
                raise pb_utils.TritonModelException(
                    f"config.pbtxt names the {kind} {sorted(missing)}, the graph has {in_graph}"
                )

    def execute(self, requests):
        responses = [None] * len(requests)
        groups = {}
        for index, request in enumerate(requests):
            if request.is_cancelled():
                responses[index] = _failure("the request was cancelled", pb_utils.TritonError.CANCELLED)
                continue
            # Views of the memory that Triton shares with this process.
            feed = {tensor.name(): np.from_dlpack(tensor) for tensor in request.inputs()}
            if self._is_batched:
                key = tuple((name, array.shape[1:], array.dtype) for name, array in sorted(feed.items()))
            else:
                key = index
            groups.setdefault(key, []).append((index, feed))
        for group in groups.values():
            try:
                results = self._run([feed for _, feed in group])
            # A response for each request, never one response twice: that crashes tritonserver.
            except _CALLERS_FAULTS as error:
                results = [_failure(str(error), pb_utils.TritonError.INVALID_ARG) for _ in group]
            except Exception as error:
                results = [_failure(f"{type(error).__name__}: {error}", pb_utils.TritonError.INTERNAL) for _ in group]
            for (index, _), result in zip(group, results, strict=True):
                responses[index] = result
        return responses

    def _run(self, feeds):
        """One batch of requests with equal shapes → their responses."""
        if len(feeds) == 1:
            outputs = self._session.run(self._outputs, feeds[0])
            return [_response(self._outputs, outputs)]
        batch = {name: np.concatenate([feed[name] for feed in feeds]) for name in feeds[0]}
        outputs = self._session.run(self._outputs, batch)
        ends = np.cumsum([len(feed[self._inputs[0]]) for feed in feeds])
        parts = [np.split(np.asarray(output), ends[:-1]) for output in outputs]
        return [_response(self._outputs, part) for part in zip(*parts, strict=True)]


def _session_options(config):
    parameters = {name: value["string_value"] for name, value in config.get("parameters", {}).items()}
    instances = sum(group["count"] for group in config.get("instance_group", [])) or 1
    cores = len(os.sched_getaffinity(0))
    options = ort.SessionOptions()
    # Without a word in config.pbtxt the instances share the cores.
    options.intra_op_num_threads = int(parameters.get("intra_op_thread_count", 0)) or max(1, cores // instances)
    options.inter_op_num_threads = int(parameters.get("inter_op_thread_count", 0)) or 1
    # A spinning thread takes a core from whoever prepares the next tile.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options


def _response(names, outputs):
    return pb_utils.InferenceResponse(
        [_tensor(name, np.ascontiguousarray(output)) for name, output in zip(names, outputs, strict=True)]
    )


def _tensor(name, array):
    capsule = array.__dlpack__()
    tensor = pb_utils.Tensor.from_dlpack(name, capsule)
    # The stub leaves a name on the capsule that DLPack does not know, of which NumPy would complain for each tensor.
    _rename_capsule(capsule, b"used_dltensor")
    return tensor


def _failure(message, code):
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))
