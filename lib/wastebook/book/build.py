"""The book built: data made ready, chapters run as a graph by Snakemake, the site rendered.

Snakemake decides what is stale (by `plan.ingredients`, which its records remember), in which order chapters
run and how many at once; what stands here writes its configuration and reads what came of it.
"""

import importlib.metadata
import json
import platform
import re
import shlex
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

from wastebook.book.execute import State, remove_chapter, run_chapter
from wastebook.book.plan import (
    BUILD,
    LOCK,
    NEEDS,
    READS,
    Book,
    Parameters,
    Text,
    check_parameters,
    find_chapter,
    ingredients,
    leave_out,
    parameters_of,
    plan,
    read_chapter,
    stated,
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
    """Build the book in the folder `run`: `run`, `chapters` (state and seconds of each), `left_out` (why,
    by chapter), `errors` and `page`, the page to open (None where a chapter failed: the site then stays as it
    was).

    WastebookError, before anything starts, for whatever is wrong with what was asked.
    """
    find_renderer(renderer)
    parameters = plan(book, profile, settings, wanted)
    with exclusive_lock(run / LOCK):
        left_out = _leave_out(book, run, parameters)
        sources = {chapter: read_chapter(book, chapter) for chapter in parameters}
        needs = {
            name: [each for each in stated(source, NEEDS, READS) if each in parameters]
            for name, source in sources.items()
        }
        data = prepare(book, run, parameters, afresh=not wanted, left_out=left_out)
        made_from = {name: ingredients(book, name, parameters[name], data.get(name, "")) for name in needs}
        before = {chapter: _state(run, chapter) for chapter in parameters}
        ended = _run_snakemake(book, run, parameters, needs, made_from, jobs or 2)
        states = _outcome(run, needs, before)
        errors = [state["message"] for state in states.values() if state["state"] == "failed"]
        if ended and not errors:
            raise WastebookError(f"Snakemake failed, and no chapter did. What says why: {ended}")
        page = None if errors else str(make_site(book, run, renderer))
    chapters = {
        name: {"state": state["state"], "seconds": round(state.get("seconds", 0), 1)}
        for name, state in sorted(states.items())
    }
    return {"run": str(run), "chapters": chapters, "left_out": left_out, "errors": errors, "page": page}


def _leave_out(book: Book, run: Path, parameters: Parameters) -> dict[str, str]:
    """Take chapters that do not suit their data from those to run, and from the run; says why each is."""
    left_out = leave_out(book, parameters)
    for chapter, why in left_out.items():
        print(f"{chapter} is left out: {why}.", file=sys.stderr)
        remove_chapter(run, chapter)
        del parameters[chapter]
    if not parameters:
        raise WastebookError("No chapter is left to run: these photos suit none that was asked for.")
    return left_out


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
        "versions": {"python": platform.python_version(), **versions(declared_packages(book))},
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


def _run_snakemake(
    book: Book,
    run: Path,
    parameters: Parameters,
    needs: Mapping[str, list[str]],
    made_from: Mapping[str, dict[str, str]],
    jobs: int,
) -> str:
    """Have Snakemake run the chapters, and leave nothing running, however it ends: empty where it went well,
    otherwise the command that says what was wrong."""
    build, cores = run / BUILD, joblib.cpu_count()
    jobs = min(jobs, len(parameters), cores)
    for chapter, values in parameters.items():
        source = str(book.chapters / f"{chapter}.ipynb")
        job = {"chapter": chapter, "parameters": values, "run": str(run), "source": source}
        write_text(build / f"{chapter}.job", json.dumps(job))
    chapters = {name: {"needs": needs[name], "ingredients": made_from[name]} for name in parameters}
    graph = {"chapters": chapters, "python": sys.executable, "threads": cores // jobs}
    write_text(build / "graph.json", json.dumps(graph, indent=2))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(book.root / "Snakefile")]
    command += ["--directory", str(run), "--configfile", str(build / "graph.json")]
    command += ["--cores", str(jobs * (cores // jobs))]
    # The lock is ours, which goes with its process; a chapter whose process was ended is run again.
    options = ["--quiet", "all", "--keep-going", "--rerun-incomplete", "--nolock"]
    options += ["--rerun-triggers", "params", "input", "mtime"]
    process = psutil.Popen([*command, *options], stdout=sys.stderr.fileno(), start_new_session=True)
    try:
        return shlex.join(command) if process.wait() else ""
    finally:
        family = [*process.children(recursive=True), process] if process.is_running() else []
        for end in (psutil.Process.terminate, psutil.Process.kill):
            for member in family:
                with suppress(psutil.NoSuchProcess):
                    end(member)
            family = psutil.wait_procs(family, timeout=5)[1]


def _state(run: Path, chapter: str) -> State | None:
    """What a chapter's process last wrote of itself."""
    file = run / BUILD / f"{chapter}.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None


def _outcome(
    run: Path, needs: Mapping[str, list[str]], before: Mapping[str, State | None]
) -> dict[str, State]:
    """What became of each chapter (each after those it needs): done, failed, reused or skipped."""
    states: dict[str, State] = {}
    for chapter in needs:
        state = _state(run, chapter)
        if not state or state == before[chapter]:
            lacking = any(states[need]["state"] in ("failed", "skipped") for need in needs[chapter])
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
