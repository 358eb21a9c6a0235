"""The book built: data made ready, chapters run as a graph by Snakemake, the site rendered.

Snakemake decides what is stale (by the table of `plan.ingredients`, which its records remember), in which
order chapters run and how many at once; what stands here writes its configuration and reads what came of it.
"""

import importlib.metadata
import json
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import joblib
import psutil
import yaml

from wastebook.book.execute import State, run_chapter
from wastebook.book.plan import (
    BUILD,
    LOCK,
    Book,
    Parameters,
    Text,
    check_parameters,
    find_chapter,
    ingredients,
    needs_of,
    parameters_of,
    plan,
    read_chapter,
    versions,
)
from wastebook.book.render import find_renderer, make_site
from wastebook.errors import WastebookError
from wastebook.files import exclusive_lock, write_text
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
    """Build the book in the folder `run`: `run`, `chapters` (state and seconds of each), `errors` and `page`,
    the page to open (None where a chapter failed: the site then stays as it was).

    WastebookError, before anything starts, for whatever is wrong with what was asked.
    """
    find_renderer(renderer)
    parameters = plan(book, profile, settings, wanted)
    with exclusive_lock(run / LOCK):
        data = prepare(book, run, parameters, afresh=not wanted)
        before = {chapter: _state(run, chapter) for chapter in parameters}
        graph = _write_graph(book, run, parameters, data, min(jobs or 2, len(parameters), joblib.cpu_count()))
        code = _run_snakemake(book, run, graph)
        states = _outcome(
            run, {chapter: needs_of(read_chapter(book, chapter)) for chapter in parameters}, before
        )
        errors = [state["message"] for state in states.values() if state["state"] == "failed"]
        if code and not errors:
            why = (
                f"snakemake --snakefile {book.root / 'Snakefile'} --directory {run} --configfile {graph} -c 1"
            )
            raise WastebookError(
                f"Snakemake ended with exit code {code}, and no chapter failed. {why} says why."
            )
        chapters = {
            name: {"state": state["state"], "seconds": round(state.get("seconds", 0), 1)}
            for name, state in sorted(states.items())
        }
        page = None if errors else str(make_site(book, run, renderer))
    return {"run": str(run), "chapters": chapters, "errors": errors, "page": page}


def execute_chapter(
    book: Book, run: Path, name: str, given: Sequence[str], tell: Callable[[str], None]
) -> Path:
    """Execute one chapter into the folder `run`, with the parameters `given` (`name=value`) over those of the
    run; gives the executed notebook. `tell` is told where it stands."""
    chapter = find_chapter(book, name)
    source = read_chapter(book, chapter)
    recorded = read_record(run).get("parameters", {}).get(chapter, {})
    values = {name: value for name, value in recorded.items() if name in parameters_of(source)}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise WastebookError(f"-p {text}: expected name=value, as in -p seed=1.")
        values[name] = Text(value)
    complete = check_parameters(book, chapter, values)

    def follow(state: State) -> None:
        tell(f"{chapter}: cell {state.get('cell', 0)}/{state.get('cells', '?')}")

    with exclusive_lock(run / LOCK):
        if complete != recorded:
            prepare(book, run, {chapter: complete}, afresh=False)
        return run_chapter(source, chapter, complete, run, book.chapters, follow)


def prepare(book: Book, run: Path, parameters: Parameters, afresh: bool) -> dict[str, str]:
    """Make ready what chapters are made from, and keep in `run.yml` what the run is: its parameters by
    chapter, the facts of its data, versions, commit and hardware (over those there already, unless `afresh`).
    Gives the hash of each chapter's data."""
    facts, hashes = book.prepare(parameters)
    earlier = {} if afresh else read_record(run)
    record = {
        "written": datetime.now().astimezone().isoformat(timespec="seconds"),
        "commit": commit(book.root),
        "hardware": hardware(),
        "versions": {"python": platform.python_version(), **versions(declared_packages(book))},
        **{name: {**earlier.get(name, {}), **one} for name, one in facts.items()},
        "parameters": {**earlier.get("parameters", {}), **parameters},
    }
    write_text(run / "run.yml", yaml.safe_dump(record, sort_keys=False, allow_unicode=True))
    return hashes


def declared_packages(book: Book) -> set[str]:
    """The packages that the book's distribution requires, and those that compute."""
    required = importlib.metadata.requires(book.distribution) if book.distribution else None
    declared = {re.split(r"[^\w.-]", one)[0] for one in required or [] if "extra ==" not in one}
    return declared | {*book.computes} | ({book.distribution} if book.distribution else set())


def _state(run: Path, chapter: str) -> State | None:
    """What a chapter's process last wrote of itself."""
    file = run / BUILD / f"{chapter}.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None


def _write_graph(book: Book, run: Path, parameters: Parameters, data: Mapping[str, str], jobs: int) -> Path:
    """Write the Snakefile's configuration, and for each chapter the job that its process reads."""
    chapters = {}
    for chapter, values in parameters.items():
        source = book.chapters / f"{chapter}.ipynb"
        job = {"chapter": chapter, "parameters": values, "run": str(run), "source": str(source)}
        write_text(run / BUILD / f"{chapter}.job", json.dumps(job))
        made_from = ingredients(book, chapter, values, data.get(chapter, ""))
        chapters[chapter] = {"needs": needs_of(read_chapter(book, chapter)), "ingredients": made_from}
    graph = {
        "chapters": chapters,
        "python": sys.executable,
        "jobs": jobs,
        "threads": joblib.cpu_count() // jobs,
    }
    write_text(run / BUILD / "graph.json", json.dumps(graph, indent=2))
    return run / BUILD / "graph.json"


def _run_snakemake(book: Book, run: Path, graph: Path) -> int:
    """Have Snakemake run the chapters of `graph`; its exit code. Nothing is left running, however it ends."""
    facts = json.loads(graph.read_text(encoding="utf-8"))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(book.root / "Snakefile")]
    command += ["--directory", str(run), "--configfile", str(graph)]
    command += ["--cores", str(facts["jobs"] * facts["threads"]), "--quiet", "all", "--keep-going"]
    # The lock is ours, which goes with its process; a chapter whose process was ended is run again.
    command += ["--rerun-triggers", "params", "input", "mtime", "--rerun-incomplete", "--nolock"]
    process = psutil.Popen(command, stdout=sys.stderr.fileno(), start_new_session=True)
    try:
        return process.wait()
    finally:
        family = [*process.children(recursive=True), process] if process.is_running() else []
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.terminate()
        for member in psutil.wait_procs(family, timeout=5)[1]:
            with suppress(psutil.NoSuchProcess):
                member.kill()


def _outcome(
    run: Path, needs: Mapping[str, Sequence[str]], before: Mapping[str, State | None]
) -> dict[str, State]:
    """What became of each chapter (each after those it needs): done, failed, reused or skipped."""
    states: dict[str, State] = {}
    for chapter in needs:
        state = _state(run, chapter)
        if state and state != before[chapter]:
            if state["state"] == "running":
                message = (
                    f"Chapter {chapter} was ended from outside, as when the memory is full. Try --jobs 1."
                )
                state |= {"state": "failed", "message": message}
        elif any(states[need]["state"] in ("failed", "skipped") for need in needs[chapter]):
            state = {"state": "skipped"}
        else:
            state = {"state": "reused" if (run / BUILD / f"{chapter}.done").exists() else "skipped"}
        states[chapter] = state
    return states


def commit(folder: Path) -> str | None:
    """A folder's Git commit, with `+` where files differ from it; None outside Git."""

    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def hardware() -> dict[str, Any]:
    """This machine: `processor`, `cores` (those we may use), `memory_gb` and `accelerator` (or None)."""
    facts = Path("/proc/cpuinfo")
    models = re.findall(r"model name\s*: (.+)", facts.read_text()) if facts.exists() else []
    accelerator = "Apple GPU" if (platform.system(), platform.machine()) == ("Darwin", "arm64") else None
    if shutil.which("nvidia-smi"):
        asked = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        names = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.split("\n")
        accelerator = names[0].strip() or None
    return {
        "processor": models[0] if models else platform.processor() or platform.machine(),
        "cores": joblib.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1024**3, 1),
        "accelerator": accelerator,
    }
