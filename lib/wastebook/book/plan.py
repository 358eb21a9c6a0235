"""A book as the press sees it: a folder of parameterised notebooks, what to run of it, and what makes a
chapter stale."""

import ast
import hashlib
import importlib.metadata
import json
import platform
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from nbformat import NotebookNode
from pydantic import TypeAdapter, ValidationError
from ruamel.yaml import YAMLError

from wastebook.errors import WastebookError, did_you_mean
from wastebook.files import expand, file_hash, parse_yaml
from wastebook.paths import read_record, read_yaml

PLAIN = (ast.Constant, ast.UnaryOp, ast.List, ast.Tuple, ast.Dict)  # values of parameters
# Parameters that a notebook states, and nobody sets: the chapters whose results it reads, those that it reads
# where they have run, and what it asks of its data, each in words and as an expression for `book.unsuited`.
NEEDS, READS, ASKS = STATED = ("needs", "reads", "asks")

Values = dict[str, Any]  # parameters of one chapter
Parameters = dict[str, Values]  # by chapter
Prepared = tuple[dict[str, dict[str, Any]], dict[str, str]]  # by chapter: facts to record, a hash of its data


class Book(NamedTuple):
    """A folder with `_quarto.yml`, `Snakefile`, `chapters/<number>-<name>.ipynb` and `chapters/profiles/`,
    and what this book wants done around its chapters."""

    root: Path
    library: Path | None = None  # the code that chapters stand on: where it changes, they are stale
    apart: tuple[str, ...] = ()  # files and folders in it whose changes reach no chapter
    distribution: str | None = None  # the package whose requirements' versions run.yml records
    computes: tuple[str, ...] = ()  # the packages whose versions make chapters stale
    right: Mapping[Any, Callable[[Any], str]] = {}  # by parameter or type: what it should be, if it is not
    resolve: Callable[[str, Any], Any] = lambda name, value: value  # a parameter's value, for any folder
    prepare: Callable[[Parameters], Prepared] = lambda parameters: ({}, {})
    ingredients: Callable[[str, Values], Any] = lambda chapter, values: None  # more that makes it stale
    unsuited: Callable[[Values, Mapping[str, str]], str] = lambda values, asks: ""  # why, where it is so
    decorate: Callable[[Path], None] = lambda run: None  # writes pages and includes before rendering
    describe: Callable[[Path], str] = lambda run: f"The run {run.name}."  # under the title of its deck
    finish: Callable[[Path, Path], None] = lambda run, site: None  # adds to a site

    @property
    def chapters(self) -> Path:
        return self.root / "chapters"


class Parameter(NamedTuple):
    """A parameter of a notebook: its type as annotated, and its default."""

    type: Any
    default: Any


class Text(str):
    """A value as typed on the command line: plain text where that is wanted or all that fits, else YAML."""


def chapter_names(book: Book) -> list[str]:
    """The chapters there are, in the book's order: the stems of the notebooks in `chapters/` that begin with
    a number (others, and copies as JupyterLab names them, are to try things in)."""
    return sorted(file.stem for file in book.chapters.glob("[0-9]*.ipynb") if "-Copy" not in file.stem)


def _unknown(kind: str, name: str, known: Iterable[str]) -> WastebookError:
    return WastebookError(f"No {kind} is called {name!r}. {did_you_mean(name, known)}")


def find_chapter(book: Book, name: str) -> str:
    """The chapter that `name` means: its stem, the beginning of it (`01`) or what follows the number
    (`exploration`). WastebookError, with the nearest names, where that is none or several."""
    names = chapter_names(book)
    found = [known for known in names if known.startswith(name) or known.partition("-")[2].startswith(name)]
    if name in names or (name and len(found) == 1):
        return name if name in names else found[0]
    if found:
        raise WastebookError(f"{name!r} may be chapter {' or '.join(found)}: which?")
    raise _unknown("chapter", name, names)


def read_chapter(book: Book, chapter: str) -> NotebookNode:
    """The source notebook of a chapter."""
    try:
        text = (book.chapters / f"{chapter}.ipynb").read_text(encoding="utf-8-sig")
        return nbformat.reads(text, as_version=4)
    except (OSError, ValueError, AttributeError, nbformat.ValidationError) as error:
        reason = str(error).partition("\n")[0]
        raise WastebookError(f"chapters/{chapter}.ipynb is not a notebook: {reason}") from error


def cell_options(source: str) -> tuple[dict[str, Any], str]:
    """The `#|` options at the top of a cell, and the code below them."""
    lines = source.split("\n")
    end = next((at for at, line in enumerate(lines) if not line.startswith("#|")), len(lines))
    options = parse_yaml("\n".join(line[2:].removeprefix(" ") for line in lines[:end])) or {}
    return options, "\n".join(lines[end:])


def annotated(source: str) -> list[tuple[str, ast.AnnAssign | ast.Assign, ast.expr]]:
    """Name, statement and value of each assignment of a parameters cell; of those without an annotation,
    which papermill takes as well, where the value is a plain one."""
    return [
        (target.id, node, node.value)
        for node in ast.parse(source).body
        if (isinstance(node, ast.AnnAssign) and node.value)
        or (isinstance(node, ast.Assign) and isinstance(node.value, PLAIN))
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    ]


def parameters_of(notebook: NotebookNode) -> dict[str, Parameter]:
    """The parameters that a notebook takes: what its cell tagged `parameters` assigns."""
    tagged = (cell.source for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    try:
        values = [(name, node, ast.literal_eval(value)) for name, node, value in annotated(next(tagged, ""))]
        return {name: Parameter(_type_of(node, default), default) for name, node, default in values}
    except (SyntaxError, NameError, ValueError) as error:
        raise WastebookError(f"Parameters cells hold `name: type = plain value` lines: {error}.") from error


def _type_of(node: ast.AnnAssign | ast.Assign, default: Any) -> Any:
    """As annotated (papermill reads `int | None` only as a text, "Optional[int]"), else the default's."""
    if isinstance(node, ast.AnnAssign):
        return eval(ast.unparse(node.annotation).strip("'\""), vars(typing).copy())
    return Any if default is None else type(default)


def stated(notebook: NotebookNode, *names: str) -> list[str]:
    """What a notebook states in its parameters of these names (`STATED`): the chapters that it reads."""
    known = parameters_of(notebook)
    return [each for name in names if name in known for each in known[name].default]


def read_by(book: Book, chapter: str) -> list[str]:
    """The chapters that a chapter reads, or would if they had run."""
    return stated(read_chapter(book, chapter), NEEDS, READS)


def without(notebook: NotebookNode, missing: Collection[str]) -> NotebookNode:
    """The notebook without the cells that are tagged with the name of a chapter that is missing."""
    notebook.cells = [cell for cell in notebook.cells if not {*cell.metadata.get("tags", [])} & {*missing}]
    return notebook


def as_run(notebook: NotebookNode, run: Path) -> NotebookNode:
    """The notebook without the cells on chapters that it reads and that have left nothing in the run."""
    missing = [name for name in stated(notebook, READS) if not (run / "results" / name).exists()]
    return without(notebook, missing)


def leave_out(book: Book, parameters: Parameters) -> dict[str, str]:
    """Why chapters are left out, of those to run: their data is not what they ask for, or a chapter that they
    need is left out. WastebookError where all are."""
    reasons: dict[str, str] = {}
    for chapter, values in parameters.items():
        source = read_chapter(book, chapter)
        lacking = [f"it needs {need}" for need in stated(source, NEEDS) if need in reasons]
        asks = parameters_of(source).get(ASKS, Parameter(dict, {})).default
        if why := next(iter(lacking), "") or book.unsuited(values, asks):
            reasons[chapter] = why
    if len(reasons) == len(parameters):
        raise WastebookError("No chapter is left to run: these photos suit none that was asked for.")
    return reasons


def check_parameters(book: Book, chapter: str, given: Mapping[str, Any]) -> Values:
    """All parameters of a chapter but those `STATED`: those given, checked against its notebook's, over its
    defaults. WastebookError where the notebook has no such parameter or the value is none that it takes."""
    known = parameters_of(read_chapter(book, chapter))
    known = {name: one for name, one in known.items() if name not in STATED}
    if unknown := [name for name in given if name not in known]:
        raise _unknown(f"parameter of chapter {chapter}", unknown[0], known)
    complete: Values = {}
    for name, one in known.items():
        value = _typed(f"{chapter}.{name}", one.type, given[name]) if name in given else one.default
        is_right = book.right.get(name, book.right.get(one.type))
        if is_right and value is not None and (right := is_right(value)):
            raise WastebookError(f"{chapter}.{name} = {value!r}: should be {right}.")
        complete[name] = book.resolve(name, value)
    return complete


def _typed(where: str, type_: Any, value: Any) -> Any:
    adapter = TypeAdapter(type_)
    try:
        try:
            read = str if type_ is str else parse_yaml
            plain = read(value) if isinstance(value, Text) else value
            return adapter.validate_python(plain, strict=True)
        except (ValueError, YAMLError, RecursionError):
            # YAML takes 1e-3 for a text, a folder called 2024 for a number, and fails on 2024-02-30.
            if not isinstance(value, str):
                raise
            return adapter.validate_strings(str(value), strict=True)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Input ")
        expected = type_.__name__ if isinstance(type_, type) else str(type_).replace("typing.", "")
        raise WastebookError(f"{where} = {value!r}: {reason} (it takes {expected}).") from error


def load_profile(book: Book, name: str) -> Parameters:
    """The parameters by chapter of a profile: a name in `chapters/profiles/`, or a file's path; a run's."""
    kept = {file.stem: file for file in sorted((book.chapters / "profiles").glob("*.yml"))}
    file = kept.get(name) or expand(name)
    if not file.is_file():
        raise _unknown("profile (or file)", name, kept)
    profile = read_record(file.parent)["parameters"] if file.name == "run.yml" else read_yaml(file)
    if not isinstance(profile, dict) or not all(isinstance(values, dict) for values in profile.values()):
        raise WastebookError(f"{file} must give parameters by chapter, as `01-first:` over `name: value`.")
    return {f"{key:02}" if isinstance(key, int) else str(key): each for key, each in profile.items()}


def plan(book: Book, profile: str, settings: Sequence[str] = (), wanted: Sequence[str] = ()) -> Parameters:
    """The complete parameters of each chapter to run, every chapter after those it needs.

    `settings` (`chapter.parameter=value`) go over the profile, and in each a named chapter over `*`. `wanted`
    limits the chapters to those named and what they need. WastebookError where anything is wrong."""
    profiled = load_profile(book, profile)
    if not (sources := {name: read_chapter(book, name) for name in chapter_names(book)}):
        raise WastebookError(f"There is no chapter in {book.chapters}.")
    asked: Parameters = {}
    for text in settings:
        place, equals, value = text.partition("=")
        chapter, dot, name = place.rpartition(".")
        if not (dot and equals):
            raise WastebookError(f"--set {text}: expected chapter.parameter=value, as in '*.seed=1'.")
        asked.setdefault(chapter, {})[name] = Text(value)
    known = {chapter: parameters_of(source).keys() - {*STATED} for chapter, source in sources.items()}
    given: Parameters = {chapter: {} for chapter in sources}
    for layer in (profiled, asked):
        for name, value in layer.pop("*", {}).items():
            if not (having := [chapter for chapter in sources if name in known[chapter]]):
                raise _unknown("parameter of any chapter", name, sorted(set().union(*known.values())))
            for chapter in having:
                given[chapter][name] = value
        for chapter, values in layer.items():
            given[find_chapter(book, chapter)].update(values)
    complete = {chapter: check_parameters(book, chapter, values) for chapter, values in given.items()}
    return {name: complete[name] for name in _order(sources, {find_chapter(book, name) for name in wanted})}


def _order(sources: Mapping[str, NotebookNode], wanted: set[str]) -> list[str]:
    """The chapters wanted (all where none is named) and those they need, each after those it needs."""
    needs = {name: stated(source, NEEDS, READS) for name, source in sources.items()}
    for chapter in needs:
        for need in needs[chapter]:
            if need not in needs:
                raise WastebookError(f"Chapter {chapter} needs {need}. {_unknown('chapter', need, needs)}")
    try:
        order = list(TopologicalSorter(needs).static_order())
    except CycleError as error:
        raise WastebookError(f"These chapters need each other: {', '.join(error.args[1])}.") from error
    kept = wanted or set(order)
    for chapter in reversed(order):
        if chapter in kept:
            kept.update(needs[chapter])
    return [chapter for chapter in order if chapter in kept]


def ingredients(book: Book, parameters: Parameters, data: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """What each chapter is made from, as SHA-256, with the `data` made ready for it: where one of these
    changes, or a chapter that it needs is run again, so is it. Its prose is none (see `renew_prose`)."""
    library, apart = book.library or book.root / "none", {*book.apart, "__pycache__"}
    files = [file.relative_to(library) for file in sorted(library.rglob("*.*")) if file.is_file()]
    shared: dict[str, Any] = {
        "library": [(str(file), file_hash(library / file)) for file in files if not apart & {*file.parts}],
        "versions": [platform.python_version(), versions(book.computes)],
    }
    made = {}
    for chapter, values in parameters.items():
        own = {"parameters": values, "data": data.get(chapter, ""), "more": book.ingredients(chapter, values)}
        own["notebook"] = [
            (cell.cell_type, cell.source * (cell.cell_type == "code"), cell.metadata.get("tags", []))
            for cell in read_chapter(book, chapter).cells
        ]
        plain = {name: json.dumps(content, sort_keys=True) for name, content in (shared | own).items()}
        made[chapter] = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in plain.items()}
    return made


def versions(names: Iterable[str]) -> dict[str, str]:
    """The versions of some packages; `missing` where one is not there."""
    found = dict.fromkeys(sorted(names, key=str.lower), "missing")
    for name in found:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found
