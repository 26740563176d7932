"""The models as an image serves them, for a device: `python place_models.py cpu|gpu SOURCE TARGET`.

As they stand in the repository they run on CPU. For a GPU, ONNX models of NVIDIA's native backend get an instance there,
batch windows of different edits, and are warmed up before the server calls itself ready, for the first call after a start
takes seconds. Models of the python backend are OpenCV and small networks, and stay on CPU.
"""

import re
import shutil
import sys
from pathlib import Path

_INSTANCES = re.compile(r"^instance_group \[.*?^\]\n", re.MULTILINE | re.DOTALL)
_CPU_THREADS = re.compile(r'^parameters \{ key: "intra_op_thread_count".*\n', re.MULTILINE)
_COMMENTS = re.compile(r"^#.*\n", re.MULTILINE)


def for_gpu(config: str) -> str:
    """A config.pbtxt for one GPU; unchanged unless its backend is onnxruntime. Errors: ValueError."""
    if 'backend: "onnxruntime"' not in config:
        return config
    window = re.search(r'"retouch.window_px" value \{ string_value: "(\d+)"', config)
    if window is None or len(_INSTANCES.findall(config)) != 1:
        raise ValueError("expected a retouch.window_px and one instance_group")
    side = window[1]
    config = _CPU_THREADS.sub("", _INSTANCES.sub("", _COMMENTS.sub("", config)))
    return config + (
        "instance_group [ { count: 1 kind: KIND_GPU } ]\n"
        "dynamic_batching { max_queue_delay_microseconds: 2000 }\n"
        'model_warmup [ { name: "window" batch_size: 1 inputs { key: "image" value: {'
        f" data_type: TYPE_UINT8 dims: [ {side}, {side}, 3 ] zero_data: true }} }} }} ]\n"
    )


def main(device: str, source: Path, target: Path) -> None:
    shutil.copytree(source, target)
    if device == "gpu":
        for config in target.glob("*/config.pbtxt"):
            config.write_text(for_gpu(config.read_text()))


if __name__ == "__main__":
    device, source, target = sys.argv[1:]
    if device not in ("cpu", "gpu"):
        sys.exit(f"device {device!r}: choose cpu or gpu")
    main(device, Path(source), Path(target))
