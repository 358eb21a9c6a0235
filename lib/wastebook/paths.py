"""Where things lie: the project's own folders, its runs, and the copies a user already has."""

import os
from pathlib import Path
from typing import Any

from ruamel.yaml import YAMLError

from wastebook.errors import WastebookError, did_you_mean
from wastebook.files import expand, parse_yaml


def _find_project() -> Path:
    """The project's folder: above this file, else the working directory or above it (where the library is
    installed apart); known by files that no run has, though a run is a Quarto project too."""
    for start in (Path(__file__), Path("here")):  # resolved one by one: the working directory may be gone
        for folder in start.resolve().parents:
            if (folder / "_quarto.yml").is_file() and (folder / "chapters" / "profiles").is_dir():
                return folder
    return Path.cwd()


PROJECT = _find_project()
CARDS = PROJECT / "data"
REFERENCE = CARDS / "reference"
RUNS = PROJECT / "runs"


def own_copies(variable: str) -> list[Path]:
    """The existing folders or files named in `WASTEBOOK_DATA` or `WASTEBOOK_WEIGHTS`, in the order given."""
    named = (expand(part) for part in os.environ.get(variable, "").split(os.pathsep) if part)
    return [path for path in named if path.exists()]


def make_absolute() -> None:
    """Make the places that the environment names absolute, since chapters run in a folder of their own."""
    for variable in ("WASTEBOOK_DATA", "WASTEBOOK_WEIGHTS", "WASTEBOOK_CACHE"):
        if places := os.environ.get(variable):
            whole = (str(expand(part).absolute()) for part in places.split(os.pathsep) if part)
            os.environ[variable] = os.pathsep.join(whole)


def run_folder(name: str) -> Path:
    """The folder of a run: `runs/<name>`, or the path itself where `name` is one."""
    if not name.strip():
        raise WastebookError("A run needs a name, as in --run sample.")
    folder = RUNS / name if Path(name).name == name != ".." else expand(name).resolve()
    if PROJECT.is_relative_to(folder):
        raise WastebookError(f"{folder} holds the book itself: a run needs a folder of its own.")
    return folder


def find_run(name: str, part: str) -> Path:
    """The folder of a run that has `part` (`chapters` or `results`); WastebookError where there is none."""
    folder = run_folder(name)
    if not (folder / part).is_dir():
        known = sorted(kept.parent.name for kept in RUNS.glob(f"*/{part}"))
        raise WastebookError(f"No run is called {name!r}. {did_you_mean(name, known)}")
    return folder


def read_yaml(file: Path) -> dict[str, Any]:
    """What a file holds by name; nothing where it is not there. WastebookError where it cannot be read."""
    try:
        return {**(parse_yaml(file.read_text(encoding="utf-8")) or {})} if file.exists() else {}
    except (YAMLError, ValueError, TypeError, RecursionError) as error:
        told = " ".join(str(error).split())
        raise WastebookError(f"{file} is not YAML of names and values: {told}") from error


def read_record(run: Path) -> dict[str, Any]:
    """What a run (or the reference) is: what `run.yml` says that was asked for, and over it what each chapter
    says that it was made of; of what they all say, the newest."""
    made = [(file.stem, read_yaml(file)) for file in sorted(run.glob("chapters/*.yml"))]
    made += [(file.parent.name, read_yaml(file)) for file in sorted(run.glob("*/*/run.yml"))]
    record = read_yaml(run / "run.yml")
    parameters, data = record.get("parameters", {}), {} if made else record.get("data", {})
    for chapter, one in sorted(made, key=lambda each: str(each[1].get("written"))):
        parameters, data = parameters | {chapter: one.get("parameters", {})}, data | one.get("data", {})
        record |= one
    return record | {"parameters": parameters, "data": data}
