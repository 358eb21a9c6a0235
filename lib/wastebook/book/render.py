"""A run made into a site, by Quarto where it is on the machine, otherwise by the embedded renderer.

The run folder is first made a Quarto project of its own, which both renderers read. A site is built beside
the one that is there and takes its place once it is whole and checked.
"""

import html
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import nbformat
import pypandoc
from nbformat.v4 import new_markdown_cell

from wastebook.book import pandoc
from wastebook.book.check import Problem, check_notebook, check_site
from wastebook.book.plan import Book, as_run, chapter_names, read_chapter
from wastebook.book.work import BESIDE, BUILD, NOT_MADE, at_work
from wastebook.errors import WastebookError
from wastebook.files import DATA, as_cell, as_written, write_text, write_yaml
from wastebook.paths import RUNS, read_record, read_yaml

OLDEST_QUARTO = (1, 8)
PAGE, DOWNLOADS = "run.qmd", "downloads"  # what the press adds to every book
PACKED_FROM = 3500  # rows: longer tables are compressed, but for those that a page links to
FAILED = "later-attempt"  # the id of the cell in an executed notebook that says that a later one failed
WHY_NOT = """::: {{.callout-important}}
[{why}]{{.{data}}} More is in `logs/{chapter}.log`.{kept} To run it again, and to show it here:
:::

    wastebook chapter {chapter} --run {run} && wastebook render {run}
"""
MOVED = """<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url=ADDRESS">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'">
<title>Moved</title><main><a href="ADDRESS">This page has moved.</a></main>
"""


class Renderer(NamedTuple):
    name: str  # quarto or pandoc
    version: str
    program: str


def find_renderer(renderer: str = "auto") -> Renderer:
    """The renderer to use: `quarto` (that of `QUARTO`, on the path or beside this Python), `pandoc` (the
    embedded one), or `auto`, Quarto if it is there and new enough. WastebookError where it cannot be had."""
    if renderer not in ("auto", "quarto", "pandoc"):
        raise WastebookError(f"Unknown renderer {renderer}: use auto, quarto or pandoc.")
    places = os.pathsep.join([os.environ.get("PATH", ""), str(Path(sys.executable).parent)])
    program, version = shutil.which(os.environ.get("QUARTO") or "quarto", path=places), ""
    if program and renderer != "pandoc":
        with suppress(OSError, subprocess.TimeoutExpired):
            asked = [program, "--version"]
            version = subprocess.run(asked, capture_output=True, text=True, timeout=60).stdout.strip()
        if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) >= OLDEST_QUARTO:
            return Renderer("quarto", version, program)
    if renderer == "quarto":
        found = f"{program} is {version or 'no working Quarto'}" if program else "There is no quarto here"
        wanted = ".".join(map(str, OLDEST_QUARTO))
        raise WastebookError(f"{found}: install Quarto {wanted} or newer, name it in QUARTO, or use pandoc.")
    return Renderer("pandoc", str(pypandoc.get_pandoc_version()), pypandoc.get_pandoc_path())


def render(book: Book, run: Path, renderer: str = "auto") -> Path:
    """Make the site of a run from its executed chapters and results; gives its `site/index.html`.
    WastebookError where there is a problem (see `check.py`): the last good site is kept."""
    run = run.resolve()
    if not run.is_dir():
        raise WastebookError(f"There is no run folder {run}: build it first.")
    with at_work(run):
        return make_site(book, run, renderer)


def make_site(book: Book, run: Path, renderer: str) -> Path:
    """`render` for who holds the run's lock."""
    chosen = find_renderer(renderer)
    config = write_project(book, run)
    pages = config["book"]["chapters"]

    def make(stage: Path) -> None:
        if chosen.name == "quarto":
            render_with_quarto(chosen.program, run, stage, "html", run / "logs" / "quarto.log")
        else:
            pandoc.render_site(run, stage, config, chosen.program)
            shutil.copytree(run / DOWNLOADS, stage / DOWNLOADS)
        for old, new in config.get("redirects", {}).items():
            if (stage / new).exists() and not (stage / old).exists():
                target = html.escape(os.path.relpath(new, Path(old).parent))
                write_text(stage / old, MOVED.replace("ADDRESS", target))
        copy_deck(run, stage)
        book.finish(run, stage)

    return replace_site(run / "site", [run / page for page in pages if page.endswith(".ipynb")], make)


def copy_deck(run: Path, site: Path) -> None:
    """Let a site have the run's deck as it is now, where there is one: a copy, since Quarto follows links."""
    shutil.rmtree(site / "slides", ignore_errors=True)
    if (run / "slides").is_dir():
        shutil.copytree(run / "slides", site / "slides")


def replace_site(site: Path, notebooks: list[Path], make: Callable[[Path], None]) -> Path:
    """Check the executed `notebooks`, have `make` make their site in the folder it is given, beside `site`,
    check that, and put it in its place; gives its `index.html`. WastebookError, and the last good one as it
    was, where there are problems. For who is `at_work` on the run, which clears away what is left."""
    stage, replaced = (site.with_name(name.format(site.name)) for name in BESIDE)
    read = [(file.name, nbformat.read(file, as_version=4)) for file in notebooks]
    problems = [Problem(name, what) for name, notebook in read for what in check_notebook(notebook)]
    if not problems:
        make(stage)
        problems = check_site(stage)
    if problems:
        lines = [f"No {site.name} made for {site.parent.name}: {len(problems)} problem(s)"]
        lines += [f"  {problem.page}: {problem.what}" for problem in problems[:20]]
        lines += [f"  and {len(problems) - 20} more"] * (len(problems) > 20)
        raise WastebookError("\n".join(lines))
    if site.exists():
        site.rename(replaced)
    stage.rename(site)
    return site / "index.html"


def write_project(book: Book, run: Path) -> dict[str, Any]:
    """Make the run folder a Quarto project: the book's own, with the chapters that the run holds, as
    executed (a page in the place of each that is not made), its pages and a page on the run with what can be
    taken along. Gives what `_quarto.yml` holds."""
    not_made = _tell_not_made(book, run)
    chapters = sorted((run / "chapters").glob("[!._]*.ipynb"))
    if not chapters:
        raise WastebookError(f"{run} holds no executed chapters: run one there first.")
    config = read_yaml(book.root / "_quarto.yml")
    first, *pages = [page for page in config["book"]["chapters"] if not page.endswith(".ipynb")]
    named = sorted(f"chapters/{file.name}" for file in [*chapters, *not_made])
    config["book"]["chapters"] = [first, *named, *pages, PAGE]
    config["project"]["resources"] = [f"/{DOWNLOADS}/**"]
    if "site-url" in config["book"]:  # without one the picture has no address that others could load
        config["book"] |= {"open-graph": True, "twitter-card": True}
    config["execute"]["enabled"] = False  # its notebooks are executed already
    write_yaml(run / "_quarto.yml", config)
    for name in [first, *pages, config["bibliography"], *book.root.glob("_*.md")]:
        shutil.copy(book.root / name, run)
    theme = Path(config["book"]["favicon"]).parts[0]
    shutil.copytree(book.root / theme, run / theme, dirs_exist_ok=True)
    _write_downloads(run, chapters)
    write_text(run / PAGE, _run_page(read_record(run), run / DOWNLOADS))
    book.decorate(run)
    return config


def _tell_not_made(book: Book, run: Path) -> list[Path]:
    """Say of each chapter that the last attempt did not make why, and how to run it again: at the head of
    what an earlier one made, else on a page of its own. Gives these pages."""
    pages = []
    for name in chapter_names(book):
        page, state = run / "chapters" / f"{name}.qmd", read_yaml(run / BUILD / f"{name}.yml")
        page.unlink(missing_ok=True)
        made, told = page.with_suffix(".ipynb"), ""
        if state.get("state") in NOT_MADE:
            place = shlex.quote(run.name if run.parent == RUNS else str(run))
            facts = {"why": as_written(state["message"].partition("\n")[0]), "chapter": name, "run": place}
            kept = " What follows was made before that." * made.exists()
            told = WHY_NOT.format(**facts, kept=kept, data=DATA)
        if made.exists():
            notebook = nbformat.read(made, as_version=4)
            cells = [cell for cell in notebook.cells if cell.get("id") != FAILED]
            cells[1:1] = [new_markdown_cell(told, id=FAILED)] * bool(told)
            if cells != notebook.cells:
                notebook.cells = cells
                write_text(made, nbformat.writes(notebook) + "\n")
        elif told:
            title, _, label = read_chapter(book, name).cells[0].source.partition("\n")[0].partition(" {")
            write_text(page, f"{title} (not made) {{{label}\n\n{told}")
            pages.append(page)
    return pages


def renew_prose(book: Book, run: Path, chapter: str) -> None:
    """Let an executed chapter, whose code is still its notebook's, have the prose that this has now."""
    file = run / "chapters" / f"{chapter}.ipynb"
    executed = nbformat.read(file, as_version=4)
    cells = [cell for cell in executed.cells if cell.get("id") != FAILED]
    source = as_run(read_chapter(book, chapter), run).cells
    if [cell.cell_type for cell in cells] != [cell.cell_type for cell in source]:
        return  # run by hand, when other chapters had run
    pairs = [(cell, now) for cell, now in zip(cells, source, strict=True) if cell.cell_type == "markdown"]
    if any(cell.source != now.source for cell, now in pairs):
        for cell, now in pairs:
            cell.source = now.source
        write_text(file, nbformat.writes(executed) + "\n")


def _write_downloads(run: Path, chapters: list[Path]) -> None:
    """Results as CSV, chapters as notebooks with the run's parameters, without outputs, and models' cards."""
    import pandas as pd  # slow, and only here

    shutil.rmtree(folder := run / DOWNLOADS, ignore_errors=True)
    for chapter in chapters:
        (folder / chapter.stem).mkdir(parents=True)
        notebook = nbformat.read(chapter, as_version=4)
        for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
            cell.outputs, cell.execution_count = [], None
        nbformat.write(notebook, folder / chapter.stem / chapter.name)
        for file in sorted((run / "results" / chapter.stem).glob("*.parquet")):
            table = pd.read_parquet(file).rename(columns=as_cell).map(as_cell)
            linked = any(f"/{file.stem}.csv)" in cell.source for cell in notebook.cells)
            suffix = ".csv.gz" if len(table) > PACKED_FROM and not linked else ".csv"
            table.to_csv(folder / chapter.stem / f"{file.stem}{suffix}", index=False, float_format="%.5g")
    for card in sorted((run / "models").glob("*/*.md")):
        (folder / "cards").mkdir(exist_ok=True)
        shutil.copyfile(card, folder / "cards" / card.name)


def _run_page(record: dict[str, Any], folder: Path) -> str:
    facts = {name: record.get(name) for name in ("written", "commit")} | record.get("hardware", {})
    made = [(file.stem, read_yaml(file)) for file in sorted((folder.parent / "chapters").glob("*.yml"))]
    spent = [{"chapter": name, **one["spent"], "all": one["seconds"]} for name, one in made if "spent" in one]
    tables = {
        "Seconds": spent,
        "Environment": [{"what": name.replace("_", " "), "value": value} for name, value in facts.items()],
        "Data": list(record.get("data", {}).values()),
        "Versions": [{"package": name, "version": one} for name, one in record.get("versions", {}).items()],
    }
    kinds = {kind.name: sorted(kind.iterdir()) for kind in sorted(folder.iterdir())}
    lines = [f"- **{kind}**: {', '.join(map(_download, files))}" for kind, files in kinds.items()]
    parts = {"Downloads": "\n".join(lines)}
    parts |= {title: "\n".join(markdown_table(rows)) for title, rows in tables.items() if rows}
    sections = "".join(f"\n## {title}\n\n::: {{.{DATA}}}\n{part}\n:::\n" for title, part in parts.items())
    return f"# This run {{.unnumbered}}\n\nHow this copy was made, and what you can take along.\n{sections}"


def _download(file: Path) -> str:
    """A link in HTML, since renderers take a Markdown link to a notebook for one to its page."""
    address, size = quote("/".join(file.parts[-3:])), max(1, round(file.stat().st_size / 1e3))
    return f'`<a href="{address}" download="">{as_written(file.name)}</a>`{{=html}} ({size:,} KB)'


def markdown_table(rows: Sequence[Mapping[Any, Any]]) -> list[str]:
    """The lines of a table in Markdown, its columns the keys of all `rows`; hashes are cut short."""

    def told(value: Any) -> str:
        if isinstance(value, bool) or value is None:
            return "yes" if value else "—"
        if isinstance(value, int):
            return f"{value:,}"
        return f"`{value[:16]}`" if re.fullmatch("[0-9a-f]{64}", str(value)) else as_written(value)

    rows = [{**dict.fromkeys(name for each in rows for name in each), **row} for row in rows]
    lines = [[name.replace("_", " ") for name in rows[0]], *([*map(told, row.values())] for row in rows)]
    lines.insert(1, ["---" + ":" * isinstance(value, int | float) for value in rows[0].values()])
    return [f"| {' | '.join(line)} |" for line in lines]


def render_with_quarto(program: str, project: Path, stage: Path, to: str, log: Path) -> None:
    """Have Quarto render a project into the folder `stage`; WastebookError where it does not, and what it
    said in `log`."""
    command = [program, "render", str(project), "--to", to, "--output-dir", os.path.relpath(stage, project)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", errors="replace")
    write_text(log, done.stdout + done.stderr)
    if done.returncode or not (stage / "index.html").exists():
        errors = (line for line in done.stderr.splitlines() if "ERROR" in line)
        said = next(errors, f"exit code {done.returncode}")
        raise WastebookError(f"Quarto could not render {project}: {said}\nSee {log}")
