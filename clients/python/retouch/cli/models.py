"""`retouch models`."""

import sys
import time
from pathlib import Path
from typing import Any

import click

import retouch
from retouch.cli.exits import REFUSED
from retouch.cli.local import server_module
from retouch.cli.session import Session, current_session, escaped
from retouch.cli.tables import models_table


@click.group()
def models() -> None:
    """See what the service can use, and bring models of your own.

    \b
    Example:
      retouch models list
      retouch models import big-lama.safetensors --name lama
    """


@models.command("list")
@current_session
def list_models(session: Session) -> None:
    """List the models that are served, ready or not.

    \b
    Example:
      retouch models list
    """

    async def work(client: retouch.RetouchClient) -> list[retouch.Model]:
        return await client.models()

    served = session.run(work)
    if session.is_json:
        session.answer(served)
    elif served:
        session.out.print(models_table(served))
    else:
        session.out.print("no models are served; start the service with a model repository, see `retouch up --help`")


@models.command("import")
@click.argument("path", metavar="FILE", type=click.Path(exists=True, path_type=Path))
@click.option("--name", required=True, help="What the model is to be called.")
@click.option("--kind", type=click.Choice(["inpaint", "upscale"]), help="What it is for, where the file does not say it.")
@click.option(
    "--method",
    help="How edits find it. Inpainters: patch or diffusion. Upscalers: by default a word of their own, so that they are used "
    "only by name; conservative makes one fit for every criticality.",
)
@click.option("--window-px", type=click.IntRange(16), help="Side of the windows it gets; by default chosen.")
@click.option("--halo-px", type=click.IntRange(1), help="Context around each tile; by default as far as a pixel reaches.")
@click.option("--license", "licence", metavar="TEXT", help="For its card; a file of weights does not tell it.")
@click.option("--replace", is_flag=True, help="Take the place of an imported model of that name.")
@click.option(
    "--state-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("var"),
    show_default=True,
    help="That of the `retouch up` which is to serve it, now or when it next starts.",
)
@click.option(
    "--repository",
    type=click.Path(file_okay=False, path_type=Path),
    help="Another Triton's model repository, in place of that.",
)
@click.option(
    "--triton", "triton_url", metavar="URL", help="HTTP endpoint of the Triton that reads --repository, to load it there."
)
@current_session
def import_model(session: Session, **wanted: Any) -> None:
    """Serve a model of your own: weights that spandrel recognises (LaMa, Real-ESRGAN, SwinIR, SPAN and dozens more), an ONNX
    file, or the folder of a diffusers inpainting pipeline.

    It is converted to Retouch's pixels, measured, compared with its source, and loaded by the Triton that runs.

    \b
    Example:
      retouch models import RealESRGAN_x4plus.pth --name realesrgan_x4
    """
    importing = server_module(session, "retouch_server.importing.run")
    began_s = time.monotonic()

    def told(step: str) -> None:
        if not session.is_json:
            session.err.print(f"[dim]{time.monotonic() - began_s:6.1f} s[/]  {escaped(step)}")

    try:
        imported = importing.run(importing.Wanted(**wanted), told)
    except importing.FAILURES as error:
        if session.is_json:
            session.answer({"error": {"kind": type(error).__name__, "message": str(error), "exit_code": REFUSED}})
        session.err.print(f"[bold red]error:[/] {escaped(str(error))}")
        sys.exit(REFUSED)
    if session.is_json:
        session.answer(imported)
        return
    for note in imported["notes"]:
        session.err.print(f"[yellow]note:[/] {escaped(note)}")
    fit = imported["fit"]
    session.out.print(f"{imported['name']}: {imported['kind']} x{imported['scale']}, method {imported['method']}")
    session.out.print(f"  window {fit['window_px']} px, halo {fit['halo_px']} px: {fit['reason']}")
    for each in imported["differences"]:
        session.out.print(
            f"  {each['picture']}: at most {each['greatest']} level from its source, in {each['share']:.3%} of the values"
        )
    session.out.print(f"  {escaped(imported['folder'])}: {escaped(imported['outcome'])}")
    session.out.print(f"  use it with {imported['use']}")
