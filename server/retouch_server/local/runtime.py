"""The files of the wheels that carry Triton, and the environment in which its binary runs.

`nvidia-pytriton` is used for what is in it: the real `tritonserver`, its python backend and a stub for each CPython. Its
Python package is never imported.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
STUB = "triton_python_backend_stub"
BACKENDS = Path(__file__).parent / "backends"


class MissingError(Exception):
    """Something has to be installed on this machine; the message says what, and how."""


@dataclass(frozen=True, slots=True)
class TritonFiles:
    """What `nvidia-pytriton` brings, as absolute paths."""

    server: Path  # the tritonserver binary
    python_backend: Path  # the folder with libtriton_python.so
    stub: Path  # the python backend's process for this interpreter
    libraries: Path  # shared objects that server and stub link

    def make_backends(self, folder: Path) -> None:
        """Make `folder` a Triton backend directory: `python`, and `onnxruntime` of our own.

        Copies, for Triton refuses a backend's library that is a link; each replaces the former in one step, so that a
        tritonserver that runs from the same folder is not disturbed.
        """
        for source in self.python_backend.iterdir():
            if source.is_file():
                _copy(source, folder / "python" / source.name)
        _copy(self.stub, folder / "python" / STUB, mode=0o755)
        _copy(BACKENDS / "onnxruntime" / "model.py", folder / "onnxruntime" / "model.py")

    def environment(self) -> dict[str, str]:
        """This process's environment, with what tritonserver and the stub look up in it.

        The stub is an isolated interpreter: it ignores PYTHONPATH and finds site-packages through the `python3` that comes
        first in PATH. A variable that would give it another standard library is taken away.
        """
        environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "PYTHONPATH")}
        libraries = [str(Path(sys.base_prefix) / "lib"), str(self.libraries), environment.get("LD_LIBRARY_PATH", "")]
        environment["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, libraries))
        environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", os.defpath)])
        return environment

    def check_stub(self) -> None:
        """Raise MissingError where the stub cannot be loaded; the usual cause is an interpreter without libpython."""
        # Without arguments it does nothing, but the loader has to find every library first.
        run = subprocess.run([self.stub], env=self.environment(), capture_output=True, text=True, timeout=30, check=False)
        if "error while loading shared libraries" not in run.stderr:
            return
        detail = run.stderr.split("shared libraries: ", 1)[1].strip()
        if "libpython" not in detail:
            raise MissingError(f"{self.stub} does not load: {detail}")
        raise MissingError(
            f"{detail}. Triton's python backend needs the interpreter as a shared library: on Debian and Ubuntu "
            f"`apt-get install libpython{PYTHON}`; with pyenv `PYTHON_CONFIGURE_OPTS=--enable-shared pyenv install "
            f"{PYTHON}`; uv's interpreters and the official images have it"
        )


def locate_triton() -> TritonFiles:
    """Where `nvidia-pytriton` is installed. Raises MissingError where it, or its stub for this interpreter, is not."""
    triton = package_folder("pytriton", "nvidia-pytriton") / "tritonserver"
    files = TritonFiles(
        server=triton / "bin" / "tritonserver",
        python_backend=triton / "backends" / "python",
        stub=triton / "python_backend_stubs" / PYTHON / STUB,
        libraries=triton.parent.parent / "nvidia_pytriton.libs",
    )
    if not files.stub.is_file():
        raise MissingError(f"nvidia-pytriton has no python backend for Python {PYTHON} ({files.stub}); use 3.11 to 3.13")
    for path in (files.server, files.python_backend, files.libraries):
        if not path.exists():
            raise MissingError(f"{path} is missing: {_remedy('nvidia-pytriton')}")
    return files


def file_in_wheel(package: str, path: str) -> Path:
    """A file of an installed package, which is not imported. Raises MissingError."""
    found = package_folder(package, package) / path
    if not found.is_file():
        raise MissingError(f"the installed {package} has no {path}: {_remedy(package)}")
    return found


def package_folder(package: str, distribution: str) -> Path:
    """The folder of an installed top-level package, which is not imported. Raises MissingError."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise MissingError(f"the wheel {distribution} is not installed: {_remedy(distribution)}")
    return Path(spec.origin).parent


def _remedy(distribution: str) -> str:
    return f"`pip install --no-deps {distribution}`, in the version of requirements/no-deps.txt"


def _copy(source: Path, place: Path, mode: int = 0o644) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    fresh = place.with_name(f".{place.name}.{os.getpid()}")
    shutil.copyfile(source, fresh)
    fresh.chmod(mode)
    fresh.replace(place)
