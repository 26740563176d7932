"""Whether this machine has what the local runtime needs: what `retouch doctor` prints.

Each check looks at one thing and changes nothing. A check that is not ok says what to do about it.
"""

import importlib.util
import os
import platform
import shutil
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from retouch_server.local.launch import HOST
from retouch_server.local.repository import RepositoryError, default_source, read_source
from retouch_server.local.runtime import MissingError, locate_triton
from retouch_server.local.shm import FOLDER

_NEEDED_GLIBC = (2, 35)
_NEEDED_SHM_BYTES = 512 * 2**20
_NEEDED_MEMORY_BYTES = 2 * 2**30
_MIB = 2**20


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, whether it will do, what was found, and what to do where it will not (empty when ok)."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""

    def __post_init__(self) -> None:
        if self.ok:
            object.__setattr__(self, "remedy", "")


def checks(sources: Sequence[Path] | None = None) -> list[Check]:
    """Every check, in the order in which to repair. `sources`: the repositories to serve; default: the product's own."""
    return [
        _python(),
        _platform(),
        _glibc(),
        _satisfied("tritonserver", lambda: str(locate_triton().server)),
        _satisfied("python backend", _stub_detail),
        _onnxruntime(),
        _satisfied("model repository", lambda: _repository_detail(sources)),
        _shared_memory(),
        _memory(),
        _ports(),
    ]


def _python() -> Check:
    ok = (3, 11) <= sys.version_info < (3, 14) and sys.implementation.name == "cpython"
    return Check("python", ok, f"{platform.python_implementation()} {platform.python_version()}", "use CPython 3.11 to 3.13")


def _platform() -> Check:
    system, machine = platform.system(), platform.machine()
    ok = (system, machine) == ("Linux", "x86_64")
    return Check("platform", ok, f"{system} {machine}", "Triton's wheel is for Linux on x86-64; elsewhere use its container")


def _glibc() -> Check:
    name, version = platform.libc_ver()
    ok = name == "glibc" and tuple(int(part) for part in version.split(".")[:2]) >= _NEEDED_GLIBC
    remedy = "glibc 2.35 or newer is needed: Debian 12, Ubuntu 22.04, RHEL 10 or later; elsewhere use Triton's container"
    return Check("glibc", ok, f"{name or 'another libc'} {version}".strip(), remedy)


def _stub_detail() -> str:
    files = locate_triton()
    files.check_stub()
    return str(files.stub)


def _onnxruntime() -> Check:
    # Found and not imported: it takes half a second, and the server itself has no need of it.
    found = importlib.util.find_spec("onnxruntime")
    detail = str(Path(found.origin).parent) if found and found.origin else "not installed"
    return Check("onnxruntime", found is not None, detail, "pip install 'retouch-server[triton]'")


def _repository_detail(sources: Sequence[Path] | None) -> str:
    # Reading a source finds the files that come out of wheels and compares their sha256.
    names = [model.name for source in sources or [default_source()] for model in read_source(source)]
    return f"{len(names)} models: {', '.join(names)}"


def _shared_memory() -> Check:
    remedy = "start the container with --shm-size=1g, or mount a larger tmpfs on /dev/shm"
    if not os.access(FOLDER, os.W_OK | os.X_OK):
        return Check("shared memory", False, f"{FOLDER} cannot be written", remedy)
    free = shutil.disk_usage(FOLDER).free
    return Check("shared memory", free >= _NEEDED_SHM_BYTES, f"{free // _MIB} MiB free in {FOLDER}", remedy)


def _memory() -> Check:
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    free = int(fields["MemAvailable"].split()[0]) * 1024
    remedy = "the product's models want 2 GiB; serve fewer of them, or give the machine more"
    return Check("memory", free >= _NEEDED_MEMORY_BYTES, f"{free // _MIB} MiB available", remedy)


def _ports() -> Check:
    try:
        with socket.socket() as listener:
            listener.bind((HOST, 0))
    except OSError as error:
        return Check("loopback", False, f"no port on {HOST}: {error}", "allow this user to listen on the loopback address")
    return Check("loopback", True, f"ports can be had on {HOST}")


def _satisfied(name: str, look: Callable[[], str]) -> Check:
    """A check that finds something, or raises an error which says what to do."""
    try:
        return Check(name, True, look())
    except (MissingError, RepositoryError) as error:
        return Check(name, False, "cannot be used", str(error))
    except OSError as error:
        return Check(name, False, str(error), "repair the installation: `make setup`")
