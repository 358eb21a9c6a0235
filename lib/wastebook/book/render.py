"""A run made into a site, by Quarto where it is on the machine, otherwise by the embedded renderer.

The run folder is first made a Quarto project of its own, so that both renderers read the same files, and so
can anyone who has Quarto. A site is built beside the one that is there and takes its place once it is whole
and checked.
"""

import html
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import pandas as pd
import pypandoc
import yaml

from wastebook.book import pandoc
from wastebook.book.check import Problem, check_notebook, check_site
from wastebook.book.plan import LOCK, Book
from wastebook.errors import WastebookError
from wastebook.files import exclusive_lock, write_text
from wastebook.paths import read_record

OLDEST_QUARTO = (1, 8)
PAGE, DOWNLOADS = "run.qmd", "downloads"  # what the press adds to every book
PACKED_FROM = 2000  # rows: longer tables are compressed
MOVED = (
    '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url={0}">'
    '<title>Moved</title><main><a href="{0}">This page has moved.</a></main>\n'
)


class Renderer(NamedTuple):
    name: str  # quarto or pandoc
    version: str
    program: str


def find_renderer(renderer: str = "auto") -> Renderer:
    """The renderer to use: `quarto`, `pandoc` (the embedded one), or `auto`, Quarto if it is there and new
    enough.

    Quarto is the program that the environment variable `QUARTO` names, else the one on the path or beside
    this Python. WastebookError where `quarto` is asked for and missing or too old.
    """
    if renderer not in ("auto", "quarto", "pandoc"):
        raise WastebookError(f"Unknown renderer {renderer}: use auto, quarto or pandoc.")
    places = os.pathsep.join([os.environ.get("PATH", ""), str(Path(sys.executable).parent)])
    program = shutil.which(os.environ.get("QUARTO") or "quarto", path=places)
    version = _version(program) if program and renderer != "pandoc" else ""
    if program and tuple(int(part) for part in re.findall(r"\d+", version)[:2]) >= OLDEST_QUARTO:
        return Renderer("quarto", version, program)
    if renderer == "quarto":
        found = (
            f"{program} is {version or 'no working Quarto'}" if program else "There is no quarto on the path"
        )
        wanted = ".".join(map(str, OLDEST_QUARTO))
        raise WastebookError(f"{found}: install Quarto {wanted} or newer, name it in QUARTO, or use pandoc.")
    return Renderer("pandoc", str(pypandoc.get_pandoc_version()), pypandoc.get_pandoc_path())


def _version(program: str) -> str:
    """What the program answers to `--version`; empty where it does not work."""
    command = [program, "--version"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def render(book: Book, run: Path, renderer: str = "auto") -> Path:
    """Make the site of a run from its executed chapters and results; gives its `site/index.html`.

    Any problem (see `check.py`) fails it with a WastebookError that names page and place, and leaves the last
    good site as it was.
    """
    run = run.resolve()
    if not run.is_dir():
        raise WastebookError(f"There is no run folder {run}: build it first.")
    with exclusive_lock(run / LOCK):
        return make_site(book, run, renderer)


def make_site(book: Book, run: Path, renderer: str) -> Path:
    """`render` for who holds the run's lock."""
    chosen = find_renderer(renderer)
    config = write_project(book, run)

    def make(stage: Path) -> None:
        if chosen.name == "quarto":
            render_with_quarto(chosen.program, run, stage, "html", run / "logs" / "quarto.log")
        else:
            pandoc.render_site(run, stage, config, chosen.program)
            shutil.copytree(run / DOWNLOADS, stage / DOWNLOADS)
        for old, new in config.get("redirects", {}).items():
            if (stage / new).exists() and not (stage / old).exists():
                target = html.escape(os.path.relpath(new, Path(old).parent))
                write_text(stage / old, MOVED.format(target))
        book.finish(run, stage)

    replace_site(run / "site", _chapters(run), make)
    return run / "site" / "index.html"


def replace_site(site: Path, notebooks: list[Path], make: Callable[[Path], None]) -> None:
    """Check the executed `notebooks`, have `make` make their site in the folder it is given, beside `site`,
    check that, and put it in its place in one step. WastebookError, and the last good one as it was, where
    there are problems."""
    stage, replaced = (site.with_name(f".{site.name}-{which}") for which in ("new", "old"))
    if replaced.exists() and not site.exists():  # an earlier run was stopped between the two moves below
        replaced.rename(site)
    for leftover in (stage, replaced):
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        read = {file.name: nbformat.read(file, as_version=4) for file in notebooks}
        problems = [
            Problem(name, what) for name, notebook in read.items() for what in check_notebook(notebook)
        ]
        if not problems:
            make(stage)
            problems = check_site(stage)
        if problems:
            lines = [f"No {site.name} made for {site.parent.name}: {len(problems)} problem(s)"]
            lines += [f"  {problem.page}: {problem.what}" for problem in problems[:20]]
            raise WastebookError(
                "\n".join(lines + [f"  and {len(problems) - 20} more"] * (len(problems) > 20))
            )
        if site.exists():
            site.rename(replaced)
        stage.rename(site)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    shutil.rmtree(replaced, ignore_errors=True)


def write_project(book: Book, run: Path) -> dict[str, Any]:
    """Make the run folder a Quarto project: the book's own, with the chapters that the run holds, as
    executed, its pages and a page on the run with what can be taken along. Gives what `_quarto.yml` holds."""
    chapters = _chapters(run)
    if not chapters:
        raise WastebookError(f"{run} holds no executed chapters: run one there first.")
    config = yaml.safe_load((book.root / "_quarto.yml").read_text(encoding="utf-8"))
    config["execute"]["enabled"] = False
    first, *pages = [page for page in config["book"]["chapters"] if not page.endswith(".ipynb")]
    config["book"]["chapters"] = [first, *(f"chapters/{file.name}" for file in chapters), *pages, PAGE]
    config["project"]["resources"] = [f"/{DOWNLOADS}/**"]
    write_text(run / "_quarto.yml", yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
    for name in [first, *pages, config["bibliography"], *book.root.glob("_*.md")]:
        shutil.copy(book.root / name, run)
    theme = Path(config["book"]["favicon"]).parts[0]
    shutil.copytree(book.root / theme, run / theme, dirs_exist_ok=True)
    _write_downloads(run, chapters)
    write_text(run / PAGE, "\n".join(_run_page(read_record(run), run / DOWNLOADS)) + "\n")
    book.decorate(run)
    return config


def _chapters(run: Path) -> list[Path]:
    return sorted((run / "chapters").glob("[!._]*.ipynb"))


def _write_downloads(run: Path, chapters: list[Path]) -> None:
    """Each table of the results as CSV, each chapter as a notebook with the run's parameters and without
    outputs, and what models say of themselves."""
    folder = run / DOWNLOADS
    shutil.rmtree(folder, ignore_errors=True)
    for chapter in chapters:
        notebook = nbformat.read(chapter, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        (folder / chapter.stem).mkdir(parents=True)
        nbformat.write(notebook, folder / chapter.stem / chapter.name)
        for file in sorted((run / "results" / chapter.stem).glob("*.parquet")):
            table = pd.read_parquet(file)
            suffix = ".csv.gz" if len(table) > PACKED_FROM else ".csv"
            table.to_csv(folder / chapter.stem / f"{file.stem}{suffix}", index=False, float_format="%.5g")
    for card in sorted((run / "models").glob("*/*.md")):
        (folder / "cards").mkdir(exist_ok=True)
        shutil.copyfile(card, folder / "cards" / card.name)


def _run_page(record: dict[str, Any], folder: Path) -> Iterator[str]:
    yield "# This run {.unnumbered}\n\nHow this copy of the book was made, and what you can take along.\n"
    facts = {name: record.get(name) for name in ("written", "commit")} | record.get("hardware", {})
    yield from _rows("Environment", ("what", "value"), facts.items())
    data = list(record.get("data", {}).values())
    yield from _rows("Data", tuple(data[0]) if data else (), (one.values() for one in data))
    yield from _rows("Versions", ("package", "version"), record.get("versions", {}).items())
    yield "## Downloads\n"
    for part in sorted(folder.iterdir()):
        links = [
            # HTML: renderers take a Markdown link to a notebook for one to its page.
            f'`<a href="{DOWNLOADS}/{part.name}/{file.name}" download="">{file.name}</a>`{{=html}} '
            f"({max(1, round(file.stat().st_size / 1e3)):,} KB)"
            for file in sorted(part.iterdir())
        ]
        yield f"- **{part.name}**: {', '.join(links)}"


def _rows(title: str, names: Iterable[str], rows: Iterable[Iterable[Any]]) -> Iterator[str]:
    """A section with a table, or nothing where it would be empty."""
    lines = [f"| {' | '.join(map(_cell, row))} |" for row in rows]
    if lines:
        lines = [f"| {' | '.join(names)} |", f"|{' --- |' * lines[0].count(' | ')} --- |", *lines]
        yield "\n".join([f"## {title}\n", *lines, ""])


def _cell(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return "yes" if value else "—"
    if isinstance(value, int):
        return f"{value:,}"
    return f"`{value[:16]}`" if re.fullmatch("[0-9a-f]{64}", str(value)) else str(value).replace("_", " ")


def render_with_quarto(program: str, project: Path, stage: Path, to: str, log: Path) -> None:
    """Have Quarto render a project into the folder `stage`; WastebookError where it does not, and what it
    said in `log`."""
    command = [program, "render", str(project), "--to", to]
    command += ["--output-dir", os.path.relpath(stage, project)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", errors="replace")
    write_text(log, done.stdout + done.stderr)
    if done.returncode or not (stage / "index.html").exists():
        errors = (line for line in done.stderr.splitlines() if "ERROR" in line)
        said = next(errors, f"exit code {done.returncode}")
        raise WastebookError(f"Quarto could not render {project}: {said}\nSee {log}")
