"""`retouch mask`: put, get, list, suggest."""

from pathlib import Path

import click
from PIL import Image
from rich.table import Table

import retouch
from retouch.atomic import written_atomically
from retouch.cli.options import IMAGE
from retouch.cli.session import Session, current_session, escaped

OUT = click.Path(dir_okay=False, path_type=Path)


@click.group()
def mask() -> None:
    """Store masks, versioned, or have one suggested.

    \b
    Example:
      retouch mask suggest shot.jpg -o mask.png
      retouch mask put shot-17 mask.png
    """


@mask.command()
@click.argument("image_id", metavar="ID")
@click.argument("path", metavar="MASK", type=IMAGE)
@click.option(
    "--expected-version",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="The version it replaces; 0: there is none.",
)
@current_session
def put(session: Session, image_id: str, path: Path, expected_version: int) -> None:
    """Store MASK as the next version of ID's mask.

    Fails (exit code 4) when another write came first: get the current one, decide again, and name its version.

    \b
    Example:
      retouch mask put shot-17 mask.png --expected-version 2
    """
    version = session.run(lambda client: client.masks.put(image_id, path, expected_version=expected_version))
    if session.is_json:
        session.answer(version)
    else:
        session.out.print(f"{escaped(image_id)} is at version {version.version}, digest {version.digest}")


@mask.command()
@click.argument("image_id", metavar="ID")
@click.option("-o", "--out", required=True, type=OUT, help="Where the PNG goes.")
@click.option("--version", type=click.IntRange(1), help="Default: the current one.")
@current_session
def get(session: Session, image_id: str, out: Path, version: int | None) -> None:
    """Fetch a stored mask as a PNG.

    \b
    Example:
      retouch mask get shot-17 -o mask.png
    """
    stored = session.run(lambda client: client.masks.get(image_id, version=version or 0))
    _write(session, out, stored.png)
    if session.is_json:
        session.answer({"out": out, "version": stored.version})
    else:
        found = stored.version
        session.out.print(f"{out}: version {found.version} of {escaped(image_id)}, {found.size}, digest {found.digest}")


@mask.command("list")
@click.argument("image_id", metavar="ID")
@click.option("--limit", type=click.IntRange(1, 100), default=100, show_default=True, help="At most so many.")
@click.option("--before-version", type=click.IntRange(1), help="Only older ones than this.")
@current_session
def list_versions(session: Session, image_id: str, limit: int, before_version: int | None) -> None:
    """List the versions of a mask, newest first.

    \b
    Example:
      retouch mask list shot-17
    """
    versions = session.run(lambda client: client.masks.list(image_id, limit=limit, before_version=before_version or 0))
    if session.is_json:
        session.answer(versions)
        return
    if not versions:
        session.out.print(f"{escaped(image_id)} has no mask; put one with `retouch mask put {escaped(image_id)} MASK`")
        return
    table = Table("version", "created", "size", "digest", box=None, pad_edge=False)
    for each in versions:
        table.add_row(str(each.version), f"{each.created:%Y-%m-%d %H:%M:%S} UTC", str(each.size), each.digest)
    session.out.print(table)


@mask.command()
@click.argument("image", type=IMAGE)
@click.option("-o", "--out", required=True, type=OUT, help="Where the PNG goes.")
@current_session
def suggest(session: Session, image: Path, out: Path) -> None:
    """Find overlay text in IMAGE and write a mask over it, of the image's size. Look at it before you use it.

    \b
    Example:
      retouch mask suggest shot.jpg -o mask.png
    """
    if out.suffix.lower() != ".png":
        raise click.UsageError(f"{out}: a mask is written as .png, which loses nothing")
    suggested = session.run(lambda client: client.masks.suggest(image))
    try:
        with written_atomically(out) as partial:
            Image.fromarray(suggested.pixels).save(partial, "PNG")
    except retouch.InvalidInputError as error:
        session.fail(error)
    count = len(suggested.proxy_boxes)
    if session.is_json:
        session.answer({"out": out, "size": suggested.size, "proxy_boxes": suggested.proxy_boxes})
    elif count:
        session.out.print(f"{out}: {count} place{'s' if count > 1 else ''} with text, {suggested.size}")
    else:
        session.out.print(f"{out}: no text was found; the mask is empty")


def _write(session: Session, out: Path, content: bytes) -> None:
    try:
        with written_atomically(out) as partial:
            partial.write_bytes(content)
    except retouch.InvalidInputError as error:
        session.fail(error)
