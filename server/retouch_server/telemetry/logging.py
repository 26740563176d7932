"""Structured logs: one JSON object a line for machines, a short line for people; both say which edit they are about."""

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TextIO

from retouch_server.telemetry.tracing import trace_id

edit_id: ContextVar[str] = ContextVar("edit_id", default="")
"""The edit being worked on, put in each record. Tasks inherit it; a thread of an executor only with a copied context,
as `asyncio.to_thread` makes."""

_CONTEXT = {"edit_id": edit_id.get, "trace_id": trace_id}
"""What a record is about, by the name of its field; empty where there is none."""

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", *_CONTEXT}


def set_up_logging(level: str = "INFO", *, as_json: bool | None = None, stream: TextIO | None = None) -> None:
    """Send all records of `level` and above to `stream` (default: stderr), replacing the handlers of the root logger.

    JSON unless the stream is a terminal; `as_json` decides otherwise. Errors: ValueError for an unknown level.
    """
    out = sys.stderr if stream is None else stream
    handler = logging.StreamHandler(out)
    handler.addFilter(_add_context)
    handler.setFormatter(JsonFormatter() if as_json or (as_json is None and not out.isatty()) else LineFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)
    logging.getLogger("pyvips").setLevel(logging.WARNING)  # libvips reports each operation at INFO


class JsonFormatter(logging.Formatter):
    """`{"time", "level", "logger", "message", "edit_id"?, "trace_id"?, "exception"?, …extra}` on one line; time in UTC."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name in _CONTEXT:
            if about := getattr(record, name, ""):
                fields[name] = about
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields | _extras(record), default=str, ensure_ascii=False)


class LineFormatter(logging.Formatter):
    """`12:34:56.789 INFO    logger: message [edit] key=value`, and the stack below it."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created).isoformat(" ", "milliseconds")[11:]
        parts = [f"{time} {record.levelname:<7} {record.name}: {record.getMessage()}"]
        if about := getattr(record, "edit_id", ""):
            parts.append(f"[{about}]")
        parts += [f"{key}={value}" for key, value in _extras(record).items()]
        line = " ".join(parts)
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _add_context(record: logging.LogRecord) -> bool:
    for name, current in _CONTEXT.items():
        setattr(record, name, current())
    return True


def _extras(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _OWN}
