"""Bars on a terminal: one for the upload, one for each stage."""

from contextlib import AbstractContextManager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

import retouch

TITLES = {"text_removal": "text removal", "inpaint": "inpaint", "upscale": "upscale"}


class EditBars(AbstractContextManager["EditBars"]):
    """Shows an edit's events. Silent where `console` is no terminal."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description:>14}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._bars: dict[str, TaskID] = {}

    def __enter__(self) -> "EditBars":
        self._progress.start()
        self._bars["upload"] = self._progress.add_task("upload", total=None)
        return self

    def __exit__(self, *exc: object) -> None:
        self._progress.stop()

    def show(self, event: retouch.Event) -> None:
        """Moves the bar that the event is about. A retry starts the bars again."""
        if isinstance(event, retouch.Uploaded):
            self._progress.update(self._bars["upload"], completed=event.rows_sent, total=event.rows_total)
        elif isinstance(event, retouch.Progress):
            self._progress.update(self._bar(event.stage), completed=event.tiles_done, total=event.tiles_total)
        elif isinstance(event, retouch.Accepted):
            for stage in event.plan.stages:
                if not stage.skipped_because:
                    self._progress.update(self._bar(stage.stage), completed=0, total=stage.tiles_total)

    def _bar(self, stage: str) -> TaskID:
        if stage not in self._bars:
            self._bars[stage] = self._progress.add_task(TITLES.get(stage, stage), total=None)
        return self._bars[stage]
