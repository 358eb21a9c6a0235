"""A chapter at work: what its notebook opens with, shows, and keeps for the other chapters.

Chapters pass values only through `results/`: tables as Parquet in `results/<chapter>/`, single values in
`results/<chapter>.json`. Both lie in the run folder, which `WASTEBOOK_RUN` names; a notebook opened by hand
uses `runs/lab`. A build has the chapter write to a folder apart (`WASTEBOOK_STAGE`) and moves it when whole.
"""

import base64
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import display
from markdown_it import MarkdownIt
from matplotlib.figure import Figure

from wastebook import paths
from wastebook.errors import WastebookError
from wastebook.report.figures import style

PIXEL_RATIO = 2  # figures are drawn at twice the size they are shown at, for sharp screens


class Chapter:
    """The results of one chapter, being written, and those of the chapters before it, to read."""

    def __init__(self, name: str, run: Path, stage: Path):
        self.name = name
        self.run = run
        self.stage = stage
        self.models = stage / "models" / name
        (stage / "results" / name).mkdir(parents=True, exist_ok=True)
        self._values: dict[str, Any] = {}

    def save(self, name: str, table: pd.DataFrame) -> None:
        """Keep a table as `results/<chapter>/<name>.parquet`."""
        table.reset_index(drop=True).to_parquet(self.stage / "results" / self.name / f"{name}.parquet")

    def record(self, **values: Any) -> None:
        """Keep single values (numbers, texts, lists, dictionaries) in `results/<chapter>.json`."""
        self._values |= {name: _plain(value) for name, value in values.items()}
        text = json.dumps(self._values, indent=2, sort_keys=True, ensure_ascii=False)
        (self.stage / "results" / f"{self.name}.json").write_text(text + "\n", encoding="utf-8")

    def read(self, chapter: str, name: str) -> pd.DataFrame:
        """A table that `chapter` kept in this run; WastebookError where it has not."""
        return pd.read_parquet(self._kept(chapter, Path(chapter) / f"{name}.parquet"))

    def values(self, chapter: str) -> dict[str, Any]:
        """The single values that `chapter` kept in this run; WastebookError where it has not."""
        return json.loads(self._kept(chapter, Path(f"{chapter}.json")).read_text(encoding="utf-8"))

    def _kept(self, chapter: str, file: Path) -> Path:
        kept = self.run / "results" / file
        if not kept.exists():
            raise WastebookError(
                f"No results/{file.as_posix()} in {self.run}: run chapter {chapter} there first."
            )
        return kept


def open_chapter(name: str) -> Chapter:
    """Open the chapter `name` (its file's stem): figure defaults set, results ready to be written."""
    style.set_up()
    run = Path(os.environ.get("WASTEBOOK_RUN") or paths.RUNS / "lab")
    return Chapter(name, run, Path(os.environ.get("WASTEBOOK_STAGE") or run))


def show(figure: Figure, alt: str) -> None:
    """Show a figure once, sharp, with `alt` saying its finding to those who cannot see it.

    Quarto takes alternative text only from `#| fig-alt`; the build copies it there from the output's
    metadata.
    """
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=figure.dpi * PIXEL_RATIO, bbox_inches="tight")
    plt.close(figure)
    data = picture.getvalue()
    width, height = (int.from_bytes(data[at : at + 4], "big") // PIXEL_RATIO for at in (16, 20))
    encoded = base64.b64encode(data).decode()
    metadata = {"image/png": {"width": width, "height": height, "alt": " ".join(alt.split())}}
    display({"image/png": encoded, "text/plain": alt}, metadata=metadata, raw=True)


def note(text: str, kind: str = "warning") -> None:
    """Set a line of Markdown apart from the prose; `kind` is one of Quarto's callouts (note, warning...)."""
    display({"text/html": callout(text, kind), "text/plain": text}, raw=True)


def callout(text: str, kind: str) -> str:
    """The text as the HTML of Quarto's callouts (Quarto prefers a cell's HTML to its Markdown); in JupyterLab
    a plain box."""
    return (
        f'<div class="callout callout-style-default callout-{kind} callout-titled" '
        'style="border-left-width: 4px; border-left-style: solid; '
        'padding-left: var(--jp-notebook-padding, 0)">'
        '<div class="callout-header d-flex align-content-center">'
        '<div class="callout-icon-container"><i class="callout-icon"></i></div>'
        f'<div class="callout-title-container flex-fill">{kind.capitalize()}</div></div>'
        f'<div class="callout-body-container callout-body">{MarkdownIt().render(text)}</div></div>'
    )


def _plain(value: Any) -> Any:
    """The value in JSON's own types, NumPy's and pandas' scalars unwrapped."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, np.ndarray, pd.Series, pd.Index)):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    return value
