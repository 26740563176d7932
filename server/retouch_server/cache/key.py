"""What a result is addressed by: the sha256 of everything that it depends on.

The canonical form of a piece of work is a sequence of bytes that no other one has: each part begins with its kind and its
length, mappings are in the order of their names, and of a dataclass every field is in it, whatever fields there are.
"""

import hashlib
import struct
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from retouch_server.models.spec import ModelSpec

PACKAGE = Path(__file__).parents[1]


def key_of(work: object, spec: ModelSpec) -> bytes:
    """32 bytes that name the result of `work` by the model that `spec` describes: its name, version and digest.

    This code is part of what makes a result, too: replicas of another build have other keys.
    Errors: TypeError for work that has no canonical form.
    """
    digest = hashlib.sha256()
    for part in canonical((build(PACKAGE), spec.name, spec.version, spec.digest, work)):
        digest.update(part)
    return digest.digest()


@cache
def build(package: Path) -> str:
    """Names the code of a package and the libraries that make pixels with it; hex."""
    digest = hashlib.sha256(f"numpy {np.__version__} opencv {cv2.__version__}".encode())
    for path in sorted(package.rglob("*.py")):
        digest.update(hashlib.sha256(path.relative_to(package).as_posix().encode()).digest())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def canonical(value: object) -> Iterator[bytes | memoryview]:
    """The canonical form of a value, in parts. Two values have the same one only where they are equal, types included."""
    match value:
        case bool() | None:
            yield _headed(b"c", repr(value).encode())
        case int():
            yield _headed(b"i", str(value).encode())
        case float():
            yield _headed(b"f", struct.pack("<d", value))
        case str():
            yield _headed(b"s", value.encode())
        case bytes():
            yield _headed(b"b", value)
        case np.dtype():
            yield _headed(b"t", cast("np.dtype[Any]", value).str.encode())
        case type():
            yield _headed(b"t", f"{value.__module__}.{value.__qualname__}".encode())
        case np.ndarray() | np.generic():
            yield from _pixels(np.asarray(cast(NDArray[Any], value)))
        case Mapping():
            named = cast(Mapping[str, object], value)
            yield _headed(b"m", b"", len(named))
            for name in sorted(named):
                yield from canonical(name)
                yield from canonical(named[name])
        case tuple() | list():
            items = cast(tuple[object, ...], value)
            yield _headed(b"l", b"", len(items))
            for item in items:
                yield from canonical(item)
        case _ if is_dataclass(value):
            yield from canonical(type(value))
            yield from canonical({field.name: getattr(value, field.name) for field in fields(value)})
        case _:
            raise TypeError(f"{type(value).__name__} has no canonical form")


def _headed(kind: bytes, content: bytes, length: int | None = None) -> bytes:
    return kind + struct.pack("<Q", len(content) if length is None else length) + content


def _pixels(array: NDArray[Any]) -> Iterator[bytes | memoryview]:
    """Type, shape, and the elements in row-major order; a strided view is copied for that."""
    if array.dtype.hasobject:
        raise TypeError("an array of objects has no canonical form")
    yield _headed(b"a", array.dtype.str.encode())
    yield from canonical(array.shape)
    if array.size:
        yield np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
