"""The deck: slides made from what a run kept, by Quarto where it is on the machine, otherwise by Pandoc.

`chapters/slides/` is a Quarto project of its own with one notebook. A cell whose tags name chapters shows
their results, and is left out where the run lacks one of them.
"""

import json
import re
import shutil
from importlib.resources import files
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from wastebook.book.execute import run_chapter
from wastebook.book.pandoc import PARTS, cells_as_markdown, run_pandoc
from wastebook.book.plan import Book, chapter_names, check_parameters, read_chapter, without
from wastebook.book.render import copy_deck, find_renderer, render_with_quarto, replace_site
from wastebook.book.work import BUILD, NOT_MADE, at_work
from wastebook.errors import WastebookError
from wastebook.files import write_text, write_yaml
from wastebook.paths import read_yaml

DECK = "slides/index"  # the deck's notebook, named as chapters are
STYLE = "deck.css"
SPEAKER = re.compile(r"<script>(.*)<\\/script>", re.DOTALL)
REVEAL = ("reset.css", "reveal.css", "reveal.js", "plugin/notes.js")


def render_slides(book: Book, run: Path, renderer: str = "auto") -> Path:
    """Make the deck of a run from its results; gives its `slides/index.html`. WastebookError where the run
    has no results, or where notebook or deck have a problem (see `check.py`): the last good deck is kept."""
    run = run.resolve()
    with at_work(run):
        return make_slides(book, run, renderer)


def make_slides(book: Book, run: Path, renderer: str) -> Path:
    """`render_slides` for who holds the run's lock."""
    chosen, folder = find_renderer(renderer), book.chapters / "slides"
    record = {"parameters": check_parameters(book, DECK, {})}
    executed = run_chapter(_for_results(book, run), DECK, record, run, folder)
    config = read_yaml(folder / "_quarto.yml")
    config["subtitle"] = book.describe(run)
    config["execute"]["enabled"] = False  # its notebooks are executed already
    write_yaml(executed.with_name("_quarto.yml"), config)
    shutil.copy(folder / STYLE, executed.parent)
    shutil.copytree(book.root / "theme", run / "theme", dirs_exist_ok=True)

    def make(stage: Path) -> None:
        if chosen.name == "quarto":
            log = run / "logs" / "slides" / "quarto.log"
            render_with_quarto(chosen.program, executed.parent, stage, "revealjs", log)
        else:
            _render_with_pandoc(chosen.program, executed, stage, config)

    page = replace_site(run / "slides", [executed], make)
    if (run / "site").is_dir():
        copy_deck(run, run / "site")
    return page


def _for_results(book: Book, run: Path) -> NotebookNode:
    """The deck's notebook without the cells that show results of chapters which have not run."""
    kept = {name for name in chapter_names(book) if (run / "results" / f"{name}.json").exists()}
    kept = {name for name in kept if read_yaml(run / BUILD / f"{name}.yml").get("state") not in NOT_MADE}
    if not kept:
        raise WastebookError(f"There are no results in {run}: build it first.")
    return without(read_chapter(book, DECK), {*chapter_names(book)} - kept)


def _render_with_pandoc(program: str, executed: Path, stage: Path, config: dict[str, Any]) -> None:
    """The deck by Pandoc's writer for it, with reveal.js as the package `pyreveal` carries it."""
    assets = stage / "assets"
    assets.mkdir(parents=True)
    options = config["format"]["revealjs"]
    text = cells_as_markdown(executed, stage / "index.html", config["execute"] | options)
    page = ["--to=revealjs", "--slide-level=2", f"--template={PARTS / 'slides.html'}".replace("%", "%25")]
    page.append(f"--metadata-file={executed.with_name('_quarto.yml')}")
    write_text(stage / "index.html", run_pandoc(program, page, text, executed))
    named = {re.sub("-(.)", lambda match: match[1].upper(), name): value for name, value in options.items()}
    start = f"Reveal.initialize({{...{json.dumps(named)}, plugins: [RevealNotes]}});\n"
    write_text(assets / "start.js", start)
    dist = Path(str(files("pyreveal"))) / "revealjs" / "dist"
    for file in (*(dist / name for name in REVEAL), executed.with_name(STYLE)):
        shutil.copy(file, assets)
    # The speaker's window has its script in its page, which the deck's policy keeps from running.
    before, script, after = SPEAKER.split((assets / "notes.js").read_text(encoding="utf-8"))
    write_text(assets / "speaker.js", re.sub(r"\\(.)", r"\1", script))
    write_text(assets / "notes.js", f'{before}<script src="assets/speaker.js"><\\/script>{after}')
