"""Log records for machines and for people."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator

import pytest

from retouch_server.telemetry.logging import edit_id, set_up_logging


@pytest.fixture(autouse=True)
def _root_logger() -> Iterator[None]:
    """Leave the root logger as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []
    yield
    root.handlers = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


async def test_json_has_the_edit_of_each_task() -> None:
    stream = io.StringIO()
    set_up_logging("info", stream=stream)
    log = logging.getLogger("retouch.test")

    async def edit(name: str) -> None:
        edit_id.set(name)
        await asyncio.sleep(0)
        log.info("tile %d\nleft", 3, extra={"tile": 3, "rect": (0, 1)})

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(edit("a"))
        tasks.create_task(edit("b"))
    log.debug("unseen")
    log.warning("nobody's")
    records = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [record.get("edit_id") for record in records] == ["a", "b", None]
    assert records[0]["message"] == "tile 3\nleft"
    assert (records[0]["level"], records[0]["logger"], records[0]["tile"]) == ("info", "retouch.test", 3)
    assert records[0]["time"].endswith("+00:00")


def test_exceptions_are_told_on_one_line() -> None:
    stream = io.StringIO()
    set_up_logging(stream=stream)
    try:
        raise ValueError("why")
    except ValueError:
        logging.getLogger("x").exception("failed")
    (line,) = stream.getvalue().splitlines()
    assert "ValueError: why" in json.loads(line)["exception"]


def test_people_get_lines() -> None:
    stream = io.StringIO()
    stream.isatty = lambda: True  # type: ignore[method-assign]
    set_up_logging(stream=stream)
    token = edit_id.set("e1")
    logging.getLogger("x").info("done", extra={"tiles": 4})
    edit_id.reset(token)
    assert stream.getvalue().rstrip().endswith("INFO    x: done [e1] tiles=4")


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="LOUD"):
        set_up_logging("loud", stream=io.StringIO())
