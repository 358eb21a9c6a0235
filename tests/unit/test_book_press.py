"""The press alone prints a book about something else: two notebooks on the weather and a deck, planned,
executed, rendered and checked, without a module of ours that knows of waste."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import joblib
import nbformat
import psutil
import pytest
import yaml
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from wastebook import paths
from wastebook.book.build import execute_chapter
from wastebook.book.deck import render_slides
from wastebook.book.plan import Book
from wastebook.book.render import render
from wastebook.errors import WastebookError
from wastebook.files import write_text

PRINT = """
import json, signal, sys
from pathlib import Path
from wastebook.book.build import build
from wastebook.book.plan import Book
from wastebook.errors import WastebookError

def prepare(parameters):
    facts = {"data": {"rain": {"name": "rain", "days": 3}}}
    return dict.fromkeys(parameters, facts), dict.fromkeys(parameters, "rain")

def finish(run, site):
    (site / "finished.txt").write_text("yes")

def decorate(run):
    (run / "_summary.md").write_text("It rained, see @fig-rain.")

signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a terminal; a background job ignores it
root, *settings = sys.argv[1:]
book = Book(Path(root), prepare=prepare, decorate=decorate, finish=finish, computes=("numpy",))
try:
    outcome = build(book, Path(root) / "run", "quick", settings, renderer="pandoc")
except WastebookError as error:
    sys.exit(str(error))
known = {"data", "photos", "learning", "evaluation", "report", "answers", "edition", "cli"}
loaded = {name.split(".")[1] for name in sys.modules if name.startswith("wastebook.")}
print(json.dumps(outcome | {"loaded": sorted(loaded & known)}))
"""
RAIN = """#| label: fig-rain
#| fig-cap: Rain by day
from base64 import b64encode
from IPython.display import display
picture = '{svg}'
told = {{"image/png": {{"alt": f"It rained for {{days}} days."}}}}
display({{"image/svg+xml": picture}}, metadata=told, raw=True)"""
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><circle r="4"/></svg>'
KEEP = """#| include: false
import atexit, json, os, pathlib, tempfile, time
atexit.register(pathlib.Path("/dev/stderr").write_text, "A kernel complains as it ends.\\n")
tempfile.mkdtemp(prefix="left-by-a-chapter")
time.sleep(wait)
kept = pathlib.Path(os.environ["WASTEBOOK_STAGE"], "results", "01-rain.json")
kept.parent.mkdir(exist_ok=True)
kept.write_text(json.dumps({"days": days}))
assert days >= 0, "no rain below zero\""""
SUN = """#| echo: false
import json, os, pathlib
from IPython.display import Markdown
kept = json.loads(pathlib.Path(os.environ["WASTEBOOK_RUN"], "results", "01-rain.json").read_text())
Markdown(f"After {kept['days']} days of rain the sun shone on <script>alert(1)</script>, `a < b`.")"""
SLIDES = [
    new_markdown_cell("---\ntitle: The weather\nauthor: A cloud\n---"),
    new_code_cell("#| echo: false\nfrom IPython.display import Markdown"),
    new_markdown_cell("## It rained", metadata={"tags": ["01-rain"]}),
    new_code_cell("Markdown('In **short**.')", metadata={"tags": ["01-rain"]}),
    new_markdown_cell("## It will snow", metadata={"tags": ["03-snow"]}),
]
QUARTO = {
    "project": {"type": "book"},
    "lang": "en",
    "bibliography": "sources.bib",
    "execute": {"enabled": True},
    "book": {
        "title": "Weather",
        "favicon": "theme/icon.svg",
        "chapters": ["index.qmd", "chapters/01-rain.ipynb", "chapters/02-sun.ipynb"],
    },
    "format": {"html": {"code-fold": True, "lightbox": True}},
    "redirects": {"chapters/00-drizzle.html": "chapters/01-rain.html"},
}


def write_chapter(root, name, title, parameters, *sources):
    cells = [
        new_markdown_cell(f"# {title} {{#sec-{name[3:]}}}\n\nOn the weather [@luke1802]. See @sec-rain.")
    ]
    cells.append(new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    cells += [new_code_cell(source) for source in sources]
    for at, cell in enumerate(cells):
        cell["id"] = f"cell-{at}"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(
        new_notebook(cells=cells, metadata={"kernelspec": kernel}), root / "chapters" / f"{name}.ipynb"
    )


class Weather:
    """A book about the weather, in a folder of its own."""

    def __init__(self, root: Path):
        self.root, self.run = root, root / "run"
        (root / "chapters" / "profiles").mkdir(parents=True)
        (root / "theme").mkdir()
        (root / "theme" / "icon.svg").write_text(SVG)
        (root / "chapters" / "profiles" / "quick.yml").write_text("rain: {days: 3}\n")
        (root / "_quarto.yml").write_text(yaml.safe_dump(QUARTO))
        (root / "index.qmd").write_text("# The weather {.unnumbered}\n\n{{< include _summary.md >}}\n")
        source = (
            "@book{luke1802, author={Howard, Luke}, title={On the Modification of Clouds}, date={1802}}\n"
        )
        (root / "sources.bib").write_text(source)
        shutil.copy(paths.PROJECT / "Snakefile", root)
        parameters = "needs: list[str] = []\ndays: int = 1  # that it rains\nwait: float = 0.0  # seconds"
        write_chapter(root, "01-rain", "Rain", parameters, RAIN.format(svg=SVG), KEEP)
        self.write_sun()

    def write_sun(self, *more):
        write_chapter(
            self.root, "02-sun", "Sun", 'needs: list[str] = ["01-rain"]  # what it reads', SUN, *more
        )

    def start(self, *settings):
        return subprocess.Popen(
            [sys.executable, "-c", PRINT, str(self.root), *settings],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def print(self, *settings):
        """The state of each chapter, the whole outcome, and what was said on the way."""
        process = self.start(*settings)
        stdout, stderr = process.communicate(timeout=180)
        assert process.returncode == 0, stderr
        outcome = json.loads(stdout)
        assert outcome["loaded"] == []
        return {name: entry["state"] for name, entry in outcome["chapters"].items()}, outcome, stderr


@pytest.fixture(scope="module")
def weather(tmp_path_factory):
    return Weather(tmp_path_factory.mktemp("the {weather} & more"))


def main_of(page):
    return BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser").select_one("main")


def test_an_interrupted_build_leaves_nothing_running(weather):
    process = weather.start("rain.wait=100")
    state = weather.run / ".build" / "01-rain.yml"
    while not state.exists() or yaml.safe_load(state.read_text()).get("cell") != 3:
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert not psutil.wait_procs(family, timeout=20)[1]
    assert not (weather.run / "chapters").exists()


def test_the_book_is_printed(weather):
    states, outcome, said = weather.print()
    assert states == {"01-rain": "done", "02-sun": "done"}
    lines = said.strip().split("\n")
    assert [line.partition(" in ")[0] for line in lines] == [
        "01-rain: running", "01-rain: done", "02-sun: running", "02-sun: done"
    ]  # fmt: skip
    assert not list(Path(tempfile.gettempdir()).glob("left-by-a-chapter*"))
    site = Path(outcome["page"]).parent
    assert "It rained, see Figure\u00a01.1." in main_of(site / "index.html").get_text()
    rain = main_of(site / "chapters" / "01-rain.html")
    assert rain.select_one("#fig-rain img")["alt"] == "It rained for 3 days."
    assert "days: int = 3  # that it rains" in rain.get_text()
    assert "kept" not in rain.get_text() and rain.select_one("#ref-luke1802")
    sun = main_of(site / "chapters" / "02-sun.html")
    assert "After 3 days of rain" in sun.get_text() and "Chapter\u00a01" in sun.get_text()
    assert "<script>alert(1)</script>, a < b." in sun.get_text() and not sun.select("script")
    assert 'url=01-rain.html"' in (site / "chapters" / "00-drizzle.html").read_text()
    assert (site / "finished.txt").exists()
    record = yaml.safe_load((weather.run / "run.yml").read_text())
    assert record["parameters"] == {"01-rain": {"days": 3, "wait": 0.0}, "02-sun": {}}
    assert record["data"]["rain"]["days"] == 3 and record["versions"]["numpy"]
    graph = json.loads((weather.run / ".build" / "graph.json").read_text())
    assert graph["threads"] == joblib.cpu_count()  # a chapter that is alone has the whole machine


def test_a_chapter_whose_needs_have_not_run_is_told_at_once(weather, tmp_path):
    with pytest.raises(WastebookError, match=r"reads 01-rain, .* wastebook build --run .* --chapter 02-sun"):
        execute_chapter(Book(weather.root), tmp_path, "sun", [])
    assert not list(tmp_path.iterdir())


def test_only_what_changed_is_run_again_and_nothing_for_a_sentence(weather):
    assert weather.print()[0] == {"01-rain": "reused", "02-sun": "reused"}
    weather.write_sun("1 + 1")
    assert weather.print()[0] == {"01-rain": "reused", "02-sun": "done"}
    assert weather.print("rain.days=4")[0] == {"01-rain": "done", "02-sun": "done"}
    source, executed = (folder / "chapters" / "02-sun.ipynb" for folder in (weather.root, weather.run))
    source.write_text(source.read_text().replace("On the weather", "On the sun"))
    before = nbformat.read(executed, as_version=4)
    states, outcome, _ = weather.print("rain.days=4")
    assert states == {"01-rain": "reused", "02-sun": "reused"}
    sun = main_of(Path(outcome["page"]).parent / "chapters" / "02-sun.html")
    assert "On the sun" in sun.get_text()
    cells = zip(before.cells, nbformat.read(executed, as_version=4).cells, strict=True)
    assert all(cell == now for cell, now in cells if cell.cell_type == "code")


@pytest.mark.fault("disk and places", "a run made under a clock that was ahead", "built on")
def test_a_clock_that_was_ahead(weather):
    weather.print("rain.days=4")
    os.utime(weather.run / ".build" / "01-rain.done", (4e9, 4e9))
    weather.write_sun("2 + 2")
    for state in ("done", "reused"):
        assert weather.print("rain.days=4")[0] == {"01-rain": "reused", "02-sun": state}


def test_a_site_of_which_nothing_has_changed_is_not_made_again(weather):
    page = weather.run / "site" / "index.html"
    weather.print("rain.days=4")
    made = page.stat().st_mtime_ns
    assert weather.print("rain.days=4")[1]["page"] == str(page) and page.stat().st_mtime_ns == made
    for change in (
        lambda: (weather.root / "index.qmd").write_text("# Weather {.unnumbered}\n"),
        lambda: write_text(weather.root / "data" / "kept" / "rain" / "days.csv", "4"),
        lambda: (weather.run / ".build" / "site.txt").unlink(),
    ):
        change()
        weather.print("rain.days=4")
        assert page.stat().st_mtime_ns > made
        made = page.stat().st_mtime_ns


def test_a_failed_chapter_fails_the_build_and_nothing_else(weather):
    states, outcome, _ = weather.print("rain.days=-1")
    assert states == {"01-rain": "failed", "02-sun": "skipped"}
    (error,) = outcome["errors"]
    assert error.startswith(
        "Chapter 01-rain failed in cell 3 (import atexit, json, os, pathlib, tempfile, time): "
        "line 9, `assert days"
    )
    assert "AssertionError: no rain below zero" in error and outcome["page"] is None
    assert json.loads((weather.run / "results" / "01-rain.json").read_text()) == {"days": 4}
    assert (weather.run / "site" / "index.html").exists()
    asked = yaml.safe_load((weather.run / "run.yml").read_text())["parameters"]["01-rain"]["days"]
    made = paths.read_record(weather.run)["parameters"]["01-rain"]["days"]
    assert (asked, made) == (-1, 4)  # what a run says of itself is what its results are of


@pytest.mark.fault(
    "kills",
    "a chapter that fails, for the first time or later",
    "a page in its place, or the head of the last good one, says why; the others are there",
)
def test_what_is_whole_is_printed_beside_what_failed(weather, record_property):
    record_property("inputs", 2)
    book, made = Book(weather.root), weather.run / "chapters" / "02-sun.ipynb"
    weather.write_sun()
    weather.print("rain.days=4")
    before = made.read_bytes()
    weather.write_sun("assert False, 'no <b>sun</b> {{< x >}}'")
    states, outcome, _ = weather.print("rain.days=5")
    assert states == {"01-rain": "done", "02-sun": "failed"} and len(outcome["errors"]) == 1
    site = Path(outcome["page"]).parent
    assert "rained for 5 days" in str(main_of(site / "chapters" / "01-rain.html"))
    for title, kept in (("Sun", True), ("Sun (not made)", False)):
        sun = main_of(site / "chapters" / "02-sun.html")
        assert sun.h1.get_text().endswith(title) and ("After 4 days" in sun.get_text()) == kept
        told = sun.select_one(".callout-important").get_text()
        assert "AssertionError: no <b>sun</b> {{< x >}}" in told and "logs/02-sun.log" in told
        assert ("What follows was made before that." in told) == kept
        assert f"wastebook chapter 02-sun --run '{weather.run}'" in sun.get_text()
        made.unlink(missing_ok=True)
        render(book, weather.run, "pandoc")
    contents = BeautifulSoup((site / "index.html").read_text(), "html.parser").select_one("nav").get_text()
    assert "Sun (not made)" in contents
    made.write_bytes(before)
    for state in ("skipped", "reused"):  # what is said of a later attempt goes again
        (weather.run / ".build" / "02-sun.yml").write_text(f"state: {state}\nmessage: No rain.\n")
        page = render(book, weather.run, "pandoc").with_name("chapters") / "02-sun.html"
        assert ("No rain." in page.read_text()) == (state == "skipped")
    assert made.read_bytes() == before


def test_a_deck_of_what_was_kept(tmp_path):
    weather = Weather(tmp_path)
    (weather.run / "results").mkdir(parents=True)
    (weather.run / "results" / "01-rain.json").write_text("{}")
    folder = weather.root / "chapters" / "slides"
    folder.mkdir()
    (folder / "deck.css").touch()
    config = {
        "project": {"type": "default"},
        "execute": {"echo": False},
        "format": {"revealjs": {"hash": True}},
    }
    (folder / "_quarto.yml").write_text(yaml.safe_dump(config))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new_notebook(cells=SLIDES, metadata={"kernelspec": kernel}), folder / "index.ipynb")
    write_chapter(weather.root, "03-snow", "Snow", "needs: list[str] = []")
    (weather.run / "site").mkdir(exist_ok=True)
    page = render_slides(Book(weather.root), weather.run, "pandoc")
    assert (weather.run / "site" / "slides" / "index.html").read_text() == page.read_text()
    slides = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser").select(".slides > section")
    assert [slide.find(["h1", "h2"]).get_text() for slide in slides] == ["The weather", "It rained"]
    assert slides[0].select_one(".subtitle").get_text() == "The run run."
    assert slides[1].select_one("strong").get_text() == "short"
    assert (page.parent / "assets" / "reveal.js").exists()
