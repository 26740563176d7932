"""Files that appear complete or not at all."""

import contextlib
import os
import tempfile
from collections.abc import Generator
from pathlib import Path

from retouch.errors import InvalidInputError


@contextlib.contextmanager
def written_atomically(path: Path) -> Generator[Path]:
    """A hidden path beside `path` to write to, with its extension; it takes the place of `path` when the block ends well and
    is removed when it does not. Raises InvalidInputError where the directory cannot be written or the disk is full."""
    partial: Path | None = None
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
        os.close(handle)
        partial = Path(name)
        yield partial
        partial.chmod(_mode(path))
        partial.replace(path)
    except OSError as error:
        raise InvalidInputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)


def _mode(path: Path) -> int:
    """The permissions that a file at `path` has, or would get: temporary files are private, results need not be."""
    if path.exists():
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
