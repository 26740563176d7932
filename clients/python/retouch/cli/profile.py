"""`retouch profile`."""

from pathlib import Path
from typing import Any

import click
from rich.progress import Progress

import retouch
from retouch import profiling
from retouch.atomic import written_atomically
from retouch.cli.session import Session, current_session
from retouch.cli.tables import profile_table

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option("-o", "--out", type=FILE, default=Path("policy.toml"), show_default=True, help="Where the policy table goes.")
@click.option("--plot", type=FILE, help="Draw quality against time into this .png or .svg.")
@current_session
def profile(session: Session, folder: Path, out: Path, plot: Path | None) -> None:
    """Measure the served upscalers and inpainters over the pairs in DIR and write the policy table that follows.

    The server takes the table as RETOUCH_POLICY=policy.toml, `retouch up` with --policy as well.

    \b
    DIR/input/NAME.*   what an edit gets
    DIR/truth/NAME.*   what it should give: 1, 2 or 4 times the size of the input
    DIR/mask/NAME.*    what is to be filled, for pairs of one size
    DIR/labels.csv     optional lines NAME,label: figures are also told by label

    \b
    Example:
      retouch profile pairs/ -o policy.toml --plot profile.png
    """

    def prepared() -> tuple[list[Any], Any]:
        return profiling.find_pairs(folder), profiling.Measures()

    try:
        pairs, measures = prepared()
    except retouch.RetouchError as error:
        session.fail(error)
    session.warn((measures.lpips_missing,) if measures.lpips_missing else ())

    async def work(client: retouch.RetouchClient) -> list[Any]:
        results: list[Any] = []
        with Progress(console=session.err, transient=True, disable=session.is_json) as bars:
            task = bars.add_task("pairs", total=len(pairs))
            async for result in profiling.profile(client, pairs, measures):
                results.append(result)
                done = len({each.pair.name for each in results}) - 1
                bars.update(task, completed=done, description=f"{result.pair.name}: {result.candidate.name}")
        return results

    results = session.run(work)
    scores = profiling.scores(results)
    try:
        with written_atomically(out) as partial:
            partial.write_text(profiling.policy_table(scores))
        if plot is not None:
            with written_atomically(plot) as partial:
                profiling.draw(scores, partial)
    except retouch.RetouchError as error:
        session.fail(error)
    if session.is_json:
        session.answer({"policy": out, "plot": plot, "lpips_missing": measures.lpips_missing, "scores": scores})
        return
    session.out.print(profile_table(scores))
    session.out.print(f"policy written to {out}" + (f", plot to {plot}" if plot else ""))
