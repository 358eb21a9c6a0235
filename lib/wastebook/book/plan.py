"""The project as a build sees it: its chapters, their parameters and needs, profiles, and run folders."""

import ast
import hashlib
import importlib.metadata
import json
import platform
import re
import shutil
import subprocess
import typing
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import yaml
from nbformat import NotebookNode
from pydantic import TypeAdapter, ValidationError

from wastebook import paths
from wastebook.errors import WastebookError, did_you_mean
from wastebook.files import write_text
from wastebook.paths import run_folder as run_folder

SETTING = re.compile(r"(?P<chapter>.+?)\.(?P<name>[A-Za-z_]\w*)=(?P<value>.*)", re.DOTALL)
BUILD = ".build"  # in a run: what is under way; of a chapter its stage, `.json` (state), `.key`, `.lock`
DATA_SETS, PHOTOS = ("dataset", "binary_dataset"), "photos_dir"  # the parameters that name photos
PACKAGE = "wastebook"
LIBRARY = Path(paths.__file__).parent


class Parameter(NamedTuple):
    """A parameter of a notebook: its type as annotated, and its default."""

    type: Any
    default: Any


class Text(str):
    """A value as typed on the command line: YAML, or plain text where YAML's reading of it does not fit."""


def chapter_names() -> list[str]:
    """The chapters there are, in the book's order: the stems of `chapters/*.ipynb`."""
    return sorted(file.stem for file in paths.CHAPTERS.glob("*.ipynb"))


def find_chapter(name: str) -> str:
    """The chapter that `name` means: its stem, the beginning of it (`01`) or what follows the number
    (`exploration`). WastebookError, with the nearest names, where that is none or several."""
    names = chapter_names()
    if name in names:
        return name
    found = [known for known in names if known.startswith(name) or known.partition("-")[2].startswith(name)]
    if name and len(found) == 1:
        return found[0]
    if found:
        raise WastebookError(f"{name!r} may be chapter {' or '.join(found)}: which?")
    raise unknown("chapter", name, names)


def unknown(kind: str, name: str, known: Iterable[str]) -> WastebookError:
    """The error that says that there is no `kind` called `name`, and which of the `known` may be meant."""
    return WastebookError(f"No {kind} is called {name!r}. {did_you_mean(name, known)}")


def find_run(name: str, part: str) -> Path:
    """The folder of a run that has the folder `part` (`chapters` or `results`); WastebookError where it has
    not."""
    folder = run_folder(name)
    if not (folder / part).is_dir():
        raise unknown("run", name, sorted(kept.parent.name for kept in paths.RUNS.glob(f"*/{part}")))
    return folder


def read_chapter(chapter: str) -> NotebookNode:
    """The source notebook of a chapter."""
    try:
        return nbformat.read(paths.CHAPTERS / f"{chapter}.ipynb", as_version=4)
    except nbformat.reader.NotJSONError as error:
        raise WastebookError(f"chapters/{chapter}.ipynb is not a notebook: {error}") from error


def needs_of(notebook: NotebookNode) -> list[str]:
    """The chapters whose results a notebook reads, as it names them in `metadata.wastebook.needs`."""
    return list(notebook.metadata.get("wastebook", {}).get("needs", []))


def parameters_of(notebook: NotebookNode) -> dict[str, Parameter]:
    """The parameters that a notebook takes: the annotated names of its cell tagged `parameters`."""
    tagged = (cell.source for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    try:
        return {
            name: Parameter(eval(ast.unparse(node.annotation), vars(typing).copy()), ast.literal_eval(value))
            for name, node, value in annotated(next(tagged, ""))
        }
    except (SyntaxError, NameError, ValueError) as error:
        raise WastebookError(
            f"A parameters cell must hold `name: type = plain value` lines: {error}."
        ) from error


def annotated(source: str) -> list[tuple[str, ast.AnnAssign, ast.expr]]:
    """Name, statement and value of each annotated assignment of a parameters cell."""
    return [
        (node.target.id, node, node.value)
        for node in ast.parse(source).body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value
    ]


def check_parameters(chapter: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """All parameters of a chapter: those given, checked against its notebook's, over its defaults.

    WastebookError where the notebook has no such parameter or the value is not of its type.
    """
    known = parameters_of(read_chapter(chapter))
    complete = {name: parameter.default for name, parameter in known.items()}
    for name, value in given.items():
        if name not in known:
            raise unknown(f"parameter of chapter {chapter}", name, known)
        complete[name] = _typed(f"{chapter}.{name}", known[name].type, value)
    for name in (*DATA_SETS, PHOTOS):
        place = complete.get(name)
        if isinstance(place, str) and not (paths.CARDS / f"{place}.yml").exists():
            folder = Path(place).expanduser().resolve()  # chapters run in another folder
            complete[name] = str(folder) if folder.is_dir() else place
    return complete


def _typed(where: str, type_: Any, value: Any) -> Any:
    adapter = TypeAdapter(type_)
    try:
        try:
            plain = yaml.safe_load(value) if isinstance(value, Text) else value
            return adapter.validate_python(plain, strict=True)
        except (ValidationError, yaml.YAMLError):
            # YAML takes 1e-3 for a text, and a folder called 2024 for a number.
            if not isinstance(value, str):
                raise
            return adapter.validate_strings(str(value), strict=True)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Input ")
        expected = type_.__name__ if isinstance(type_, type) else str(type_).replace("typing.", "")
        raise WastebookError(f"{where} = {value!r}: {reason} (it takes {expected}).") from error


def load_profile(name: str) -> dict[str, dict[str, Any]]:
    """The parameters by chapter of a profile: a name in `chapters/profiles/`, or a file's path."""
    kept = {file.stem: file for file in sorted(paths.PROFILES.glob("*.yml"))}
    file = kept.get(name, Path(name).expanduser())
    if not file.is_file():
        raise unknown("profile (or file)", name, kept)
    try:
        profile = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise WastebookError(f"{file} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(profile, dict) or not all(isinstance(values, dict) for values in profile.values()):
        raise WastebookError(
            f"{file} must give parameters by chapter, as `01-exploration:` over `dataset: sample`."
        )
    return {str(chapter): values for chapter, values in profile.items()}


def parse_setting(text: str) -> tuple[str, str, Text]:
    """Chapter, parameter and value of a `chapter.parameter=value`; WastebookError where it is not one."""
    match = SETTING.fullmatch(text)
    if match is None:
        raise WastebookError(f"--set {text}: expected chapter.parameter=value, as in '*.dataset=sample'.")
    return match["chapter"], match["name"], Text(match["value"])


def plan(profile: str, settings: Sequence[str] = (), wanted: Sequence[str] = ()) -> dict[str, dict[str, Any]]:
    """The complete parameters of each chapter to run, every chapter after those it needs.

    `settings` (`chapter.parameter=value`) go over the profile, and in each a named chapter over `*`. `wanted`
    limits the chapters to those named and what they need. Whatever is wrong, in whichever chapter, is a
    WastebookError.
    """
    profiled = load_profile(profile)
    sources = {name: read_chapter(name) for name in chapter_names()}
    if not sources:
        raise WastebookError(f"There is no chapter in {paths.CHAPTERS}.")
    given: dict[str, dict[str, Any]] = {name: {} for name in sources}
    asked: dict[str, dict[str, Any]] = {}
    for chapter, name, value in map(parse_setting, settings):
        asked.setdefault(chapter, {})[name] = value
    for layer in (profiled, asked):
        for name, value in layer.get("*", {}).items():
            having = [chapter for chapter in sources if name in parameters_of(sources[chapter])]
            if not having:
                everywhere = {known for source in sources.values() for known in parameters_of(source)}
                raise unknown("parameter of any chapter", name, sorted(everywhere))
            for chapter in having:
                given[chapter][name] = value
        for chapter, values in layer.items():
            if chapter != "*":
                given[find_chapter(chapter)].update(values)
    complete = {chapter: check_parameters(chapter, values) for chapter, values in given.items()}
    order = _in_order_of_need(sources)
    kept = set(map(find_chapter, wanted)) or set(order)
    for chapter in reversed(order):
        if chapter in kept:
            kept.update(needs_of(sources[chapter]))
    return {chapter: complete[chapter] for chapter in order if chapter in kept}


def _in_order_of_need(sources: Mapping[str, NotebookNode]) -> list[str]:
    for chapter, source in sources.items():
        for need in needs_of(source):
            if need not in sources:
                raise WastebookError(f"Chapter {chapter} needs {need}. {unknown('chapter', need, sources)}")
    try:
        return list(
            TopologicalSorter({name: needs_of(source) for name, source in sources.items()}).static_order()
        )
    except CycleError as error:
        raise WastebookError(f"These chapters need each other: {', '.join(error.args[1])}.") from error


def read_record(run: Path) -> dict[str, Any]:
    """What `run.yml` says of a run; empty where there is none yet."""
    file = run / "run.yml"
    return (yaml.safe_load(file.read_text(encoding="utf-8")) if file.exists() else None) or {}


def write_record(
    run: Path, parameters: Mapping[str, Any], data: Iterable[Mapping[str, Any]], afresh: bool = False
) -> None:
    """Keep in `run.yml` what a run is made from: the parameters by chapter and the facts of each data set
    (over those there already, unless `afresh`), the versions, the commit and the hardware."""
    earlier = {} if afresh else read_record(run)
    record = {
        "written": datetime.now().astimezone().isoformat(timespec="seconds"),
        "commit": commit(),
        "hardware": hardware(),
        "versions": versions(),
        "data": {**earlier.get("data", {}), **{facts["name"]: dict(facts) for facts in data}},
        "parameters": {**earlier.get("parameters", {}), **parameters},
    }
    write_text(run / "run.yml", yaml.safe_dump(record, sort_keys=False, allow_unicode=True))


def versions() -> dict[str, str]:
    """The versions of Python, the library and the packages it requires; `missing` where one is not there."""
    named = [
        re.split(r"[^\w.-]", requirement)[0]
        for requirement in importlib.metadata.requires(PACKAGE) or []
        if "extra ==" not in requirement
    ]
    found = {"python": platform.python_version()}
    for name in sorted([PACKAGE, *named], key=str.lower):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "missing"
    return found


def commit() -> str | None:
    """The project's Git commit, with `+` where files differ from it; None outside Git."""

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=paths.PROJECT, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        return git("rev-parse", "HEAD") + (
            "+" if git("status", "--porcelain", "--untracked-files=no") else ""
        )
    except (OSError, subprocess.CalledProcessError):
        return None


def hardware() -> dict[str, Any]:
    """This machine: `processor`, `cores` (those we may use), `memory_gb` and `accelerator` (or None)."""
    import joblib
    import psutil

    facts = Path("/proc/cpuinfo")
    models = re.findall(r"model name\s*: (.+)", facts.read_text()) if facts.exists() else []
    return {
        "processor": models[0] if models else platform.processor() or platform.machine(),
        "cores": joblib.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1024**3, 1),
        "accelerator": _accelerator(),
    }


def _accelerator() -> str | None:
    if shutil.which("nvidia-smi"):
        asked = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        names = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.split("\n")
        return names[0].strip() or None
    return "Apple GPU" if (platform.system(), platform.machine()) == ("Darwin", "arm64") else None


def weights_at_hand() -> list[str]:
    """The files of weights in the places that `WASTEBOOK_WEIGHTS` names."""
    places = paths.own_copies("WASTEBOOK_WEIGHTS")
    return sorted(file.name for place in places for file in [place, *place.glob("*.*")] if file.is_file())


def chapter_key(chapter: str, parameters: Mapping[str, Any], data: str, needs: Sequence[str]) -> str:
    """What decides whether a chapter is run again, as a SHA-256: its notebook, parameters, the library
    modules that it uses, what `data/` holds, the versions, the weights at hand where it learns, `data` (a
    hash of the photos' table) and the keys of the chapters it `needs`."""
    notebook = read_chapter(chapter)
    cells = [(cell.cell_type, cell.source, cell.metadata.get("tags", [])) for cell in notebook.cells]
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    modules = {
        file.relative_to(LIBRARY).as_posix(): file.read_text(encoding="utf-8")
        for file in sorted(own_modules(code))
    }
    compares = any("paths.REFERENCE" in source for source in [*code, *modules.values()])
    kept = [
        file.read_text(encoding="utf-8")
        for file in sorted(paths.CARDS.rglob("*.*"))
        if file.suffix in (".csv", ".yml", ".json") and (compares or not file.is_relative_to(paths.REFERENCE))
    ]
    weights = weights_at_hand() if any(module.startswith("learning/") for module in modules) else []
    ingredients = [cells, parameters, modules, kept, versions(), weights, data, list(needs)]
    return hashlib.sha256(json.dumps(ingredients, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def own_modules(sources: Iterable[str]) -> set[Path]:
    """The files of this library that some code imports, directly or through others of them."""
    found: set[Path] = set()
    waiting = list(sources)
    while waiting:
        for name in _imported(waiting.pop()):
            file = _module_file(name)
            if file is not None and file not in found:
                found.add(file)
                waiting.append(file.read_text(encoding="utf-8"))
    return found


def _imported(source: str) -> set[str]:
    """The modules of this library that a source may import, with the packages around them."""
    lines = (line for line in source.split("\n") if not line.lstrip().startswith(("%", "!")))  # IPython's own
    names: set[str] = set()
    try:
        tree = ast.parse("\n".join(lines))
    except SyntaxError:
        return names  # running the cell will say so
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update([node.module, *(f"{node.module}.{alias.name}" for alias in node.names)])
    own = (name.split(".") for name in names if name.split(".")[0] == PACKAGE)
    return {".".join(parts[:length]) for parts in own for length in range(1, len(parts) + 1)}


def _module_file(name: str) -> Path | None:
    base = LIBRARY.joinpath(*name.split(".")[1:])
    return next((file for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file()), None)
