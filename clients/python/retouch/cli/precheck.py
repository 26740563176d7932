"""`retouch precheck`."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

import retouch
from retouch.cli.drawing import save_judged
from retouch.cli.options import IMAGE, edit_options, parse_asked
from retouch.cli.session import Session, current_session
from retouch.cli.tables import plan_table, regions_table


@click.command()
@click.argument("image", type=IMAGE)
@edit_options
@click.option("--picture", type=click.Path(dir_okay=False, path_type=Path), help="Draw what was judged into this .png or .jpg.")
@current_session
def precheck(session: Session, image: Path, picture: Path | None, **fields: Any) -> None:
    """Say what an edit of IMAGE would find and do, and how long it would take. Takes the options of `edit`.

    \b
    Example:
      retouch precheck shot.jpg --mask mask.png --scale 2 --picture judged.png
    """
    asked = parse_asked(fields)

    async def work(client: retouch.RetouchClient) -> retouch.Precheck:
        return await client.precheck(image, asked.mask, asked.options, timeout_s=asked.timeout_s)

    answer = session.run(work)
    if picture is not None:
        try:
            save_judged(answer, asked.options.scale, picture)
        except retouch.RetouchError as error:
            session.fail(error)
    if session.is_json:
        session.answer(replace(answer, judged=None))
        return
    session.warn(answer.warnings)
    found = answer.findings
    session.out.print(f"needs text removal: {_yes(found.needs_text_removal)} (score {found.text_score:.2f})")
    session.out.print(
        f"needs inpainting at full resolution: {_yes(found.needs_full_resolution_inpaint)} (score {found.texture_score:.2f})"
    )
    if found.regions:
        session.out.print(regions_table(found.regions))
    session.out.print(plan_table(answer.plan, answer.estimate))
    session.out.print(f"result {answer.plan.output_size}, about {answer.estimate.total_s:.1f} s once the pixels have arrived")


def _yes(claim: bool) -> str:
    return "yes" if claim else "no"
