"""The processes of Triton's python backend, one for each instance of a model, and which of them died.

tritonserver 2.51 neither restarts a stub nor reports its death: the model stays READY, and each request that meets the dead
instance waits a second and fails with INTERNAL, "Stub process 'NAME_0_0' is not healthy." A stub that ends because its model
is unloaded is reaped at once; one that dies otherwise stays a zombie, and that is how it is told.
"""

import re
from collections.abc import Iterable
from pathlib import Path

_PROC = Path("/proc")


def running_stubs(server_pid: int) -> dict[int, str]:
    """The living stubs of a tritonserver: process id → instance name, as in `upscale_x2_0_1`. Reads all of /proc."""
    found: dict[int, str] = {}
    for entry in _PROC.glob("[0-9]*"):
        state, parent = _state_and_parent(int(entry.name))
        if parent != server_pid or state == "Z":
            continue
        try:
            arguments = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        # stub, model.py, region, default size, growth, parent, backend folder, offset, instance, "DEFAULT"
        if len(arguments) > 8 and arguments[0].endswith("_stub"):
            found[int(entry.name)] = arguments[8]
    return found


def zombies(pids: Iterable[int]) -> set[int]:
    """Those of `pids` that ended and were not reaped."""
    return {pid for pid in pids if _state_and_parent(pid)[0] == "Z"}


def model_of(instance: str, models: Iterable[str]) -> str | None:
    """The model to which an instance belongs; None where its instance group bears a name of its own.

    >>> model_of("upscale_x2_0_1", ["upscale", "upscale_x2"])
    'upscale_x2'
    """
    return next((model for model in models if re.fullmatch(re.escape(model) + r"_\d+_\d+", instance)), None)


def _state_and_parent(pid: int) -> tuple[str, int]:
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return "", 0
    fields = text.rpartition(")")[2].split()  # the name before it may have spaces and parentheses
    return fields[0], int(fields[1])
