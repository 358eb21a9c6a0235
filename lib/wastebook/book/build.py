"""The book built: data made ready, chapters run as a graph by Snakemake, the site rendered."""

import hashlib
import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import joblib
import psutil
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Column, Table

from wastebook import paths
from wastebook.book.execute import State, alone
from wastebook.book.plan import (
    BUILD,
    DATA_SETS,
    PHOTOS,
    chapter_key,
    needs_of,
    plan,
    read_chapter,
    run_folder,
    write_record,
)
from wastebook.errors import WastebookError
from wastebook.files import write_text

LOG = Path("logs", "snakemake.log")
POLL_SECONDS = 0.2
COLOURS = {
    "waiting": "dim",
    "running": "yellow",
    "done": "green",
    "reused": "cyan",
    "failed": "red",
    "skipped": "dim",
}


def build(
    console: Console,
    profile: str,
    run_name: str | None,
    settings: Sequence[str],
    wanted: Sequence[str],
    jobs: int | None,
    renderer: str,
) -> dict[str, Any]:
    """Build the book, told of on `console`: `run` (folder), `chapters` (state and seconds of each), `errors`
    and `page`, the page to open (None where a chapter failed: the site then stays as it was).

    WastebookError, before anything starts, for whatever is wrong with what was asked.
    """
    from wastebook.book.render import find_renderer, render

    find_renderer(renderer)
    parameters = plan(profile, settings, wanted)
    run = run_folder(run_name or Path(profile).stem)
    with alone(run / BUILD / "build.lock"):
        data = prepare_data(parameters, console)
        needs = {chapter: needs_of(read_chapter(chapter)) for chapter in parameters}
        keys: dict[str, str] = {}
        for chapter, values in parameters.items():  # each after those it needs
            keys[chapter] = chapter_key(
                chapter, values, _photos_hash(values, data), [keys[need] for need in needs[chapter]]
            )
        write_record(run, parameters, data.values(), afresh=not wanted)
        states = _run_graph(run, needs, keys, jobs, console)
        errors = [state["message"] for state in states.values() if state["state"] == "failed"]
        chapters = {
            name: {"state": state["state"], "seconds": round(state.get("seconds", 0), 1)}
            for name, state in states.items()
        }
        outcome = {"run": str(run), "chapters": chapters, "errors": errors, "page": None}
        if not errors:
            with console.status("Rendering the site"):
                outcome["page"] = str(render(run, renderer))
    return outcome


def prepare_data(parameters: Mapping[str, Mapping[str, Any]], console: Console) -> dict[str, dict[str, Any]]:
    """Make ready each data set that the parameters by chapter ask for: photos at hand, checked and searched
    for copies, which several chapters at once would else each do. By the name asked for: its own `name`,
    `photos` (how many), `fingerprint` (of their content) and `table` (a SHA-256 of the table of photos)."""
    data: dict[str, dict[str, Any]] = {}
    searched: dict[str, bool] = {}  # whether a chapter looks at all of a data set's photos
    for values in parameters.values():
        for role in DATA_SETS:
            if name := values.get(role):
                whole = role == "dataset" and values.get("photos_per_class") is None
                searched[name] = searched.get(name, False) or whole
    for name, whole in searched.items():
        with console.status(f"Preparing the data set {name}"):
            from wastebook.data import fingerprint, open_dataset  # slow: not before all is checked
            from wastebook.photos.duplicates import find_duplicates
            from wastebook.photos.quality import check_photos, readable_photos

            dataset = open_dataset(name)
            if whole:
                readable = readable_photos(dataset.photos, check_photos(dataset.photos, dataset.root))
                find_duplicates(readable, dataset.root)
        table = hashlib.sha256(dataset.photos.to_csv(index=False).encode()).hexdigest()
        data[name] = {"name": dataset.name, "photos": len(dataset.photos)}
        data[name] |= {"fingerprint": fingerprint(dataset.photos), "table": table}
    return data


def _photos_hash(values: Mapping[str, Any], data: Mapping[str, Mapping[str, Any]]) -> str:
    """A SHA-256 of what the photos are that a chapter's parameters name: data sets and a folder."""
    from wastebook.data.copies import list_files

    tables = [data[values[role]]["table"] for role in DATA_SETS if values.get(role)]
    files = list_files(Path(values[PHOTOS])) if values.get(PHOTOS) else {}
    stamps = [(path, status.st_size, status.st_mtime_ns) for path, status in files.items()]
    return hashlib.sha256(repr((tables, stamps)).encode()).hexdigest()


def _run_graph(
    run: Path, needs: Mapping[str, Sequence[str]], keys: Mapping[str, str], jobs: int | None, console: Console
) -> dict[str, State]:
    """Have Snakemake run the chapters whose key has changed; the last state of each chapter."""
    stale: set[str] = set()
    for chapter, key in keys.items():
        kept = run / BUILD / f"{chapter}.key"
        if not kept.exists() or kept.read_text().strip() != key or stale & set(needs[chapter]):
            kept.unlink(missing_ok=True)
            (run / BUILD / f"{chapter}.json").unlink(missing_ok=True)
            stale.add(chapter)
    display, process = _Display(console), None
    with display.live or nullcontext():
        if stale:
            cores = joblib.cpu_count()
            jobs = min(jobs or 2, len(stale), cores)
            graph = {"chapters": _nodes(needs, keys), "python": sys.executable, "run": str(run)}
            graph |= {"threads": cores // jobs}
            process = _start_snakemake(run, graph, jobs * (cores // jobs))
            try:
                while process.poll() is None:
                    display.show(_states(run, keys, stale))
                    time.sleep(POLL_SECONDS)
            finally:
                _stop(process)
        states = _states(run, keys, stale, ended=True)
        display.show(states)
    if process and process.returncode and not any(state["state"] == "failed" for state in states.values()):
        raise WastebookError(f"Snakemake ended with exit code {process.returncode}: see {run / LOG}")
    return states


def _nodes(needs: Mapping[str, Sequence[str]], keys: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The Snakefile's chapters: those that most others wait for first, and the longer of equals, so that no
    core idles at the end."""
    waiting: dict[str, set[str]] = {chapter: set() for chapter in keys}
    for chapter in reversed(list(keys)):  # each comes after those it needs
        for need in needs[chapter]:
            waiting[need] |= {chapter} | waiting[chapter]
    order = sorted(keys, key=lambda chapter: (len(waiting[chapter]), len(read_chapter(chapter).cells)))
    return {
        chapter: {"needs": list(needs[chapter]), "key": key, "priority": order.index(chapter)}
        for chapter, key in keys.items()
    }


def _start_snakemake(run: Path, graph: Mapping[str, Any], cores: int) -> psutil.Popen:
    """Snakemake, started on the chapters of `graph` (the Snakefile's configuration)."""
    config = run / BUILD / "graph.json"
    write_text(config, json.dumps(graph, indent=2))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(paths.PROJECT / "Snakefile")]
    command += ["--directory", str(run), "--configfile", str(config), "--cores", str(cores)]
    # What is to run is known by its missing key alone; and the lock is ours, which goes with its process.
    command += ["--rerun-triggers", "mtime", "--rerun-incomplete", "--keep-going", "--nolock"]
    (run / LOG).parent.mkdir(exist_ok=True)
    with (run / LOG).open("w") as log:
        return psutil.Popen(command, stdout=log, stderr=log, start_new_session=True)


def _states(run: Path, chapters: Iterable[str], stale: set[str], ended: bool = False) -> dict[str, State]:
    """Where each chapter stands, from the files that the chapters' processes write."""
    states: dict[str, State] = {}
    for chapter in sorted(chapters):
        file = run / BUILD / f"{chapter}.json"
        if chapter not in stale:
            states[chapter] = {"state": "reused"}
        elif file.exists():
            states[chapter] = json.loads(file.read_text(encoding="utf-8"))
        else:
            states[chapter] = {"state": "skipped" if ended else "waiting"}
        if ended and states[chapter]["state"] == "running":
            message = f"Chapter {chapter} was ended from outside, as when the memory is full. Try --jobs 1."
            states[chapter] |= {"state": "failed", "message": message}
    return states


def _stop(process: psutil.Popen) -> None:
    """End a process with all that it has started, where it still runs."""
    if process.is_running():
        family = [*process.children(recursive=True), process]
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.terminate()
        for member in psutil.wait_procs(family, timeout=5)[1]:
            with suppress(psutil.NoSuchProcess):
                member.kill()


class _Display:
    """The chapters' states: a live table in a terminal, else a line at each change."""

    def __init__(self, console: Console):
        self._console = console
        self.live = Live(console=console, refresh_per_second=4) if console.is_terminal else None
        self._told: dict[str, str] = {}

    def show(self, states: Mapping[str, State]) -> None:
        if self.live:
            table = Table("Chapter", "State", "Cell", Column("Seconds", justify="right"), box=None)
            for chapter, state in states.items():
                table.add_row(
                    chapter, f"[{COLOURS[state['state']]}]{state['state']}", _cell(state), _seconds(state)
                )
            self.live.update(table)
            return
        for chapter, state in states.items():
            if self._told.get(chapter, "waiting") != state["state"]:
                self._told[chapter] = state["state"]
                seconds = f" in {_seconds(state)}" if "seconds" in state else ""
                self._console.print(f"{chapter}: {state['state']}{seconds}", highlight=False)


def _cell(state: State) -> str:
    if state["state"] != "running" or "cell" not in state:
        return ""
    return escape(f"{state['cell']}/{state['cells']} {state['name']}")


def _seconds(state: State) -> str:
    seconds = state.get("seconds", time.time() - state["started"] if "started" in state else None)
    return "" if seconds is None else f"{seconds:.0f} s"
