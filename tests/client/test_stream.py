"""The stream of an edit: its grammar, its order, its end."""

import asyncio

import numpy as np
import pytest

from retouch import (
    Accepted,
    CancelledByServerError,
    DeadlineError,
    Done,
    InvalidInputError,
    Progress,
    ProtocolError,
    RetouchClient,
    TileReady,
    Uploaded,
)
from retouch.assembly import Coverage
from retouch.geometry import Rect, Size
from retouch.testing import Code, FakeServer, Fault, Lie

IMAGE = np.arange(900 * 800 * 3, dtype=np.uint32).reshape(900, 800, 3).astype(np.uint8)


async def test_events_come_in_the_promised_order_and_the_tiles_are_the_result(client: RetouchClient) -> None:
    call = client.edit(IMAGE, scale=2, seed=7)
    built = np.zeros((1800, 1600, 3), np.uint8)
    kinds: list[type] = []
    async for event in call:
        kinds.append(type(event))
        if isinstance(event, TileReady):
            built[event.rect.y : event.rect.bottom, event.rect.x : event.rect.right] = event.pixels
    assert kinds[0] is Accepted
    assert kinds[-1] is Done
    assert set(kinds[1:-1]) == {TileReady, Progress, Uploaded}
    np.testing.assert_array_equal(built, await call.result())
    assert call.report.seed == 7


async def test_the_result_can_be_asked_for_in_the_middle_of_an_iteration(client: RetouchClient) -> None:
    call = client.edit(IMAGE)
    async for _ in call:
        break
    np.testing.assert_array_equal(await call.result(), IMAGE)


async def test_an_edit_is_iterated_once_and_reports_when_complete(client: RetouchClient) -> None:
    call = client.edit(IMAGE)
    with pytest.raises(RuntimeError, match="not complete"):
        _ = call.report
    await call
    with pytest.raises(RuntimeError, match="once"):
        aiter(call)


@pytest.mark.parametrize(
    "kind", ["gap", "overlap", "outside", "short_data", "wrong_size", "no_accepted", "no_done", "message_after_done"]
)
async def test_a_server_that_breaks_the_contract_is_caught(kind: str, client: RetouchClient, fake: FakeServer) -> None:
    fake.script(Lie(kind))  # type: ignore[arg-type]
    with pytest.raises(ProtocolError):
        await client.edit(IMAGE, IMAGE[:, :, 0], with_proxy=False)  # so that both sides speak at once
    np.testing.assert_array_equal(await client.edit_image(IMAGE), IMAGE)


async def test_a_missing_end_is_noticed(client: RetouchClient, fake: FakeServer) -> None:
    fake.script(Fault(Code.DATA_LOSS, after_tiles=1))
    call = client.edit(IMAGE)
    with pytest.raises(Exception, match="scripted"):
        await call
    with pytest.raises(RuntimeError, match="failed"):
        await call.result()


async def test_leaving_early_cancels_the_edit_on_the_server(client: RetouchClient, fake: FakeServer) -> None:
    async with client.edit(IMAGE, scale=4) as call:
        async for event in call:
            if isinstance(event, TileReady):
                break
    await fake.was_left.wait()
    np.testing.assert_array_equal(await client.edit_image(IMAGE), IMAGE)


async def test_cancelling_the_task_cancels_the_edit_and_leaves_no_task_behind(client: RetouchClient, fake: FakeServer) -> None:
    has_tile = asyncio.Event()

    async def consume() -> None:
        async with client.edit(IMAGE, scale=4) as call:
            async for event in call:
                if isinstance(event, TileReady):
                    has_tile.set()
                    await asyncio.Event().wait()

    before = asyncio.all_tasks()
    task = asyncio.create_task(consume())
    await has_tile.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await fake.was_left.wait()
    assert {
        each for each in asyncio.all_tasks() - before if "retouch" in repr(each.get_coro()) and "fake" not in repr(each)
    } == set()


async def test_a_consumer_that_stops_stops_the_server(client: RetouchClient, fake: FakeServer) -> None:
    """16 times the pixels come out: the flow control windows fill long before the end, and nothing is read ahead."""
    image = np.tile(IMAGE, (2, 2, 1))
    async with client.edit(image, scale=4) as call:
        events = aiter(call)
        while not isinstance(await anext(events), TileReady):
            pass
        sent_before = -1
        while fake.tiles_sent != sent_before:
            sent_before = fake.tiles_sent
            for _ in range(2000):
                await asyncio.sleep(0)
        assert fake.tiles_sent < 100 < image.nbytes * 16 / (640 << 10)


async def test_pixels_wait_for_accepted_when_there_is_a_proxy(client: RetouchClient, fake: FakeServer) -> None:
    fake.script(Fault(Code.INVALID_ARGUMENT, "BAD_FIELD"))
    with pytest.raises(Exception, match="scripted"):
        await client.edit_image(IMAGE)
    assert fake.tiles_received == 0


async def test_without_a_proxy_pixels_come_at_once(client: RetouchClient, fake: FakeServer) -> None:
    fake.accepts_after_pixels = True
    np.testing.assert_array_equal(await client.edit(IMAGE, IMAGE[:, :, 0], with_proxy=False), IMAGE)
    assert not fake.opened[0].HasField("proxy")


async def test_a_cancelled_status_is_an_error_and_no_cancellation(client: RetouchClient, fake: FakeServer) -> None:
    fake.script(Fault(Code.CANCELLED))
    with pytest.raises(CancelledByServerError):
        await client.edit_image(IMAGE)


async def test_the_deadline_is_the_servers_too(client: RetouchClient, fake: FakeServer) -> None:
    fake.is_stalled = True
    with pytest.raises(DeadlineError):
        await client.edit_image(IMAGE, timeout_s=0.2)


async def test_options_and_token_travel(fake: FakeServer) -> None:
    async with RetouchClient(fake.target, token="s3cret") as client:
        await client.edit_image(
            IMAGE,
            scale=2,
            text_removal="never",
            inpaint="patch",
            criticality="commerce",
            upscaler="upscale_conservative_x2",
            seed=2**64 - 1,
            prompt="wooden table",
        )
    options = fake.opened[0].options
    assert (options.scale, options.text_removal, options.inpaint, options.criticality) == (2, 3, 3, 3)
    assert (options.upscaler, options.seed, options.prompt) == ("upscale_conservative_x2", 2**64 - 1, "wooden table")
    assert fake.tokens == ["Bearer s3cret"]


@pytest.mark.parametrize(
    "fields",
    [{"scale": 3}, {"text_removal": "maybe"}, {"inpaint": "x"}, {"criticality": ""}, {"seed": -1}, {"prompt": "x" * 1001}],
)
def test_options_outside_their_limits_are_refused_here(fields: dict[str, object]) -> None:
    from retouch import EditOptions

    with pytest.raises(InvalidInputError, match=next(iter(fields))):
        EditOptions(**fields)  # type: ignore[arg-type]


async def test_the_proxy_keeps_to_its_limits(client: RetouchClient, fake: FakeServer, rng: np.random.Generator) -> None:
    import io

    from PIL import Image

    for height, width in ((1, 1), (1024, 1024), (1025, 3), (3000, 2000), (1, 5000)):
        noise = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        await client.edit_image(noise, text_removal="always")
        data = fake.opened[-1].proxy.data
        proxy = Image.open(io.BytesIO(data))
        assert len(data) <= 512 << 10
        assert max(proxy.size) <= 1024
        assert max(proxy.size) == min(1024, max(height, width))
        assert fake.opened[-1].ByteSize() < 1 << 20


async def test_the_proxy_is_the_area_average(client: RetouchClient, fake: FakeServer) -> None:
    import io

    from PIL import Image

    checkered = (np.indices((2048, 512)).sum(0) % 2 * 255).astype(np.uint8)
    await client.edit_image(checkered, text_removal="always")
    proxy = np.asarray(Image.open(io.BytesIO(fake.opened[0].proxy.data)))
    assert proxy.shape == (1024, 256)
    assert set(np.unique(proxy)) <= {127, 128}


def test_coverage_takes_rows_of_pieces_and_nothing_else() -> None:
    def seen(*rects: Rect) -> Coverage:
        coverage = Coverage(Size(4, 6))
        for rect in rects:
            coverage.add(rect)
        return coverage

    seen(Rect(0, 0, 2, 3), Rect(0, 3, 2, 3), Rect(2, 0, 2, 6)).finish()
    for wrong in (
        [Rect(0, 0, 0, 6)],
        [Rect(0, 0, 5, 6)],
        [Rect(0, 0, 4, 7)],
        [Rect(1, 0, 1, 6)],
        [Rect(0, 1, 1, 5)],
        [Rect(0, 0, 2, 3), Rect(0, 3, 1, 3)],
        [Rect(0, 0, 2, 6), Rect(1, 0, 2, 6)],
    ):
        with pytest.raises(ProtocolError):
            seen(*wrong)
    with pytest.raises(ProtocolError, match=r"rows \[0, 2\)"):
        seen(Rect(0, 0, 2, 6)).finish()
