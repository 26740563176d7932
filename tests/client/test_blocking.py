"""The facade for threads does what the client does."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from retouch import Accepted, BlockingClient, Done, MaskNotFoundError, TileReady
from retouch.blocking import BlockingMasks
from retouch.masks import Masks
from retouch.testing import FakeServer
from tests.client.served import served_in_thread

IMAGE = np.arange(900 * 800 * 3, dtype=np.uint32).reshape(900, 800, 3).astype(np.uint8)


@pytest.fixture
def served() -> Iterator[FakeServer]:
    with served_in_thread() as fake:
        yield fake


def test_everything_works_without_a_loop(served: FakeServer) -> None:
    with BlockingClient(served.target) as client:
        np.testing.assert_array_equal(client.edit_image(IMAGE), IMAGE)
        call = client.edit(IMAGE, scale=2)
        kinds = [type(event) for event in call]
        assert (kinds[0], kinds[-1]) == (Accepted, Done)
        np.testing.assert_array_equal(call.result(), IMAGE.repeat(2, 0).repeat(2, 1))
        assert call.report.edit_id == "fake-2"
        assert client.health() == "serving"
        assert client.models()[0].name == "inpaint_patch"
        assert client.precheck(IMAGE).plan.output_size.height == 900
        assert client.masks.put("a", IMAGE[:, :, 0]).version == 1
        assert client.masks.get("a").version == client.masks.list("a")[0]
        assert client.masks.suggest(IMAGE).size.width == 800
        with pytest.raises(MaskNotFoundError):
            client.masks.get("b")


def test_leaving_early_cancels(served: FakeServer) -> None:
    with BlockingClient(served.target) as client:
        with client.edit(IMAGE, scale=4) as call:
            for event in call:
                if isinstance(event, TileReady):
                    break
        np.testing.assert_array_equal(client.edit_image(IMAGE), IMAGE)


def test_threads_share_a_client(served: FakeServer) -> None:
    with BlockingClient(served.target) as client:
        results: list[bool] = []
        threads = [
            threading.Thread(
                target=lambda value=value: results.append(bool((client.edit_image(IMAGE + value) == IMAGE + value).all()))
            )
            for value in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == [True] * 3


def test_a_closed_client_says_so_and_leaves_no_thread(served: FakeServer) -> None:
    before = threading.active_count()
    client = BlockingClient(served.target)
    client.close()
    client.close()
    assert threading.active_count() == before
    with pytest.raises(RuntimeError, match="closed"):
        client.health()


def test_the_facade_is_complete() -> None:
    from retouch import BlockingEditCall, EditCall, RetouchClient

    def names(kind: type) -> set[str]:
        return {name for name in dir(kind) if not name.startswith("_")}

    assert names(RetouchClient) | {"masks"} == names(BlockingClient) | {"masks"}
    assert names(Masks) - {"put_packed", "source_of"} == names(BlockingMasks)
    assert {name.removeprefix("a") if name == "aclose" else name for name in names(EditCall)} == names(BlockingEditCall)
