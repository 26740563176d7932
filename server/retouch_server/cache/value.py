"""What is kept of a result: the bytes of its arrays."""

import mmap
from collections.abc import Iterable, Mapping
from math import prod

import numpy as np

from retouch_server.models.backend import Array, Output

Value = bytes | memoryview
"""Read-only; its length is in bytes."""
_OWN_PAGES_BYTES = 256 << 10


def value_of(arrays: Iterable[Array]) -> Value:
    """The elements of arrays, one array after the other: a copy that may be kept.

    A large one lies in pages of its own. On a thread's heap, among the buffers that come and go with each window, those that
    stay would break it up, and each window would be made in new pages.
    """
    parts = [np.ascontiguousarray(array).reshape(-1).view(np.uint8).data for array in arrays]
    nbytes = sum(len(part) for part in parts)
    if nbytes < _OWN_PAGES_BYTES:
        return b"".join(parts)
    # All at once: 192 faults, one for each page of a window, take as long as its key.
    pages = mmap.mmap(-1, nbytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE)
    for part in parts:
        pages.write(part)
    return memoryview(pages).toreadonly()


def pack(outputs: Mapping[str, Array], expected: Mapping[str, Output]) -> Value:
    """The outputs that a call expects, one after the other in the order of their names."""
    return value_of(outputs[name] for name in sorted(expected))


def unpack(value: Value, expected: Mapping[str, Output]) -> dict[str, Array]:
    """What `pack` made `value` of, as read-only views of it."""
    found, at = dict[str, Array](), 0
    for name in sorted(expected):
        found[name] = np.ndarray(expected[name].shape, expected[name].dtype, value, at)
        at += nbytes_of(expected[name])
    return found


def nbytes_of(output: Output) -> int:
    """The length of one output."""
    return prod(output.shape) * np.dtype(output.dtype).itemsize
