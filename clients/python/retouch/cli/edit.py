"""`retouch edit`."""

from pathlib import Path
from typing import Any

import click

import retouch
from retouch.cli.options import IMAGE, edit_options, parse_asked
from retouch.cli.progress import EditBars
from retouch.cli.session import Session, current_session
from retouch.cli.tables import gate_line, report_table, score


@click.command()
@click.argument("image", type=IMAGE)
@click.option("-o", "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help=".png .tif .jpg or .webp")
@edit_options
@click.option("--quality", type=click.IntRange(1, 100), default=95, show_default=True, help="Of a JPEG or WebP result.")
@current_session
def edit(session: Session, image: Path, out: Path, quality: int, **fields: Any) -> None:
    """Edit IMAGE and write the result to OUT.

    Only what the mask marks is edited; at scale 1 every other pixel comes out byte for byte. Profile, EXIF and alpha are kept.
    OUT appears once it is complete, and never in part.

    \b
    Examples:
      retouch edit shot.jpg --mask mask.png -o clean.png
      retouch edit shot.jpg -o big.png --scale 2 --criticality commerce
      retouch edit shot.jpg --mask-id shot-17 --mask-version 3 -o clean.tif
    """
    asked = parse_asked(fields)
    if out.exists() and out.samefile(image):
        raise click.UsageError(f"{out} is the input; name another file with -o")

    async def work(client: retouch.RetouchClient) -> tuple[Path, retouch.Done, retouch.Accepted | None]:
        call = client.edit_file(image, out, asked.mask, asked.options, timeout_s=asked.timeout_s, quality=quality)
        accepted: retouch.Accepted | None = None
        with EditBars(session.err) as bars:
            async with call:
                async for event in call:
                    bars.show(event)
                    accepted = event if isinstance(event, retouch.Accepted) else accepted
        return await call.result(), call.report, accepted

    path, done, accepted = session.run(work)
    if session.is_json:
        size = accepted.plan.output_size if accepted else None
        session.answer({"out": path, "size": size, "plan": accepted.plan if accepted else None, "report": done})
        return
    session.warn(done.warnings)
    _summarise(session, path, done, accepted)


def _summarise(session: Session, path: Path, done: retouch.Done, accepted: retouch.Accepted | None) -> None:
    size = f" {accepted.plan.output_size}" if accepted else ""
    session.out.print(f"{path}{size} in {done.seconds:.1f} s, edit {done.edit_id}")
    if done.stages:
        session.out.print(report_table(done))
    else:
        session.out.print("no stage ran: there was nothing to edit")
    facts = [f"seam score {score(done.seam_score)}"] if done.seam_score else []
    if widened := sum(stage.borders_widened for stage in done.stages):
        facts.append(f"{widened} borders of windows blended more widely, since their sides disagreed")
    if done.residual_text_score is not None:
        facts.append(f"residual text {done.residual_text_score:.2f}")
    if done.mask_digest:
        facts.append(f"mask {done.mask_digest[:12]}" + (f" version {done.mask_version}" if done.mask_version else ""))
    if facts:
        session.out.print(", ".join(facts))
    if done.gate is not None:
        session.out.print(gate_line(done.gate))
