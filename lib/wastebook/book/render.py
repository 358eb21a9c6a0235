"""A run made into a site, by Quarto where it is on the machine, otherwise by the embedded renderer.

The run folder is first made a Quarto project of its own, so that both renderers read the same files, and so
can anyone who has Quarto. A site is built beside the one that is there and takes its place once it is whole
and checked.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import pandas as pd
import pypandoc
import yaml

from wastebook import paths
from wastebook.answers.browser import write_try_it
from wastebook.book import downloads, pandoc
from wastebook.book.check import check_notebook, check_site
from wastebook.book.execute import alone
from wastebook.book.plan import BUILD, read_record
from wastebook.errors import WastebookError

OLDEST_QUARTO = (1, 8)
SHARED = ("index.qmd", "try.qmd", "references.bib", "theme")


class Renderer(NamedTuple):
    name: str  # quarto or pandoc
    version: str
    program: str


def find_renderer(renderer: str = "auto") -> Renderer:
    """The renderer to use: `quarto`, `pandoc` (the embedded one), or `auto`, Quarto if it is there and new
    enough.

    Quarto is the program that the environment variable `QUARTO` names, or the one on the path. WastebookError
    where `quarto` is asked for and missing or too old, or where the name is none of the three.
    """
    if renderer not in ("auto", "quarto", "pandoc"):
        raise WastebookError(f"Unknown renderer {renderer}: use auto, quarto or pandoc.")
    program = shutil.which(os.environ.get("QUARTO") or "quarto")
    version = _version(program) if program and renderer != "pandoc" else ""
    wanted = ".".join(map(str, OLDEST_QUARTO))
    if program and tuple(int(part) for part in re.findall(r"\d+", version)[:2]) >= OLDEST_QUARTO:
        return Renderer("quarto", version, program)
    if renderer == "quarto":
        found = (
            f"{program} is {version or 'no working Quarto'}" if program else "There is no quarto on the path"
        )
        raise WastebookError(f"{found}: install Quarto {wanted} or newer, name it in QUARTO, or use pandoc.")
    return Renderer("pandoc", str(pypandoc.get_pandoc_version()), pypandoc.get_pandoc_path())


def render(run: Path, renderer: str = "auto") -> Path:
    """Make the site of a run from its executed chapters and results; gives its `site/index.html`.

    Any problem (see `check.py`) fails it with a WastebookError that names page and place, and leaves the last
    good site as it was.
    """
    chosen = find_renderer(renderer)
    run = run.resolve()
    if not run.is_dir():
        raise WastebookError(f"There is no run folder {run}: build it first.")
    config = write_project(run)

    def make(stage: Path) -> None:
        if chosen.name == "quarto":
            render_with_quarto(chosen.program, run, stage, "html", run / "logs" / "quarto.log")
        else:
            pandoc.render_site(run, stage, config, chosen.program)
        write_try_it(run, stage)

    replace_site(run / "site", _chapters(run), make)
    return run / "site" / "index.html"


def replace_site(site: Path, notebooks: list[Path], make: Callable[[Path], None]) -> None:
    """Check the executed `notebooks`, have `make` make their site in the folder it is given, beside `site`,
    check that, and put it in its place in one step. WastebookError, and the last good one as it was, where
    there are problems or another process is at it."""
    with alone(site.parent / BUILD / f"{site.name}.lock"):
        stage, replaced = (site.with_name(f".{site.name}-{which}") for which in ("new", "old"))
        if replaced.exists() and not site.exists():  # an earlier run was stopped between the two moves below
            replaced.rename(site)
        for leftover in (stage, replaced):
            shutil.rmtree(leftover, ignore_errors=True)
        try:
            problems = [problem for notebook in notebooks for problem in check_notebook(notebook)]
            if not problems:
                make(stage)
                problems = check_site(stage)
            if problems:
                listed = "\n".join(f"  {problem.page}: {problem.what}" for problem in problems[:20])
                more = f"\n  and {len(problems) - 20} more" if len(problems) > 20 else ""
                raise WastebookError(
                    f"No {site.name} made for {site.parent.name}: {len(problems)} problem(s)\n{listed}{more}"
                )
            if site.exists():
                site.rename(replaced)
            stage.rename(site)
        finally:
            shutil.rmtree(stage, ignore_errors=True)
        shutil.rmtree(replaced, ignore_errors=True)


def write_project(run: Path) -> dict[str, Any]:
    """Make the run folder a Quarto project: the book's own, with the chapters that the run holds, as
    executed.

    Writes `_quarto.yml`, `_variables.yml` (the chapters' single values, for `{{< var 01-exploration.photos
    >}}`), `_results.md` (their headlines, for the front page), `run.qmd` with `downloads/`, and copies of the
    pages and files all runs share. Gives what `_quarto.yml` holds.
    """
    chapters = _chapters(run)
    if not chapters:
        raise WastebookError(f"{run} holds no executed chapters: run one there first.")
    config = yaml.safe_load((paths.PROJECT / "_quarto.yml").read_text(encoding="utf-8"))
    config["execute"]["enabled"] = False
    pages = [page for page in config["book"]["chapters"] if not page.endswith(".ipynb")]
    config["book"]["chapters"] = [
        pages[0],
        *(f"chapters/{chapter.name}" for chapter in chapters),
        *pages[1:],
        downloads.PAGE,
    ]
    config["project"]["resources"] = [f"{downloads.FOLDER}/**"]
    downloads.write_downloads(run, chapters)
    values = {
        chapter.stem: json.loads(kept.read_text(encoding="utf-8"))
        for chapter in chapters
        if (kept := run / "results" / f"{chapter.stem}.json").exists()
    }
    for name, content in (("_quarto.yml", config), ("_variables.yml", values)):
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        (run / name).write_text(text, encoding="utf-8")
    (run / "_results.md").write_text(_results(run, chapters, values), encoding="utf-8")
    for name in SHARED:
        source = paths.PROJECT / name
        if source.is_dir():
            shutil.copytree(source, run / name, dirs_exist_ok=True)
        else:
            shutil.copyfile(source, run / name)
    return config


def _chapters(run: Path) -> list[Path]:
    return sorted((run / "chapters").glob("[!._]*.ipynb"))


def _results(run: Path, chapters: list[Path], values: dict[str, Any]) -> str:
    """The front page's summary: which data, and a line a chapter with the `headline` it recorded, if any."""
    names = list(read_record(run).get("data", {}))
    lines = []
    if names:
        lines = ["Data in this copy: " + ", ".join(f"`{name}`" for name in names) + ".", ""]
    if any(map(paths.is_drawn, names)):
        lines += [
            "::: {.callout-note}",
            "## Drawn, not photographed",
            "The sample's pictures are drawn by the library,",
        ]
        lines += ["so its figures show that the method works, not how it does on waste.", ":::", ""]
    for chapter in chapters:
        cells = nbformat.read(chapter, as_version=4).cells
        title = re.search(r"^# ([^{\n]+)", cells[0].source if cells else "", re.MULTILINE)
        headline = values.get(chapter.stem, {}).get("headline", [])
        told = ": " + " ".join([headline] if isinstance(headline, str) else headline) if headline else ""
        lines.append(f"- [{title[1].strip() if title else chapter.stem}](chapters/{chapter.name}){told}")
    return "\n".join([*lines, *_beside_published(run)]) + "\n"


def _beside_published(run: Path) -> list[str]:
    """What others published, the reference and this run as a table, as far as the run has scores of real
    photos to set beside it."""
    file = run / "results" / "07-comparison" / "beside.parquet"
    if not file.exists():
        return []
    beside = pd.read_parquet(file)
    rows = beside[beside["this_run"].notna() & ~beside["dataset"].map(paths.is_drawn)]
    if rows.empty:
        return []
    names = ["work", "model", "metric", "published", "reference", "this_run"]
    rows = rows[names].assign(metric=rows["metric"].str.replace("_", " ")).fillna("—")
    lines = [f"| {' | '.join(map(str, row))} |" for row in rows.itertuples(index=False)]
    head = ["", "| work | model | metric | published | reference | this run |", "| --- " * len(names) + "|"]
    return [*head, *lines, "", ": What others published, the reference kept with the source, and this run."]


def render_with_quarto(program: str, project: Path, stage: Path, to: str, log: Path) -> None:
    """Have Quarto render a project into the folder `stage`; WastebookError where it does not, and what it
    said in `log`."""
    command = [program, "render", str(project), "--to", to]
    command += ["--output-dir", os.path.relpath(stage, project)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", errors="replace")
    log.parent.mkdir(exist_ok=True)
    log.write_text(done.stdout + done.stderr, encoding="utf-8")
    if done.returncode or not (stage / "index.html").exists():
        said = next(
            (line for line in done.stderr.splitlines() if "ERROR" in line), f"exit code {done.returncode}"
        )
        raise WastebookError(f"Quarto could not render {project}: {said}\nSee {log}")


def _version(program: str) -> str:
    """What the program answers to `--version`; empty where it does not work."""
    try:
        return subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=60
        ).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""
