"""What keeps the house small and open: the budget of each room, what may import what, what is documented."""

import ast
import doctest
import inspect
import subprocess
import sys
from collections import Counter

import griffe
import numpy as np
import pandas as pd
import pytest

import wastebook
from wastebook import paths

LIBRARY = paths.PROJECT / "lib" / "wastebook"
GROUND, EDITION, CLI = "ground floor", "edition", "cli"  # the rooms that are modules
# Lines at most, all told: docstrings, blanks, and what the site is made of. The second number is the aim,
# towards which the first only ever falls.
BUDGETS = {
    GROUND: (606, 330),
    "data": (1258, 1200),
    "photos": (918, 620),
    "learning": (2428, 1750),
    "evaluation": (862, 680),
    "report": (2579, 1250),
    "answers": (652, 560),
    "book": (1988, 1350),
    CLI: (300, 270),
}
TOTAL = (11591, 8000)
LONGEST_FILE, LONGEST_FUNCTION = 300, 40

# A room imports from those before it. `edition` tells the press of this book; the press knows nothing of it.
ORDER = [GROUND, "data", "photos", "learning", "evaluation", "report", "answers", "book", EDITION, CLI]
PRESS = {GROUND, "book"}  # all that the press may import
HEAVY = {"torch", "tensorflow", "keras"}
WITHOUT_TRAINING = ["evaluation", "report", "photos.decode", "photos.quality", "photos.duplicates"]

MODULES = sorted(LIBRARY.rglob("*.py"))
each_module = pytest.mark.parametrize(
    "module", MODULES, ids=lambda file: file.relative_to(LIBRARY).as_posix()
)
each_name = pytest.mark.parametrize("name", wastebook.__all__)


def parse(file):
    return ast.parse(file.read_text(encoding="utf-8"))


def room_of(file):
    """The room that a file of the library stands in, for its budget."""
    first, *rest = file.relative_to(LIBRARY).parts
    return first if rest else CLI if first == "cli.py" else GROUND


def lines_of(file):
    try:
        return len(file.read_text(encoding="utf-8").splitlines())
    except UnicodeDecodeError:
        return 0  # a picture or a font


@pytest.fixture(scope="module")
def lines_by_room():
    counts: Counter[str] = Counter(dict.fromkeys(BUDGETS, 0))
    for file in LIBRARY.rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts:
            counts[room_of(file)] += lines_of(file)
    return counts


@pytest.mark.parametrize("room", BUDGETS)
def test_a_room_keeps_to_its_budget(room, lines_by_room):
    assert lines_by_room[room] <= BUDGETS[room][0]


def test_the_library_is_small(lines_by_room, record_property, capfd):
    total = sum(lines_by_room.values())
    counted = [(room, lines_by_room[room], aim) for room, (_, aim) in BUDGETS.items()]
    rows = [
        f"{room:14}{count:6}, aim {aim:5}" for room, count, aim in [*counted, ("all told", total, TOTAL[1])]
    ]
    record_property("lines", "; ".join(" ".join(row.split()) for row in rows))
    with capfd.disabled():
        print("\nLines of lib/wastebook:", *rows, sep="\n  ")
    assert set(lines_by_room) == set(BUDGETS), "each folder is a room with a budget"
    assert total <= TOTAL[0]


@each_module
def test_a_file_is_short(module):
    assert lines_of(module) <= LONGEST_FILE


@each_module
def test_a_function_is_short(module):
    lengths = {
        node.name: (node.end_lineno or node.lineno) - node.lineno + 1
        for node in ast.walk(parse(module))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }
    long = {name: length for name, length in lengths.items() if length > LONGEST_FUNCTION}
    assert not long, f"lines of functions: {long}"


def acts(body, documented=True):
    """The statements of a module or class that do something when it is imported."""
    for place, node in enumerate(body):
        match node:
            case ast.Expr(value=ast.Constant(value=str())) if documented and place == 0:
                pass
            case ast.Import() | ast.ImportFrom() | ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Pass():
                pass
            case ast.Assign(targets=targets):
                simple = all(isinstance(part, (ast.Name, ast.Tuple)) for part in targets)
                yield from [] if simple else [node]  # `os.environ["X"] = ...` sets what others see
            case ast.AnnAssign(target=ast.Name()):
                pass
            case ast.ClassDef(body=inner):
                yield from acts(inner)
            case ast.Expr(value=ast.Call(func=ast.Attribute(attr="add_typer"))):
                pass  # a declaration, as the decorators of commands are
            case ast.If(test=ast.Name(id="TYPE_CHECKING"), body=inner):
                yield from acts(inner, documented=False)
            case ast.If(test=ast.Compare(left=ast.Name(id="__name__"))):
                pass
            case _:
                yield node


@each_module
def test_nothing_happens_on_import(module):
    if module.stem == "torchvision_import" or module == LIBRARY / "book" / "__init__.py":
        return  # imported for what it does: it mends the import of another package
    found = [f"line {node.lineno}: {ast.unparse(node).splitlines()[0]}" for node in acts(parse(module).body)]
    assert not found, "\n".join(found)


def own_imports(file):
    """The dotted names below `wastebook` that a file imports, anywhere in it, with their lines."""
    for node in ast.walk(parse(file)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            names = ["wastebook.relative"] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            if name.partition(".")[0] == "wastebook":
                yield name.partition(".")[2], node.lineno


def room_imported(name):
    """The room of a dotted name below `wastebook`; None where it is no module there (a name of the API)."""
    first = name.partition(".")[0]
    if first and (LIBRARY / first).is_dir():
        return first
    if first in (CLI, EDITION):
        return first
    return GROUND if first in ("", "__version__") or (LIBRARY / f"{first}.py").is_file() else None


@each_module
def test_imports_point_one_way(module):
    place = module.stem if module.stem in (CLI, EDITION) else room_of(module)
    allowed = set(ORDER[: ORDER.index(place) + 1])
    if place == "book":
        allowed = PRESS
    if module == LIBRARY / "__init__.py":
        allowed = set(ORDER)  # it names what chapters use, for type checkers
    wrong = [
        f"line {line}: wastebook.{name}"
        for name, line in own_imports(module)
        if room_imported(name) not in allowed
    ]
    assert not wrong, "\n".join(wrong)


def test_the_ground_floor_stands_on_nothing_of_ours_that_is_above():
    names = {file.stem for file in LIBRARY.glob("*.py")}
    assert names == {"__init__", "errors", "files", "cache", "paths", EDITION, CLI}


def loaded_by(*modules):
    """The heavy libraries that are loaded once some modules are imported in a fresh Python."""
    code = f"import sys\nimport {', '.join(modules)}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_library_starts_fast():
    assert loaded_by("wastebook") & {*HEAVY, "pandas", "matplotlib", "sklearn"} == set()
    assert loaded_by("wastebook.cli") & HEAVY == set()


def test_rooms_that_do_not_train_load_neither_torch_nor_tensorflow():
    dotted = [".".join(("wastebook", *file.relative_to(LIBRARY).with_suffix("").parts)) for file in MODULES]
    found = [
        name
        for name in dotted
        if name.startswith(tuple(f"wastebook.{room}" for room in WITHOUT_TRAINING))
        and not name.endswith("__init__")
    ]
    assert loaded_by(*found) & HEAVY == set()


def test_the_names_of_a_chapter_are_listed():
    assert {"open_chapter", "load_photos", "show", "table", "score", "predict"} <= set(wastebook.__all__)
    assert len(set(wastebook.__all__)) == len(wastebook.__all__) <= 32
    assert set(wastebook.__all__) <= set(dir(wastebook))


def sections_of(thing):
    """The sections of a docstring in numpydoc's form, by kind, and the names that its tables give."""
    docstring = griffe.Docstring(inspect.getdoc(thing) or "")
    sections = {section.kind.value: section for section in griffe.parse_numpy(docstring, warnings=False)}
    tables = [sections[kind].value for kind in ("parameters", "attributes") if kind in sections]
    return sections, {part.strip() for table in tables for item in table for part in item.name.split(",")}


@each_name
def test_a_name_of_the_library_is_documented(name):
    thing = getattr(wastebook, name)
    sections, named = sections_of(thing)
    assert "text" in sections, "a summary comes first"
    if inspect.ismodule(thing):
        return
    assert "examples" in sections
    if name.startswith(("format_", "join_")):
        return  # one line each: the summary and the example say all
    signature = inspect.signature(thing)
    assert {part for part in signature.parameters if part != "self"} <= {part.lstrip("*") for part in named}
    if not inspect.isclass(thing) and signature.return_annotation not in (None, "None"):
        assert "returns" in sections


@each_name
def test_the_example_of_a_name_runs(name):
    thing = getattr(wastebook, name)
    source = sys.modules[getattr(thing, "__module__", thing.__name__)]
    names = {**vars(source), "wb": wastebook, "np": np, "pd": pd}
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    for test in doctest.DocTestFinder(recurse=False).find(thing, name, module=source, globs=names):
        runner.run(test, out=said.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(said)
