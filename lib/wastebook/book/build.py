"""The book built: data made ready, chapters run as a graph by Snakemake, the site rendered.

Snakemake decides what is stale (by `plan.ingredients`, which its records remember), in which order chapters
run and how many at once; what stands here writes its configuration and reads what came of it.
"""

import importlib.metadata
import json
import platform
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import joblib
import psutil
import yaml

from wastebook.book import plan
from wastebook.book.deck import make_slides
from wastebook.book.execute import State, follower, run_chapter
from wastebook.book.plan import Book, Parameters
from wastebook.book.render import find_renderer, make_site
from wastebook.book.work import BUILD, at_work, remove_chapter
from wastebook.errors import WastebookError
from wastebook.files import write_text
from wastebook.paths import read_record


def build(
    book: Book,
    run: Path,
    profile: str,
    settings: Sequence[str] = (),
    wanted: Sequence[str] = (),
    jobs: int | None = None,
    renderer: str = "auto",
) -> dict[str, Any]:
    """Build the book in the folder `run`: `run`, `chapters` (state and seconds of each), `left_out` (why,
    by chapter), `errors` and `page`, the page to open (None where a chapter failed: the site then stays as it
    was).

    WastebookError, before anything starts, for whatever is wrong with what was asked.
    """
    find_renderer(renderer)
    asked = plan.plan(book, profile, settings, wanted)
    with at_work(run):
        left_out = plan.leave_out(book, asked)
        for chapter, why in left_out.items():
            print(f"{chapter} is left out: {why}.", file=sys.stderr)
            remove_chapter(run, chapter)
        parameters = {name: values for name, values in asked.items() if name not in left_out}
        data = prepare(book, run, parameters, afresh=not wanted, left_out=left_out)
        began = time.time()
        ended = _run_snakemake(book, run, parameters, data, jobs or 2)
        states = _outcome(book, run, parameters, began)
        errors = [state["message"] for state in states.values() if state["state"] == "failed"]
        if ended and not errors:
            raise WastebookError(f"Snakemake failed, and no chapter did. What says why: {ended}")
        ran = any(state["state"] == "done" for state in states.values())
        if not errors and (book.chapters / "slides").is_dir() and (ran or not (run / "slides").exists()):
            _bring_deck(book, run, renderer)
        page = None if errors else str(make_site(book, run, renderer))
    chapters = {
        name: {"state": state["state"], "seconds": round(state.get("seconds", 0), 1)}
        for name, state in sorted(states.items())
    }
    return {"run": str(run), "chapters": chapters, "left_out": left_out, "errors": errors, "page": page}


def _bring_deck(book: Book, run: Path, renderer: str) -> None:
    """Make the deck that the site brings along; where that fails, say so and go on without."""
    try:
        make_slides(book, run, renderer)
    except WastebookError as error:
        print(f"No slides: {error}", file=sys.stderr)
        shutil.rmtree(run / "slides", ignore_errors=True)


def execute_chapter(book: Book, run: Path, name: str, given: Sequence[str]) -> Path:
    """Execute one chapter into the folder `run`, with the parameters `given` (`name=value`) over those of the
    run; gives the executed notebook. Says on stderr where it stands."""
    chapter = plan.find_chapter(book, name)
    source = plan.read_chapter(book, chapter)
    recorded = read_record(run).get("parameters", {}).get(chapter, {})
    values = {name: value for name, value in recorded.items() if name in plan.parameters_of(source)}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise WastebookError(f"-p {text}: expected name=value, as in -p seed=1.")
        values[name] = plan.Text(value)
    complete = plan.check_parameters(book, chapter, values)
    with at_work(run):
        if complete != recorded:
            prepare(book, run, {chapter: complete}, afresh=False)
        return run_chapter(source, chapter, complete, run, book.chapters, follower(chapter))


def prepare(
    book: Book, run: Path, parameters: Parameters, afresh: bool, left_out: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Make ready what chapters are made from, and keep in `run.yml` what the run is (over what is there
    already, unless `afresh`). Gives the hash of each chapter's data."""
    facts, hashes = book.prepare(parameters)
    earlier = {} if afresh else read_record(run)
    for chapter in parameters:
        earlier.get("left_out", {}).pop(chapter, None)
    record = {
        "written": datetime.now().astimezone().isoformat(timespec="seconds"),
        "commit": commit(book.root),
        "hardware": hardware(),
        "versions": {"python": platform.python_version(), **plan.versions(declared_packages(book))},
        **{name: {**earlier.get(name, {}), **one} for name, one in facts.items()},
        "parameters": {**earlier.get("parameters", {}), **parameters},
        "left_out": {**earlier.get("left_out", {}), **(left_out or {})},
    }
    write_text(run / "run.yml", yaml.safe_dump(record, sort_keys=False, allow_unicode=True))
    return hashes


def declared_packages(book: Book) -> set[str]:
    """The packages that the book's distribution requires, and those that compute."""
    required = importlib.metadata.requires(book.distribution) if book.distribution else None
    declared = {re.split(r"[^\w.-]", one)[0] for one in required or [] if "extra ==" not in one}
    return declared | {*book.computes} | ({book.distribution} if book.distribution else set())


def _run_snakemake(book: Book, run: Path, parameters: Parameters, data: Mapping[str, str], jobs: int) -> str:
    """Have Snakemake run the chapters, and leave nothing running, however it ends: empty where it went well,
    otherwise the command that says what was wrong."""
    chapters = {
        name: {
            "needs": [each for each in plan.read_by(book, name) if each in parameters],
            "ingredients": plan.ingredients(book, name, values, data.get(name, "")),
            "parameters": values,
        }
        for name, values in parameters.items()
    }
    cores = joblib.cpu_count()
    jobs = min(jobs, len(chapters), cores)
    graph = {"chapters": chapters, "run": str(run), "folder": str(book.chapters), "python": sys.executable}
    write_text(run / BUILD / "graph.json", json.dumps(graph | {"threads": cores // jobs}, indent=2))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(book.root / "Snakefile")]
    command += ["--directory", str(run), "--configfile", str(run / BUILD / "graph.json")]
    command += ["--cores", str(jobs * (cores // jobs))]
    # The lock is ours, which goes with its process; a chapter whose process was ended is run again.
    options = ["--quiet", "all", "--keep-going", "--rerun-incomplete", "--nolock"]
    options += ["--rerun-triggers", "params", "input", "mtime"]
    line, told = [*command, *options], sys.stderr.fileno()
    # In a session of its own: Ctrl+C is for the build, which ends all of it by closing its stdin.
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=told, start_new_session=True) as process:
        return shlex.join(command) if process.wait() else ""


def _outcome(book: Book, run: Path, chapters: Iterable[str], began: float) -> dict[str, State]:
    """What became of each chapter (each after those it needs) of a build: done, failed, reused or skipped."""
    states: dict[str, State] = {}
    for chapter in chapters:
        file = run / BUILD / f"{chapter}.json"
        state = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"started": 0}
        if state["started"] < began:
            needed = (states[need]["state"] for need in plan.read_by(book, chapter) if need in states)
            lacking = {"failed", "skipped"}.intersection(needed)
            there = (run / BUILD / f"{chapter}.done").exists()
            state = {"state": "reused" if there and not lacking else "skipped"}
        elif state["state"] == "running":
            why = f"Chapter {chapter} was ended from outside, as when the memory is full. Try --jobs 1."
            state |= {"state": "failed", "message": why}
        states[chapter] = state
    return states


def commit(folder: Path) -> str | None:
    """A folder's Git commit, with `+` where files differ from it; None outside Git."""
    command = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+"]
    with suppress(OSError):
        return subprocess.run(command, cwd=folder, capture_output=True, text=True).stdout.strip() or None
    return None


def hardware() -> dict[str, Any]:
    """This machine: `processor`, `cores` (those we may use), `memory_gb` and `accelerator` (or None)."""
    facts = Path("/proc/cpuinfo")
    models = re.findall(r"model name\s*: (.+)", facts.read_text()) if facts.exists() else []
    accelerator = "Apple GPU" if (platform.system(), platform.machine()) == ("Darwin", "arm64") else None
    with suppress(OSError):
        asked = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        names = subprocess.run(asked, capture_output=True, text=True).stdout
        accelerator = names.partition("\n")[0].strip() or None
    return {
        "processor": next(iter(models), platform.processor() or platform.machine()),
        "cores": joblib.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1024**3, 1),
        "accelerator": accelerator,
    }
