"""What every command shares: the connection, where output goes, and how errors are told."""

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast

import click
from rich.console import Console

import retouch
from retouch.cli.exits import INTERRUPTED, TERMINATED, exit_for

T = TypeVar("T")
PIPE_WIDTH = 1000


@dataclass(frozen=True, slots=True)
class Session:
    """The global options, and the two consoles: results on stdout, all else on stderr."""

    server: str
    token: str | None
    tls: retouch.Tls | None
    is_json: bool

    @property
    def out(self) -> Console:
        """For results; in a pipe nothing is cut to a terminal's width."""
        width = None if sys.stdout.isatty() else PIPE_WIDTH
        return Console(file=sys.stdout, highlight=False, soft_wrap=True, width=width)

    @property
    def err(self) -> Console:
        """For progress, warnings and errors."""
        return Console(file=sys.stderr, highlight=False, soft_wrap=True)

    def run(self, work: Callable[[retouch.RetouchClient], Awaitable[T]]) -> T:
        """The result of `work` with a client. Errors end the command with their exit code, and so do SIGINT and SIGTERM, once
        what was begun is tidied up."""

        async def connected() -> T:
            task = asyncio.current_task()
            assert task is not None
            with contextlib.suppress(NotImplementedError):  # Windows has no SIGTERM
                asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
            async with retouch.RetouchClient(self.server, token=self.token, tls=self.tls) as client:
                return await work(client)

        try:
            return asyncio.run(connected())
        except KeyboardInterrupt:
            self.err.print("interrupted; nothing was written")
            sys.exit(INTERRUPTED)
        except asyncio.CancelledError:
            self.err.print("told to end; nothing was written")
            sys.exit(TERMINATED)
        except retouch.RetouchError as error:
            self.fail(error)

    def fail(self, error: retouch.RetouchError) -> NoReturn:
        """Tells an error, as JSON on stdout where that was asked for, and ends the command."""
        ending = exit_for(error)
        if self.is_json:
            self.answer({"error": error_document(error, ending.code)})
        self.err.print(f"[bold red]error:[/] {escaped(message(error, self.server))}")
        for violation in error.field_violations if isinstance(error, retouch.ServiceError) else ():
            self.err.print(f"  field: {escaped(violation.field)}: {escaped(violation.description)}")
        if isinstance(error, retouch.ServiceError) and error.edit_id:
            self.err.print(f"  edit: {escaped(error.edit_id)}")
        if ending.remedy:
            self.err.print(f"  [dim]→[/] {escaped(ending.remedy)}")
        sys.exit(ending.code)

    def answer(self, document: object) -> None:
        """Writes the one JSON document of `--json`."""
        click.echo(as_json(document))

    def warn(self, warnings: tuple[str, ...]) -> None:
        """Warnings for people; in JSON they are part of the document."""
        for warning in warnings if not self.is_json else ():
            self.err.print(f"[yellow]warning:[/] {escaped(warning)}")


def message(error: retouch.RetouchError, server: str) -> str:
    """What happened, in one line; the network's own words get the address they are about."""
    if isinstance(error, retouch.UnavailableError) and not error.reason:
        return f"cannot reach {server}: {error}"
    return str(error)


def error_document(error: retouch.RetouchError, code: int) -> dict[str, object]:
    """An error for machines."""
    document: dict[str, object] = {"kind": type(error).__name__, "message": str(error), "exit_code": code}
    if isinstance(error, retouch.ServiceError):
        document |= {
            "code": error.code.name,
            "reason": error.reason,
            "metadata": dict(error.metadata),
            "edit_id": error.edit_id,
            "retry_after_s": error.retry_after_s,
            "field_violations": [asdict(each) for each in error.field_violations],
        }
    return document


def as_json(document: object) -> str:
    """One line."""
    return json.dumps(plain(document), ensure_ascii=False)


def plain(value: Any) -> Any:
    """A value as JSON knows it."""
    if is_dataclass(value) and not isinstance(value, type):
        return {name: plain(each) for name, each in asdict(value).items()}
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in cast(dict[object, object], value).items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in cast(list[object], value)]
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, Path) else value


def escaped(text: str) -> str:
    """Text that rich prints as it is: `[` opens no markup."""
    return text.replace("[", r"\[")


def tls_from(ca: Path | None, certificate: Path | None, key: Path | None, is_tls: bool) -> retouch.Tls | None:
    """TLS where any of its options was given."""
    if not (is_tls or ca or certificate or key):
        return None
    return retouch.Tls(ca=ca, certificate=certificate, key=key)


current_session = click.make_pass_decorator(Session)
