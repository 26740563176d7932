"""Options that `edit` and `precheck` share, and what they say together."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, cast, get_args

import click

import retouch

Command = TypeVar("Command", bound=Callable[..., Any])
IMAGE = click.Path(exists=True, dir_okay=False, path_type=Path)


def choice(kind: Any) -> click.Choice[str]:
    """A choice of the words of a Literal."""
    return click.Choice(get_args(kind))


def edit_options(command: Command) -> Command:
    """Everything that says what is asked of an edit."""
    for option in reversed(
        (
            click.option("--mask", type=IMAGE, help="Mask of the image's size: 255 (white) is edited, 0 is kept."),
            click.option("--mask-id", metavar="ID", help="Use the stored mask of this image id instead."),
            click.option("--mask-version", type=click.IntRange(1), help="Pin the stored mask's version."),
            click.option("--mask-digest", metavar="SHA256", help="Pin the stored mask's digest."),
            click.option(
                "--scale", type=click.Choice(["1", "2", "4"]), default="1", show_default=True, help="Output over input."
            ),
            click.option(
                "--text-removal", type=choice(retouch.TextRemoval), default="auto", show_default=True, help="Overlay text."
            ),
            click.option("--inpaint", type=choice(retouch.Inpaint), default="auto", show_default=True, help="Holes."),
            click.option(
                "--criticality",
                type=choice(retouch.Criticality),
                default="standard",
                show_default=True,
                help="How much invention the image may bear.",
            ),
            click.option("--upscaler", metavar="MODEL", help="An upscale model by name; see `retouch models list`."),
            click.option(
                "--seed", type=click.IntRange(0, 2**64 - 1), default=0, show_default=True, help="Same seed, same bytes."
            ),
            click.option("--prompt", default="", help="A short wish, for models that take one."),
            click.option(
                "--timeout", "timeout_s", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="Give up after."
            ),
        )
    ):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class Asked:
    """The shared options, parsed."""

    options: retouch.EditOptions
    mask: retouch.MaskLike | None
    timeout_s: float | None


def parse_asked(fields: dict[str, Any]) -> Asked:
    """Raises click.UsageError for options that contradict each other."""
    mask: Path | None = fields["mask"]
    image_id: str | None = fields["mask_id"]
    version: int | None = fields["mask_version"]
    digest: str | None = fields["mask_digest"]
    if mask and image_id:
        raise click.UsageError("--mask and --mask-id exclude each other: the mask is a file or a stored one")
    if image_id and not (version or digest):
        raise click.UsageError(
            f"--mask-id needs --mask-version or --mask-digest, to refuse a stale one; see `retouch mask list {image_id}`"
        )
    if (version or digest) and not image_id:
        raise click.UsageError("--mask-version and --mask-digest pin a stored mask; say which with --mask-id")
    reference = retouch.MaskReference(image_id, version or 0, digest or "") if image_id else None
    try:
        options = retouch.EditOptions(
            scale=int(fields["scale"]),
            text_removal=cast(Literal["auto"], fields["text_removal"]),
            inpaint=cast(Literal["auto"], fields["inpaint"]),
            criticality=cast(Literal["standard"], fields["criticality"]),
            upscaler=fields["upscaler"],
            seed=fields["seed"],
            prompt=fields["prompt"],
        )
    except retouch.InvalidInputError as error:
        raise click.UsageError(str(error)) from error
    return Asked(options, reference or mask, fields["timeout_s"])
