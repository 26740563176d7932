"""Liveness of a Triton container: exit code 1 once tritonserver does not answer, or a model's python process has died.

Triton neither restarts such a process nor says so: both of its health endpoints go on answering 200, and every window that
meets the dead instance fails (triton-inference-server/server issues 7230 and 8604). It stays a zombie of tritonserver's,
and that is how it is told. Standard library only: it runs with whatever Python the image has.
"""

import sys
import urllib.request
from pathlib import Path

URL = "http://127.0.0.1:8000/v2/health/live"
_COMMAND = "triton_python_backend_stub"[:15]  # what the kernel keeps of a name


def dead_stubs(proc: Path) -> list[str]:
    """Process ids of python backend processes that ended and that tritonserver did not reap."""
    found: list[str] = []
    for place in proc.glob("[0-9]*/stat"):
        try:
            command, state = place.read_text().partition("(")[2].rsplit(")", 1)
        except (OSError, ValueError):
            continue  # it ended while we looked
        if command == _COMMAND and state.split()[0] == "Z":
            found.append(place.parent.name)
    return found


def main(url: str = URL, proc: Path = Path("/proc")) -> int:
    if dead := dead_stubs(proc):
        print(f"processes of the python backend died: {', '.join(dead)}")
        return 1
    try:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=4).close()
    except OSError as error:
        print(f"tritonserver does not answer: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
