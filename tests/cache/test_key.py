"""The canonical form: equal for equal calls, and for no other two."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from retouch_server.cache.key import PACKAGE, build, canonical, key_of
from retouch_server.models.backend import Call, Output
from retouch_server.models.spec import Kind, ModelSpec

SPEC = ModelSpec("fill", Kind.INPAINT, "patch", versions=("1",), digest="d1", is_deterministic=True)
IMAGE = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
CALL = Call("fill", {"image": IMAGE, "mask": IMAGE[:, :, :1]}, {"result": Output((4, 5, 3), np.uint8)})


def form(value: object) -> bytes:
    return b"".join(canonical(value))


def equal(a: Any, b: Any) -> bool:
    """Equality with types: 1 is not 1.0 nor True, and an array is not its reshaped self."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[name], b[name]) for name in a)
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


small_arrays = arrays.arrays(
    st.sampled_from([np.uint8, np.int8, np.int32]),
    arrays.array_shapes(min_dims=0, max_dims=3, max_side=2),
    elements=st.integers(0, 2),
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-2, 2), st.sampled_from([0.0, 1.0]), st.text("ab\0", max_size=2))
    | st.binary(max_size=2)
    | small_arrays,
    lambda inner: st.one_of(
        st.tuples(inner), st.tuples(inner, inner), st.dictionaries(st.text("ab", max_size=2), inner, max_size=2)
    ),
    max_leaves=4,
)


@settings(max_examples=300)
@given(values, values)
def test_two_values_have_one_form_only_where_they_are_equal(a: object, b: object) -> None:
    assert (form(a) == form(b)) == equal(a, b)


@settings(max_examples=100)
@given(st.lists(values, max_size=3), st.lists(values, max_size=3))
def test_no_form_is_the_beginning_of_another(a: list[object], b: list[object]) -> None:
    """So that what follows one another cannot be taken apart in two ways."""
    joined_a, joined_b = b"".join(map(form, a)), b"".join(map(form, b))
    assert (joined_a == joined_b) == equal(tuple(a), tuple(b))


CHANGES: dict[str, list[Any]] = {
    "model": ["other"],
    "inputs": [
        {"image": IMAGE},
        {"image": IMAGE, "mask": IMAGE[:, :, 1:2]},
        {"image": IMAGE, "mask": IMAGE[:, :, 0]},
        {"image": IMAGE.astype(np.int16), "mask": IMAGE[:, :, :1]},
        {"image": IMAGE.reshape(5, 4, 3), "mask": IMAGE[:, :, :1]},
        {"image": IMAGE, "mask": IMAGE[:, :, :1], "seed": np.array([0], np.int64)},
        {"image": IMAGE, "guide": IMAGE[:, :, :1]},
    ],
    "outputs": [
        {"result": Output((4, 5, 3), np.float32)},
        {"result": Output((8, 10, 3), np.uint8)},
        {"scores": Output((4, 5, 3), np.uint8)},
    ],
}


def test_everything_that_a_call_carries_is_in_its_key() -> None:
    """Whoever adds a field to Call says here how it differs."""
    assert set(CHANGES) == {field.name for field in fields(Call)}
    others = [replace(CALL, **{name: value}) for name, changed in CHANGES.items() for value in changed]
    specs = [replace(SPEC, digest="d2"), replace(SPEC, versions=("1", "2")), replace(SPEC, name="other")]
    keys = [key_of(call, SPEC) for call in (CALL, *others)] + [key_of(CALL, spec) for spec in specs]
    assert len(set(keys)) == len(keys)
    assert {len(key) for key in keys} == {32}


def test_the_same_pixels_have_the_same_key_however_they_lie_in_memory() -> None:
    wide = np.zeros((4, 9, 3), np.uint8)
    wide[:, 2:7] = IMAGE
    views = [IMAGE.copy(), np.asfortranarray(IMAGE), wide[:, 2:7], IMAGE[::-1].copy()[::-1]]
    keys = {key_of(replace(CALL, inputs={"mask": IMAGE[:, :, :1].copy(), "image": view}), SPEC) for view in views}
    assert keys == {key_of(CALL, SPEC)}
    gray = np.broadcast_to(IMAGE[:, :, :1], (4, 5, 3))
    assert form(gray) == form(np.ascontiguousarray(gray))


@settings(max_examples=50)
@given(st.integers(0, 59), st.integers(1, 255))
def test_one_pixel_is_enough(at: int, change: int) -> None:
    touched = IMAGE.copy()
    touched.flat[at] ^= change
    assert key_of(replace(CALL, inputs={**CALL.inputs, "image": touched}), SPEC) != key_of(CALL, SPEC)


def test_another_build_has_other_keys(tmp_path: Path) -> None:
    """Whatever of the code changes; nothing else."""
    packages = [tmp_path / name for name in "abcd"]
    for package in packages:
        (package / "room").mkdir(parents=True)
        (package / "room/blend.py").write_text("WIDTH = 1")
    (packages[1] / "room/blend.py").write_text("WIDTH = 2")
    (packages[2] / "room/blend.py").rename(packages[2] / "room/mix.py")
    (packages[3] / "room/notes.txt").write_text("nothing that runs")
    first, changed, renamed, same = (build(package) for package in packages)
    assert len({first, changed, renamed}) == 3
    assert same == first
    assert build(PACKAGE) == build(PACKAGE) != first


def test_what_has_no_form_is_refused() -> None:
    @dataclass
    class Known:
        x: int

    assert form(Known(1)) != form({"x": 1})
    for value in (object(), np.array([object()]), {1, 2}):
        with pytest.raises(TypeError, match="canonical form"):
            form(value)
