"""Where things lie: the project's own folders, the cache, and the copies a user already has."""

import os
from pathlib import Path

import platformdirs

from wastebook.errors import WastebookError

PROJECT = Path(__file__).resolve().parents[2]
CHAPTERS = PROJECT / "chapters"
PROFILES = CHAPTERS / "profiles"
CARDS = PROJECT / "data"
REFERENCE = CARDS / "reference"
RUNS = PROJECT / "runs"


def cache_folder(*parts: str) -> Path:
    """A folder under `WASTEBOOK_CACHE` (by default the user's cache), made if it is not there."""
    root = os.environ.get("WASTEBOOK_CACHE") or platformdirs.user_cache_dir("wastebook")
    folder = Path(root).expanduser().joinpath(*parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def own_copies(variable: str) -> list[Path]:
    """The existing folders or files named in `WASTEBOOK_DATA` or `WASTEBOOK_WEIGHTS`, in the order given."""
    named = (Path(part).expanduser() for part in os.environ.get(variable, "").split(os.pathsep) if part)
    return [path for path in named if path.exists()]


def run_folder(name: str) -> Path:
    """The folder of a run: `runs/<name>`, or the path itself where `name` is one."""
    if not name.strip():
        raise WastebookError("A run needs a name, as in --run sample.")
    return RUNS / name if Path(name).name == name != ".." else Path(name).expanduser().resolve()
