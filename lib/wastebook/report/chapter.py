"""A chapter at work: what its notebook opens with, shows, and keeps for the other chapters.

Chapters pass values only through `results/`: tables as Parquet in `results/<chapter>/`, single values in
`results/<chapter>.json`. Both lie in the run folder, which `WASTEBOOK_RUN` names; a notebook opened by hand
uses `runs/lab`. A build has the chapter write to a folder apart (`WASTEBOOK_STAGE`) and moves it when whole.
"""

import base64
import io
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import Markdown, display
from markdown_it import MarkdownIt
from matplotlib.figure import Figure

from wastebook import paths
from wastebook.data import fingerprint
from wastebook.errors import WastebookError
from wastebook.report.figures import style

PIXEL_RATIO = 2  # figures are drawn at twice the size they are shown at, for sharp screens


class Chapter:
    """The results of one chapter, being written, and those of the chapters before it, to read."""

    def __init__(self, name: str, run: Path, stage: Path):
        self.name, self.run = name, run
        self.models, self._results = stage / "models" / name, stage / "results" / name
        self._results.mkdir(parents=True, exist_ok=True)
        self._values: dict[str, Any] = {}

    def save(self, name: str, table: pd.DataFrame) -> None:
        """Keep a table as `results/<chapter>/<name>.parquet`."""
        table.reset_index(drop=True).to_parquet(self._results / f"{name}.parquet")

    def record(self, **values: Any) -> None:
        """Keep single values (numbers, texts, lists, dictionaries) in `results/<chapter>.json`."""
        self._values |= values
        text = json.dumps(self._values, indent=2, sort_keys=True, ensure_ascii=False, default=_plain)
        self._results.with_name(f"{self.name}.json").write_text(text + "\n", encoding="utf-8")

    def read(self, chapter: str, name: str) -> pd.DataFrame:
        """A table that `chapter` kept in this run; WastebookError where it has not."""
        return pd.read_parquet(self._kept(chapter, Path(chapter) / f"{name}.parquet"))

    def values(self, chapter: str) -> dict[str, Any]:
        """The single values that `chapter` kept in this run; WastebookError where it has not."""
        return json.loads(self._kept(chapter, Path(f"{chapter}.json")).read_text(encoding="utf-8"))

    def check_same_photos(self, chapter: str, photos: pd.DataFrame) -> None:
        """WastebookError where `chapter` recorded the `fingerprint` of other photos than these."""
        if self.values(chapter).get("fingerprint") not in (None, fingerprint(photos)):
            raise WastebookError(
                f"Chapter {chapter} saw other photos in {self.run} than chapter {self.name} does now: run it "
                f"there again with the same data set, photos per class and seed."
            )

    def _kept(self, chapter: str, file: Path) -> Path:
        kept = self.run / "results" / file
        if not kept.exists():
            run = self.run.name if self.run.parent == paths.RUNS else self.run
            raise WastebookError(
                f"No results/{file.as_posix()} in {self.run}: run chapter {chapter} there first: "
                f"wastebook build --run {run} --chapter {chapter}"
            )
        return kept


def open_chapter(name: str) -> Chapter:
    """Open a chapter: figure defaults set, results ready to be written.

    Parameters
    ----------
    name : the stem of the notebook's file.

    Returns
    -------
    The chapter. Opened by hand, outside a build, it first loses the models of its last run.

    Examples
    --------
    >>> chapter = open_chapter("02-baseline")  # doctest: +SKIP
    >>> chapter.save("scores", scores)  # doctest: +SKIP
    """
    style.set_up()
    run = Path(os.environ.get("WASTEBOOK_RUN") or paths.RUNS / "lab")
    stage = os.environ.get("WASTEBOOK_STAGE")
    chapter = Chapter(name, run, Path(stage or run))
    if not stage:
        shutil.rmtree(chapter.models, ignore_errors=True)
    return chapter


def show(figure: Figure, alt: str) -> None:
    """Show a figure once, sharp, with `alt` saying its finding to those who cannot see it.

    Parameters
    ----------
    figure : closed afterwards.
    alt : one or two sentences. The build copies them into `#| fig-alt`, the only place that Quarto looks in.

    Examples
    --------
    >>> show(figure, alt="Glass is mistaken for plastic most often.")  # doctest: +SKIP
    """
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=figure.dpi * PIXEL_RATIO, bbox_inches="tight")
    plt.close(figure)
    data = picture.getvalue()
    width, height = (int.from_bytes(data[at : at + 4], "big") // PIXEL_RATIO for at in (16, 20))
    encoded = base64.b64encode(data).decode()
    metadata = {"image/png": {"width": width, "height": height, "alt": " ".join(alt.split())}}
    display({"image/png": encoded, "text/plain": alt}, metadata=metadata, raw=True)


def text(*sentences: str) -> Markdown:
    """Computed sentences as Markdown, for the last line of a cell.

    Parameters
    ----------
    sentences : set one after the other, empty ones left out. HTML in them, which names of folders and classes
        may hold, shows as it is written.

    Returns
    -------
    The Markdown, which a notebook shows.

    Examples
    --------
    >>> text("There are 7 photos.", "", "None is of <b>glass</b>.").data
    'There are 7 photos. None is of &lt;b>glass&lt;/b>.'
    """
    whole = re.sub(r"<(?=[A-Za-z/!?])", "&lt;", " ".join(filter(None, sentences)))
    return Markdown(whole.replace("{=", "&#123;=").replace("{{", "{&#123;"))


def note(text: str, kind: str = "warning") -> None:
    """Set a line of Markdown apart from the prose; HTML in it is shown as it is written.

    Parameters
    ----------
    text : of any number of paragraphs; nothing is shown where it is empty.
    kind : one of Quarto's callouts: `note`, `tip`, `important`, `caution` or `warning`.

    Examples
    --------
    >>> note("These photos are **drawn**.")  # doctest: +SKIP
    """
    if text:
        display({"text/html": callout(text, kind), "text/plain": text}, raw=True)


def callout(text: str, kind: str) -> str:
    """The text as the HTML of Quarto's callouts (Quarto prefers a cell's HTML to its Markdown); in JupyterLab
    a plain box."""
    body = MarkdownIt("commonmark", {"html": False}).render(text)
    return (
        f'<div class="callout callout-style-default callout-{kind} callout-titled" '
        'style="border-left-width: 4px; border-left-style: solid; '
        'padding-left: var(--jp-notebook-padding, 0)">'
        '<div class="callout-header d-flex align-content-center">'
        '<div class="callout-icon-container"><i class="callout-icon"></i></div>'
        f'<div class="callout-title-container flex-fill">{kind.capitalize()}</div></div>'
        f'<div class="callout-body-container callout-body">{body}</div></div>'
    )


def _plain(value: Any) -> Any:
    """What JSON has no type for, NumPy's, pandas' and sets, in its own."""
    return value.tolist() if hasattr(value, "tolist") else list(value)
