"""A chapter at work: what its notebook opens with, shows, and keeps for the other chapters.

Chapters pass values only through `results/`: tables as Parquet in `results/<chapter>/`, single values in
`results/<chapter>.json`. Both lie in the run folder, which `WASTEBOOK_RUN` names; a notebook opened by hand
uses `runs/lab`. A build has the chapter write to a folder apart (`WASTEBOOK_STAGE`) and moves it when whole.
"""

import io
import json
import os
import shutil
from collections.abc import Iterable
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import HTML, Image, display
from matplotlib.figure import Figure

from wastebook import paths
from wastebook.data.datasets import fingerprint
from wastebook.errors import WastebookError
from wastebook.files import as_html
from wastebook.photos.collection import Collection, load_photos
from wastebook.report.figures import style
from wastebook.report.findings import Finding, findings
from wastebook.report.sentences import caveats

DRAWN, RANDOM = "on drawn pictures", "with networks that never learned to see"
NO_VERDICT = "No verdict from these photos and networks."


class Chapter:
    """The results of one chapter, being written, and those of the chapters before it, to read."""

    def __init__(self, name: str, run: Path, stage: Path):
        self.name, self.run = name, run
        self.models, self._results = stage / "models" / name, stage / "results" / name
        self._results.mkdir(parents=True, exist_ok=True)
        self._values: dict[str, Any] = {}
        self.lacking: set[str] = set()
        self._neutral = chain([NO_VERDICT], repeat("No verdict here either."))

    @property
    def informative(self) -> bool:
        """Whether conclusions may be drawn: from photos, not drawings, by networks that learned to see."""
        return not self.lacking

    def introduce(self, data: Collection | Iterable[Collection], *backbones: Any) -> None:
        """Show the chapter in short, and what to know before its numbers are believed (see `caveats`).

        In short stands what the reference found on the real photos. Where the chapter is `informative`, and
        those that it reads, its own `headline` takes that place once it is recorded."""
        collections = [data] if isinstance(data, Collection) else [*data]
        began = paths.read_yaml(self.run / "run.yml").get("data", {})
        for each in collections if "WASTEBOOK_STAGE" in os.environ else ():
            then = {} if each.card.get("drawn") else began.get(each.name, {})  # samples have many sizes
            if then.get("fingerprint", "") not in ("", fingerprint(each.files)):
                raise WastebookError(f"Photos of {each.title} have changed since this began: build again.")
        own = {DRAWN for each in collections if each.card.get("drawn")}
        own |= {RANDOM for each in backbones if each.weights == "random"}
        found = findings().get(self.name, Finding("", ()))
        self._tell_in_short("In short, from the full run on the real photos", found.sentences)
        remarks = [remark for each in collections for remark in caveats(each, *backbones).split("\n\n")]
        remarks += [f"A chapter that this one reads was run {why}." for why in sorted(self.lacking - own)]
        self.lacking |= own
        note("\n\n".join(dict.fromkeys(filter(None, remarks))))

    def conclude(self, *sentences: str, instead: str = "") -> HTML:
        """Sentences that judge, rank or compare with others, as `text` takes them; where the run is not
        informative (see `introduce`) the one `instead`, or a neutral line, in their place."""
        return text(*sentences if self.informative else [instead or next(self._neutral)])

    def _tell_in_short(self, title: str, sentences: Iterable[str], update: bool = False) -> None:
        told = "\n".join(f"- {sentence}" for sentence in sentences)
        shown = {"text/html": callout(told, "tip", title) if told else "", "text/plain": told}
        display(shown, raw=True, display_id=f"in-short-{self.name}", update=update)

    def save(self, name: str, table: pd.DataFrame) -> None:
        """Keep a table as `results/<chapter>/<name>.parquet`."""
        table.reset_index(drop=True).to_parquet(self._results / f"{name}.parquet")

    def record(self, **values: Any) -> None:
        """Keep single values (numbers, texts, lists, dictionaries) in `results/<chapter>.json`."""
        self._values |= values
        if self.informative and "headline" in values:
            told = values["headline"]
            self._tell_in_short("In short", [told] if isinstance(told, str) else told, update=True)
        content = self._values | ({"lacking": sorted(self.lacking)} if self.lacking else {})
        # What JSON has no type for, NumPy's, pandas' and sets, goes into its own.
        plain: Any = {"default": lambda value: value.tolist() if hasattr(value, "tolist") else list(value)}
        text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False, **plain)
        self._results.with_name(f"{self.name}.json").write_text(text + "\n", encoding="utf-8")

    def read(self, chapter: str, name: str) -> pd.DataFrame:
        """A table that `chapter` kept in this run; WastebookError where it has not."""
        return pd.read_parquet(self._kept(chapter, Path(chapter) / f"{name}.parquet"))

    def values(self, chapter: str) -> dict[str, Any]:
        """The single values that `chapter` kept in this run; WastebookError where it has not."""
        return json.loads(self._kept(chapter, Path(f"{chapter}.json")).read_text(encoding="utf-8"))

    def load_photos(self, chapter: str) -> Collection:
        """The photos that `chapter` saw in this run; WastebookError where they are others by now."""
        drawn = self.values(chapter)["drawn"]
        data = load_photos(drawn["dataset"], drawn["photos_per_class"], drawn["seed"])
        self.check_same_photos(chapter, data)
        return data

    def check_same_photos(self, chapter: str, data: Collection) -> None:
        """WastebookError where `chapter` saw other photos in this run than these."""
        drawn = self.values(chapter)["drawn"]
        if drawn["fingerprint"] != data.drawn["fingerprint"]:
            then, now = (f"{one['photos']} photos of {one['dataset']}" for one in (drawn, data.drawn))
            raise WastebookError(
                f"{chapter} in {self.run} was run on {then}, {self.name} now is on {now}.\nRun {chapter} "
                "there again, with the same dataset, photos_per_class and seed (or first of its seeds)."
            )

    def _kept(self, chapter: str, file: Path) -> Path:
        kept = self.run / "results" / file
        if not kept.exists():
            run = self.run.name if self.run.parent == paths.RUNS else self.run
            lacking = f"No results/{file.as_posix()} in {self.run}, which {self.name} reads: run {chapter}"
            raise WastebookError(f"{lacking} there first: wastebook build --run {run} --chapter {chapter}")
        return kept


def open_chapter(name: str, needs: Iterable[str] = ()) -> Chapter:
    """Open a chapter: figure defaults set, results ready to be written. WastebookError where one that it
    needs has not run.

    Parameters
    ----------
    name : the stem of the notebook's file.
    needs : the chapters whose results it reads.

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
    for need in needs:
        chapter.lacking |= {*chapter.values(need).get("lacking", [])}
    if not stage:
        shutil.rmtree(chapter.models, ignore_errors=True)
    return chapter


def read_values(run: Path) -> dict[str, Any]:
    """The single values that the chapters of a run recorded, by chapter."""
    return {file.stem: json.loads(file.read_bytes()) for file in sorted(run.glob("results/*.json"))}


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
    picture, lacking = io.BytesIO(), style.make_room(figure)
    figure.savefig(picture, format="png", dpi=2 * figure.dpi, bbox_inches="tight")  # twice its size
    plt.close(figure)
    data, metadata = Image(picture.getvalue(), retina=True, alt=" ".join(alt.split()))._repr_mimebundle_()
    display(data | {"text/plain": alt}, metadata=metadata, raw=True)
    if lacking:
        note(f"No font on this machine has {lacking}: boxes stand for it in the figure. Noto's have it.")


def text(*sentences: str) -> HTML:
    """Computed sentences, for the last line of a cell.

    Parameters
    ----------
    sentences : set one after the other, empty ones left out. Plain text: names of classes and files, whatever
        signs they hold, stand as they are written. A line that begins with `- ` is an item of a list.

    Returns
    -------
    The HTML, which a notebook shows.

    Examples
    --------
    >>> "None is of &#60;b&#62;glass." in text("There are 7 photos.", "", "None is of <b>glass.").data
    True
    """
    return HTML(as_html(" ".join(filter(None, sentences))))


def note(text: str, kind: str = "warning") -> None:
    """Set a text apart from the prose.

    Parameters
    ----------
    text : plain, a line per paragraph, as `text` takes it; nothing is shown where it is empty.
    kind : one of Quarto's callouts: `note`, `tip`, `important`, `caution` or `warning`.

    Examples
    --------
    >>> note("These photos are drawn.")  # doctest: +SKIP
    """
    if text:
        display({"text/html": callout(text, kind), "text/plain": text}, raw=True)


def callout(text: str, kind: str, title: str = "") -> str:
    """The text as the HTML of one of Quarto's callouts, by kind and title; in JupyterLab in a colour."""
    style = "padding-left: 1em; border-left: 4px solid var(--jp-warn-color1)"
    head = f'<div class="callout callout-style-simple callout-{kind}" style="{style}">'
    return f"{head}<b>{title or 'Before you read on'}</b>{as_html(text)}</div>"
