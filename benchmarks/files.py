"""`retouch edit` from a file to a file, in a process of its own."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyvips

from benchmarks.photograph import enlarged
from benchmarks.service import peak_bytes
from retouch import Size

_PERIOD_ROWS = 512
_POLL_S = 0.02


def peak_of_file_edit(target: str, size: Size) -> int:
    """Bytes that the client holds at most while a TIFF of `size` goes to the service at `target` and comes back as a TIFF."""
    with tempfile.TemporaryDirectory(prefix="retouch-benchmark-") as folder:
        before, after = Path(folder, "before.tif"), Path(folder, "after.tif")
        _endless(size).write_to_file(str(before))
        command = [sys.executable, "-m", "retouch.cli", "--server", target, "edit", str(before), "-o", str(after)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            peak = 0
            while process.poll() is None:
                peak = max(peak, peak_bytes(process.pid))
                time.sleep(_POLL_S)
            assert process.stderr is not None
            if process.returncode:
                raise subprocess.CalledProcessError(process.returncode, command, stderr=process.stderr.read())
        assert Size(*_size_of(after)) == size
        return peak


def _endless(size: Size) -> pyvips.Image:
    """Rows of the photograph, again and again; made as they are written."""
    band = enlarged(_PERIOD_ROWS, size.width)
    image = pyvips.Image.new_from_memory(band.data, size.width, _PERIOD_ROWS, 3, "uchar")
    return image.replicate(1, -(-size.height // _PERIOD_ROWS)).crop(0, 0, size.width, size.height)


def _size_of(path: Path) -> tuple[int, int]:
    image = pyvips.Image.new_from_file(str(path))
    return image.height, image.width
