"""The proxy: any chunking gives the same, and it is an area average."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from retouch_server.imaging.proxy import MAX_SIDE_PX, ProxyBuilder
from retouch_server.imaging.rows import Pixels


def built(image: Pixels, cuts: list[int]) -> Pixels:
    builder = ProxyBuilder(*image.shape[:2])
    for part in np.split(image, sorted(set(cuts))):
        if part.shape[0]:
            builder.add(part)
    return builder.finish()


@given(
    st.sampled_from([(1, 1), (1, 5000), (5000, 1), (1025, 3), (700, 900), (2049, 2), (40, 3000), (3, 1024)]),
    st.sampled_from([1, 3, 4]),
    st.lists(st.integers(0, 5000), max_size=12),
)
@settings(max_examples=40)
def test_any_chunking_gives_the_same_proxy(size: tuple[int, int], channels: int, cuts: list[int]) -> None:
    image = np.random.default_rng(size[0]).integers(0, 256, (*size, channels), np.uint8)
    whole = built(image, [])
    assert np.array_equal(built(image, [cut for cut in cuts if cut <= size[0]]), whole)
    assert whole.shape[2] == 3
    assert max(whole.shape[:2]) <= MAX_SIDE_PX


def test_a_small_image_is_its_own_proxy() -> None:
    image = np.random.default_rng(0).integers(0, 256, (300, 1024, 4), np.uint8)
    assert np.array_equal(built(image, [100]), image[:, :, :3])
    gray = image[:, :, :1]
    assert np.array_equal(built(gray, []), gray.repeat(3, axis=2))


def test_it_is_an_area_average() -> None:
    image = np.random.default_rng(0).integers(0, 256, (2500, 4000, 3), np.uint8)
    proxy = built(image, [1000, 1001])
    factor = 4
    exact = image.reshape(2500 // factor, factor, 4000 // factor, factor, 3).mean(axis=(1, 3))
    assert proxy.shape == exact.shape
    assert np.abs(proxy - exact).max() <= 0.51


def test_the_last_cells_average_what_is_there_with_the_edge_repeated() -> None:
    image = np.random.default_rng(0).integers(0, 256, (1026, 7, 1), np.uint8)
    padded = np.pad(image, ((0, 0), (0, 1), (0, 0)), "edge")
    exact = padded.reshape(513, 2, 4, 2).mean(axis=(1, 3))
    assert np.abs(built(image, [])[:, :, 0] - exact).max() <= 0.51
