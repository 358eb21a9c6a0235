"""The book built: data made ready, chapters run as a graph by Snakemake, the site rendered.

Snakemake decides what is stale (by `plan.ingredients`, which its records remember), in which order chapters
run and how many at once; what stands here writes its configuration and reads what came of it.
"""

import hashlib
import importlib.metadata
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import joblib
import psutil

from wastebook.book import plan
from wastebook.book.deck import make_slides
from wastebook.book.execute import Record, State, follower, run_chapter
from wastebook.book.plan import Book, Parameters
from wastebook.book.render import find_renderer, make_site, renew_prose
from wastebook.book.work import BUILD, NOT_MADE, at_work, remove_chapter
from wastebook.errors import WastebookError
from wastebook.files import as_line, file_hash, write_text, write_yaml
from wastebook.paths import read_record, read_yaml


def build(
    book: Book,
    run: Path,
    profile: str,
    settings: Sequence[str] = (),
    wanted: Sequence[str] = (),
    jobs: int | None = None,
    renderer: str = "auto",
    repeat: bool = False,
) -> dict[str, Any]:
    """Build the book in the folder `run`: `run`, `chapters` (state and seconds of each), `left_out` (why,
    by chapter), `errors` and `page`, the page to open (None where no chapter is whole or no site could be
    made: the last one stays). To `repeat` a run, its `run.yml` is the profile: the same chapters and photos.
    WastebookError, before anything starts, for whatever is wrong with what was asked.
    """
    find_renderer(renderer)
    repeated = read_record(Path(profile).parent) if repeat else {}
    wanted = wanted or list(repeated.get("parameters", {}))
    if repeat and (Path(profile).name != "run.yml" or not wanted):
        told = "a run's" if Path(profile).exists() else "there"
        raise WastebookError(f"{profile} is not {told}: name the run.yml of a run.")
    asked = plan.plan(book, profile, settings, wanted)
    with at_work(run):
        left_out = plan.leave_out(book, asked)
        for chapter, why in left_out.items():
            print(as_line(f"{chapter} is left out: {why}."), file=sys.stderr)
            remove_chapter(run, chapter)
        records, data = prepare(book, run, asked, left_out, repeated)
        before = {chapter: read_yaml(run / BUILD / f"{chapter}.yml") for chapter in records}
        ended = _run_snakemake(book, run, records, data, jobs or 2)
        states = _outcome(book, run, before)
        errors = [state["message"] for state in states.values() if state["state"] == "failed"]
        if ended and not errors:
            raise WastebookError(f"Snakemake (cache: XDG_CACHE_HOME) failed, and no chapter did. See {ended}")
        page = _make_pages(book, run, renderer, {state["state"] for state in states.values()}, errors)
    chapters = {
        name: {"state": state["state"], "seconds": round(state.get("seconds", 0), 1)}
        for name, state in sorted(states.items())
    }
    return {"run": str(run), "chapters": chapters, "left_out": left_out, "errors": errors, "page": page}


def _make_pages(book: Book, run: Path, renderer: str, ended: set[str], errors: list[str]) -> str | None:
    """Make the site and, where a chapter has run, the deck that it brings along, if anything is another than
    before; gives the page to open, None where none is whole. What fails is told: of the site among the
    `errors`, without the deck it goes on."""
    page, made_of = run / "site" / "index.html", run / BUILD / "site.txt"
    if ended <= {*NOT_MADE}:
        return None
    kept = ended == {"reused"} and page.exists() and made_of.exists()
    if kept and made_of.read_text(encoding="utf-8") == _made_of(book, run, renderer):
        return str(page)
    made_of.unlink(missing_ok=True)
    if (book.chapters / "slides").is_dir() and ("done" in ended or not (run / "slides").exists()):
        try:
            make_slides(book, run, renderer)
        except WastebookError as error:
            print(f"No slides: {error}", file=sys.stderr)
            shutil.rmtree(run / "slides", ignore_errors=True)
    try:
        page = make_site(book, run, renderer)
    except WastebookError as error:
        errors.append(str(error))
        return None
    if not errors:
        write_text(made_of, _made_of(book, run, renderer))
    return str(page)


def _made_of(book: Book, run: Path, renderer: str) -> str:
    """A hash of what a site is made of where no chapter has run again: what the run says of itself, the
    book's files, the library, the chapters as they were executed, and the renderer."""
    tops = [top for top in book.root.glob("[!.]*") if not run.is_relative_to(top)]  # without other runs
    tops += [run / "chapters", *filter(None, [book.library])]
    places = {place for top in tops for place in (top, *top.rglob("*"))}
    files = sorted(place for place in places if place.is_file() and "__pycache__" not in place.parts)
    told = {**read_record(run), "written": ""}
    facts = [told, find_renderer(renderer), *((str(file), file_hash(file)) for file in files)]
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def execute_chapter(book: Book, run: Path, name: str, given: Sequence[str]) -> Path:
    """Execute one chapter into the folder `run`, with the parameters `given` (`name=value`) over those of the
    run; gives the executed notebook. Says on stderr where it stands."""
    chapter = plan.find_chapter(book, name)
    source = plan.read_chapter(book, chapter)
    recorded = read_yaml(run / "run.yml").get("parameters", {}).get(chapter, {})
    values = {name: value for name, value in recorded.items() if name in plan.parameters_of(source)}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise WastebookError(f"-p {text}: expected name=value, as in -p seed=1.")
        values[name] = plan.Text(value)
    complete = plan.check_parameters(book, chapter, values)
    for need in plan.stated(source, plan.NEEDS):
        if not (run / "results" / f"{need}.json").exists():
            both = f"wastebook build --run {shlex.quote(str(run))} --chapter {chapter}"
            raise WastebookError(f"{chapter} reads {need}, which has not run in {run}. To run both: {both}")
    with at_work(run):
        records, _ = prepare(book, run, {chapter: complete}, {}, {})
        return run_chapter(source, chapter, records[chapter], run, book.chapters, follower(chapter))


def prepare(
    book: Book, run: Path, asked: Parameters, left_out: Mapping[str, str], repeated: Record
) -> tuple[dict[str, Record], dict[str, str]]:
    """Make ready what chapters are made from, and keep in `run.yml` what is asked of the run. Gives the
    record of what each is to be made of, and the hash of its data. WastebookError where its data is not that
    of the run to be `repeated`."""
    parameters = {name: values for name, values in asked.items() if name not in left_out}
    facts, hashes = book.prepare(parameters)
    earlier = read_yaml(run / "run.yml")
    record: Record = {
        "written": datetime.now().astimezone().isoformat(timespec="seconds"),
        "commit": commit(book.root),
        "hardware": hardware(),
        "versions": {"python": platform.python_version(), **plan.versions(declared_packages(book))},
    }
    records = {name: record | facts.get(name, {}) | {"parameters": parameters[name]} for name in parameters}
    for kind, one in (pair for found in facts.values() for pair in found.items()):
        record[kind] = record.get(kind, {}) | one
    for name, photos in record.get("data", {}).items():
        if repeated.get("data", {}).get(name, photos) != photos:
            raise WastebookError(f"What is here as {name} is not what that run was made of: bring it back.")
    gone = {name: why for name, why in earlier.get("left_out", {}).items() if name not in asked}
    record |= {"parameters": earlier.get("parameters", {}) | asked, "left_out": gone | {**left_out}}
    write_yaml(run / "run.yml", record)
    return records, hashes


def declared_packages(book: Book) -> set[str]:
    """The packages that the book's distribution requires, and those that compute."""
    required = importlib.metadata.requires(book.distribution) if book.distribution else None
    declared = {re.split(r"[^\w.-]", one)[0] for one in required or [] if "extra ==" not in one}
    return declared | {*book.computes} | ({book.distribution} if book.distribution else set())


def _run_snakemake(book: Book, run: Path, records: dict[str, Record], data: dict[str, str], jobs: int) -> str:
    """Have Snakemake run the chapters, and leave nothing running, however it ends: empty where it went well,
    otherwise the command that says what was wrong."""
    made_from = plan.ingredients(book, {name: each["parameters"] for name, each in records.items()}, data)
    chapters = {}
    for name, record in records.items():
        needs = [each for each in plan.read_by(book, name) if each in records]
        chapters[name] = {"needs": needs, "ingredients": made_from[name], "record": record}
    jobs = min(jobs, len(chapters), cores := joblib.cpu_count())
    # Waiting threads sleep: here a chapter may have all cores, elsewhere (by a profile) it asks for a share.
    share = cores // jobs if "SNAKEMAKE_PROFILE" in os.environ else cores
    graph = {"chapters": chapters, "run": str(run), "folder": str(book.chapters), "python": sys.executable}
    write_text(run / BUILD / "graph.json", json.dumps(graph | {"threads": share}, indent=2))
    # Snakemake compares times; where the clock was ahead once, those that are to come yet become past.
    stamps = {file: file.stat().st_mtime for file in (run / BUILD).glob("*.done")}
    ahead = max(stamps.values(), default=0) - datetime.now().timestamp()
    for file, stamp in stamps.items() if ahead > 0 else ():
        os.utime(file, (stamp - ahead,) * 2)
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(book.root / "Snakefile")]
    command += ["--directory", str(run), "--cores", str(jobs * share)]
    # The lock is ours, which goes with its process; a chapter whose process was ended is run again.
    options = "--quiet all --keep-going --rerun-incomplete --nolock --rerun-triggers params input mtime"
    told, there = sys.stderr.fileno(), os.environ | {"WASTEBOOK_RUN": str(run)}  # which profiles may name
    # In a session of its own: Ctrl+C is for the build, which ends all of it by closing its stdin.
    with subprocess.Popen(
        [*command, *options.split()], stdin=subprocess.PIPE, stdout=told, env=there, start_new_session=True
    ) as process:
        return shlex.join(command) if process.wait() else ""


def _outcome(book: Book, run: Path, before: Mapping[str, State]) -> dict[str, State]:
    """What became of each chapter (each after those it needs) of a build, by how it stood `before`: done,
    failed, reused (with the prose of now) or skipped."""
    states: dict[str, State] = {}
    for chapter, earlier in before.items():
        state = read_yaml(run / BUILD / f"{chapter}.yml")
        if state == earlier:  # no clock is asked, which may have been set back
            failed = {name for name, one in states.items() if one["state"] in NOT_MADE}
            lacking = [need for need in plan.read_by(book, chapter) if need in failed]
            there = (run / BUILD / f"{chapter}.done").exists() and not lacking
            why = f"It reads {' and '.join(lacking)}, which could not be made."
            state = {"state": "reused"} if there else {"state": "skipped", "message": why}
            if there:
                renew_prose(book, run, chapter)
        elif state["state"] == "running":
            why = f"Chapter {chapter} was ended from outside, as when the memory is full. Try --jobs 1."
            state |= {"state": "failed", "message": why}
        write_yaml(run / BUILD / f"{chapter}.yml", state)
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
