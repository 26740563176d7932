"""`retouch` itself: global options and the list of commands."""

import contextlib
import os
import sys
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from retouch.cli import edit, local, mask, models, precheck, profile
from retouch.cli.exits import MEANINGS, UNEXPECTED
from retouch.cli.session import Session, as_json, tls_from

EPILOG = "\b\nExit codes:\n" + "\n".join(f"  {code:3}  {meaning}" for code, meaning in MEANINGS.items())
PEM = click.Path(exists=True, dir_okay=False, path_type=Path)
IS_JSON = "retouch.cli.is_json"


class _Root(click.Group):
    """Tells wrong usage as a JSON document, too, where that was asked for: it is found before there is a session."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        is_json = "--json" in args
        with _wrong_usage_told(is_json):
            context = super().make_context(info_name, args, parent, **extra)
        context.meta[IS_JSON] = is_json
        return context

    def invoke(self, ctx: click.Context) -> Any:
        with _wrong_usage_told(ctx.meta[IS_JSON]):
            return super().invoke(ctx)


@contextlib.contextmanager
def _wrong_usage_told(is_json: bool) -> Generator[None]:
    try:
        yield
    except click.ClickException as error:
        if is_json:
            kind, message = type(error).__name__, error.format_message()
            click.echo(as_json({"error": {"kind": kind, "message": message, "exit_code": error.exit_code}}))
        raise


@click.group(cls=_Root, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--server",
    envvar="RETOUCH_SERVER",
    default="localhost:8300",
    show_default=True,
    show_envvar=True,
    metavar="HOST:PORT",
    help="Where the service listens.",
)
@click.option("--token", envvar="RETOUCH_TOKEN", show_envvar=True, help="Bearer token.")
@click.option("--tls", "is_tls", is_flag=True, help="Use TLS with the system's authorities.")
@click.option("--tls-ca", type=PEM, help="Use TLS and trust this authority (PEM).")
@click.option("--tls-cert", type=PEM, help="Certificate for mutual TLS (PEM).")
@click.option("--tls-key", type=PEM, help="Key of that certificate (PEM).")
@click.option("--json", "is_json", is_flag=True, help="One JSON document on stdout, nothing else there.")
@click.version_option(package_name="retouch", message="retouch %(version)s")
@click.pass_context
def root(
    context: click.Context,
    server: str,
    token: str | None,
    is_tls: bool,
    tls_ca: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    is_json: bool,
) -> None:
    """Edit images through a Retouch service: remove overlay text, fill holes, enlarge.

    \b
    Example:
      retouch up                                          # in another terminal
      retouch edit photo.jpg --mask mask.png -o out.png --scale 2
    """
    if (tls_cert is None) != (tls_key is None):
        raise click.UsageError("mutual TLS needs both --tls-cert and --tls-key")
    context.obj = Session(server, token, tls_from(tls_ca, tls_cert, tls_key, is_tls), is_json)


def _with_global_options(command: click.Command) -> click.Command:
    """Lets `--server`, `--token` and `--json` stand behind the command's name too, where most people write them."""
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            _with_global_options(inner)
        return command

    def override(context: click.Context, parameter: click.Parameter, value: object) -> None:
        if value:
            context.obj = replace(context.find_object(Session), **{str(parameter.name): value})  # pyright: ignore[reportArgumentType, reportCallIssue]

    command.params += [
        click.Option(["--server"], metavar="HOST:PORT", expose_value=False, callback=override, help="As for `retouch`."),
        click.Option(["--token"], expose_value=False, callback=override, help="As for `retouch`."),
        click.Option(
            ["--json", "is_json"],
            is_flag=True,
            expose_value=False,
            callback=override,
            help="One JSON document on stdout, nothing else there.",
        ),
    ]
    return command


for command in (local.up, edit.edit, precheck.precheck, mask.mask, models.models, profile.profile, local.doctor):
    root.add_command(_with_global_options(command))


def main() -> None:
    """The entry point. What no table knows is told in one line and ends with exit code 1; RETOUCH_TRACEBACK=1 shows where."""

    try:
        root()
    except Exception as error:
        if os.environ.get("RETOUCH_TRACEBACK"):
            raise
        click.echo(f"error: unexpected {type(error).__name__}: {error}", err=True)
        click.echo("  → report it; RETOUCH_TRACEBACK=1 shows where it happened", err=True)
        sys.exit(UNEXPECTED)
