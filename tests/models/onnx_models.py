"""The repository's ONNX models in this process: found by their configuration, run as Triton runs them."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from retouch_server.models.backend import Array
from retouch_server.models.spec import ModelSpec, parse_spec
from tests.models.conftest import REPOSITORY

DTYPES: dict[int, type[np.generic]] = {
    model_config_pb2.TYPE_UINT8: np.uint8,
    model_config_pb2.TYPE_INT32: np.int32,
    model_config_pb2.TYPE_INT64: np.int64,
    model_config_pb2.TYPE_FP32: np.float32,
}


def config_of(folder: Path) -> Any:
    """The model's configuration, read as Triton reads it."""
    return text_format.Parse((folder / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())


def spec_of(folder: Path) -> ModelSpec:
    """What the planner is told of the model in `folder`."""
    parameters = {key: value.string_value for key, value in config_of(folder).parameters.items()}
    versions = sorted((path.name for path in folder.iterdir() if path.name.isdecimal()), key=int)
    spec = parse_spec(folder.name, parameters, versions=tuple(versions))
    assert spec is not None, folder
    return spec


SPECS = {folder.name: spec_of(folder) for folder in sorted(REPOSITORY.iterdir()) if (folder / "config.pbtxt").is_file()}
NAMES = [name for name in SPECS if config_of(REPOSITORY / name).backend == "onnxruntime"]


class OnnxModel:
    """A model of the repository: named tensors in and out without a batch dimension, as `FakeBackend` takes a function."""

    def __init__(self, name: str) -> None:
        self.spec = SPECS[name]
        config = config_of(REPOSITORY / name)
        self._is_batched = config.max_batch_size > 0
        self._declared = {each.name: each for each in config.input}
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        path = REPOSITORY / name / self.spec.version / (config.default_model_filename or "model.onnx")
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    @property
    def takes_mask(self) -> bool:
        return "mask" in self._declared

    def __call__(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Inputs that are declared but not given are zeros, of the image's size where the configuration leaves it open."""
        sides = iter(inputs["image"].shape[:2] * len(self._declared))
        feed = {
            name: inputs[name]
            if name in inputs
            else np.zeros([size if size > 0 else next(sides) for size in each.dims], DTYPES[each.data_type])
            for name, each in self._declared.items()
        }
        if self._is_batched:
            feed = {name: array[None] for name, array in feed.items()}
        outputs = self._session.run(None, feed)
        names = [each.name for each in self._session.get_outputs()]
        return dict(zip(names, (output[0] for output in outputs) if self._is_batched else outputs, strict=True))


@cache
def onnx_model(name: str) -> OnnxModel:
    """One session for all tests."""
    return OnnxModel(name)
