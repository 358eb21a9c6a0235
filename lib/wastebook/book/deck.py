"""The deck: slides made from what a run kept, by Quarto where it is on the machine, otherwise by Pandoc.

`chapters/slides/` is a Quarto project of its own with one notebook. A cell whose tags name chapters shows
their results, and is left out where the run lacks one of them. Either renderer makes a reveal.js
presentation.
"""

import json
import re
import shutil
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import nbformat
import yaml
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from nbformat import NotebookNode

from wastebook import paths
from wastebook.book.execute import run_chapter
from wastebook.book.pandoc import TEMPLATES, cells_as_markdown, run_pandoc
from wastebook.book.plan import chapter_names, parameters_of, read_chapter, read_record
from wastebook.book.render import find_renderer, render_with_quarto, replace_site
from wastebook.data import Dataset, open_dataset
from wastebook.errors import WastebookError
from wastebook.files import write_text
from wastebook.report.chapter import Chapter

DECK = "slides/index"  # the deck's notebook, named as chapters are
SOURCE = paths.CHAPTERS / "slides"
STYLE = "deck.css"
ROOM = (1152, 452)  # pixels of a slide, 1280 wide and 720 high, that a figure may take
LARGER, LEAST = 1.45, 14.0  # how much larger letters are than on a page, and their least size in points
REVEAL = ("dist/reset.css", "dist/reveal.css", "dist/reveal.js", "plugin/notes/notes.js")


def render_slides(run: Path, renderer: str = "auto") -> Path:
    """Make the deck of a run from its results; gives its `slides/index.html`. WastebookError where the run
    has no results, or where notebook or deck have a problem (see `check.py`): the last good deck is kept."""
    chosen = find_renderer(renderer)
    run = run.resolve()
    executed = run_chapter(DECK, {}, run, source=_for_results(read_chapter(DECK), run))
    config = _write_project(executed, run)

    def make(stage: Path) -> None:
        if chosen.name == "quarto":
            log = run / "logs" / "slides" / "quarto.log"
            render_with_quarto(chosen.program, executed.parent, stage, "revealjs", log)
        else:
            _render_with_pandoc(chosen.program, executed, stage, config)

    replace_site(run / "slides", [executed], make)
    return run / "slides" / "index.html"


def _for_results(notebook: NotebookNode, run: Path) -> NotebookNode:
    """The deck's notebook without the cells that show results of chapters which have not run."""
    chapters = chapter_names()
    kept = {chapter for chapter in chapters if (run / "results" / f"{chapter}.json").exists()}
    if not kept:
        raise WastebookError(f"There are no results in {run}: build it first.")
    missing = set(chapters) - kept
    notebook.cells = [cell for cell in notebook.cells if missing.isdisjoint(cell.metadata.get("tags", []))]
    return notebook


def _write_project(executed: Path, run: Path) -> dict[str, Any]:
    """Make the folder of the executed deck a Quarto project: the deck's own, with what it was made from as
    its subtitle. Gives what its `_quarto.yml` holds, and with it the notebook's front matter."""
    project = executed.parent
    config = yaml.safe_load((SOURCE / "_quarto.yml").read_text(encoding="utf-8"))
    config["execute"]["enabled"] = False
    config["subtitle"] = " ".join(_origin(run))
    write_text(project / "_quarto.yml", yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
    shutil.copyfile(SOURCE / STYLE, project / STYLE)
    shutil.copytree(paths.PROJECT / "theme", run / "theme", dirs_exist_ok=True)
    front_matter = nbformat.read(executed, as_version=4).cells[0].source
    return config | yaml.safe_load(front_matter.strip("-\n"))


def _origin(run: Path) -> Iterator[str]:
    """Which run a deck tells of, on which data, and what must be known before its numbers are believed."""
    record = read_record(run)
    names = list(record.get("data", {}))
    made = f" of {record['written'][:10]}" if "written" in record else ""
    yield f"The run {run.name}{made}" + (f", on {' and '.join(names)}." if names else ".")
    if any(map(paths.is_drawn, names)):
        yield "Its pictures are drawn, not photographed: it shows that the method works, not how well."
    values = (json.loads(file.read_text(encoding="utf-8")) for file in run.glob("results/*.json"))
    if any(kept.get("weights") == "random" for kept in values):
        yield "Some of its networks have random weights: they have never learned to see."


def _render_with_pandoc(program: str, executed: Path, stage: Path, config: dict[str, Any]) -> None:
    """The deck by Pandoc's writer for it, with reveal.js as the package `sphinx-revealjs` carries it."""
    assets = stage / "assets"
    assets.mkdir(parents=True)
    options = config["format"]["revealjs"]
    text = cells_as_markdown(executed, stage / "index.html", config["execute"] | options)
    body = run_pandoc(program, ["--to=revealjs", "--slide-level=2"], text, executed)
    named = {re.sub("-(.)", lambda match: match[1].upper(), name): value for name, value in options.items()}
    page = TEMPLATES.get_template("slides.html").render(deck=config, body=body, options=named)
    (stage / "index.html").write_text(page, encoding="utf-8")
    for name in REVEAL:
        shutil.copy(Path(str(files("sphinx_revealjs"))) / "_static" / "revealjs" / name, assets)
    shutil.copy(executed.with_name(STYLE), assets)


# What the deck's notebook calls ----------------------------------------------------------------------------


def enlarged(figure: Figure, width: int = ROOM[0]) -> Figure:
    """The figure made for the back row: `width` pixels wide and as high as a slide has room for, its letters,
    lines and marks larger."""
    figure.set_size_inches(width / figure.dpi, ROOM[1] / figure.dpi)
    sizes = {text: max(LEAST, LARGER * float(text.get_fontsize())) for text in figure.findobj(Text)}
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if labels := axis.get_ticklabels():
                axis.set_tick_params(labelsize=sizes.get(labels[0], LEAST))  # for ticks to come as well
    for text, size in sizes.items():
        text.set_fontsize(size)
    for line in figure.findobj(Line2D):
        line.set_linewidth(LARGER * line.get_linewidth())
        line.set_markersize(LARGER * line.get_markersize())
    return figure


def dataset_of(chapter: Chapter, earlier: str) -> Dataset:
    """The data set that the chapter `earlier` of this run was made from, its photos with it. WastebookError
    where they are not to be had on this machine."""
    recorded = read_record(chapter.run).get("parameters", {}).get(earlier, {})
    return open_dataset(recorded.get("dataset") or parameters_of(read_chapter(earlier))["dataset"].default)
