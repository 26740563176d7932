"""`retouch up` and `retouch doctor`: the parts that need the server's package on this machine."""

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from retouch.cli.exits import REFUSED, UNEXPECTED
from retouch.cli.session import Session, current_session, escaped

INSTALL = "the server is not installed here: pip install retouch-server"
TABLE = click.Path(exists=True, dir_okay=False, path_type=Path)
REPOSITORY = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8300, show_default=True, help="For gRPC; 0 takes a free one.")
@click.option("--metrics-port", type=click.IntRange(0, 65535), default=8301, show_default=True, help="For Prometheus.")
@click.option(
    "--state-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("var"),
    show_default=True,
    help="Where masks and the runtime live.",
)
@click.option(
    "--model-repository", "repositories", type=REPOSITORY, multiple=True, help="A Triton repository; may be repeated."
)
@click.option("--policy", type=TABLE, envvar="RETOUCH_POLICY", show_envvar=True, help="Policy table (see `retouch profile`).")
@click.option(
    "--otlp-endpoint", envvar="RETOUCH_OTLP_ENDPOINT", show_envvar=True, help="Collector of traces, as http://localhost:4317."
)
@click.option(
    "--trace-ratio",
    type=click.FloatRange(0, 1),
    default=1.0,
    envvar="RETOUCH_TRACE_RATIO",
    show_default=True,
    show_envvar=True,
    help="Share of the edits that are traced.",
)
@current_session
def up(
    session: Session,
    host: str,
    port: int,
    metrics_port: int,
    state_dir: Path,
    repositories: tuple[Path, ...],
    policy: Path | None,
    otlp_endpoint: str | None,
    trace_ratio: float,
) -> None:
    """Serve on this machine until Ctrl-C: the service and a Triton of its own.

    \b
    Example:
      retouch up --port 8300 --model-repository model_repository
    """
    runner = server_module(session, "retouch_server.local.up")

    def on_ready(urls: Mapping[str, str]) -> None:
        if session.is_json:
            session.answer(dict(urls))
        else:
            session.out.print("[bold green]ready[/]")
            for name, url in urls.items():
                session.out.print(f"  {escaped(name)}: {escaped(url)}")
        sys.stdout.flush()

    try:
        code = runner.run(
            host=host,
            port=port,
            metrics_port=metrics_port,
            state_dir=state_dir,
            model_repositories=list(repositories),
            on_ready=on_ready,
            server={"policy": str(policy or ""), "otlp_endpoint": otlp_endpoint or "", "trace_ratio": trace_ratio},
        )
    except runner.FAILURES as error:
        if session.is_json:
            session.answer({"error": {"kind": type(error).__name__, "message": str(error), "exit_code": REFUSED}})
        session.err.print(f"[bold red]error:[/] {escaped(str(error))}")
        sys.exit(REFUSED)
    sys.exit(code)


@click.command()
@current_session
def doctor(session: Session) -> None:
    """Check what this machine needs to run the service, and say how to mend what is missing.

    \b
    Example:
      retouch doctor
    """
    checks: list[Any] = list(server_module(session, "retouch_server.local.doctor").checks())
    is_well = all(check.ok for check in checks)
    if session.is_json:
        fields = ("name", "ok", "detail", "remedy")
        session.answer({"ok": is_well, "checks": [{field: getattr(check, field) for field in fields} for check in checks]})
    else:
        for check in checks:
            sign = "[green]ok[/]     " if check.ok else "[bold red]missing[/]"
            session.out.print(f"{sign} {escaped(check.name)}: {escaped(check.detail)}")
            if not check.ok and check.remedy:
                session.out.print(f"        → {escaped(check.remedy)}")
    sys.exit(0 if is_well else UNEXPECTED)


def server_module(session: Session, name: str) -> Any:
    """A module of the server's package; ends the command where that is not installed."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != "retouch_server":
            raise
    if session.is_json:
        session.answer({"error": {"kind": "NotInstalled", "message": INSTALL, "exit_code": REFUSED}})
    session.err.print(f"[bold red]error:[/] {INSTALL}")
    sys.exit(REFUSED)
