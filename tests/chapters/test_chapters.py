"""Every chapter: its source keeps the contract, and it runs in each of the ways in which readers run it."""

import ast
import html
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import nbformat
import papermill
import pytest
from bs4 import BeautifulSoup

from wastebook import paths
from wastebook.book.deck import DECK
from wastebook.book.execute import run_chapter
from wastebook.book.plan import (
    STATED,
    annotated,
    cell_options,
    chapter_names,
    check_parameters,
    parameters_of,
    plan,
    stated,
)
from wastebook.edition import BOOK

CHAPTERS = chapter_names(BOOK)
LIBRARY = Path(paths.__file__).parent
EXAMPLE = "../docs/11-neighbours"  # the chapter that CONTRIBUTING.md has its reader copy
LONGEST_CELL, MOST_CELLS, MOST_NAMES, MOST_COLUMNS = 12, 40, 90, 6
VAGUE = {"told", "said", "lines", "ours", "theirs", "here", "own", "both", "some"}  # names that say nothing
USUAL = {"numpy": "np", "pandas": "pd", "seaborn": "sns", "matplotlib.pyplot": "plt", "wastebook": "wb"}
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
METADATA = {"kernelspec": KERNEL, "language_info": {"name": "python"}}  # what JupyterLab and nbstripout leave
DRAWN = r"wb\.figures\.(?:intervals|curves|training_curves|cost_fronts)\("
SHARES = {"accuracy", "recognised", "others", "share", "sure", "single", "asked", "same label", "confidence"}
SHARES |= {"holds the truth", "sets that hold the truth", "as it is", "without copies"}
VALUES = {"promised", "test", "met the twins", "never met them", "difference", "published", "this run"}
RAW = r"\b[a-z]\w*_\w+\b|\bresnet18\b|\bxception\b|\bsample-\w+|\bon sample\b|(?<![\w)])-\d"  # for programs
RAW += r"|(?<![\d,.])[1-9]\d{3,} (?:photos|features|numbers|answers|pairs)\b"  # without thousands apart
SMALL = {"photos_per_class": 12, "epochs": 1, "trials": 2, "seeds": [0]}  # those of them that a chapter has

# What may hold a digit in prose without being measured.
ALLOWED = [
    r"```.*?```|`[^`]*`",  # code
    r"\$[^$]+\$",  # formulas
    r"\]\([^)]*\)|<https?://[^>]*>",  # addresses of links
    r"\{[^}]*\}",  # attributes, and {{< var >}}
    r"@[\w:-]+",  # references and citations
    r"\b(?:19|20)\d\d\b",  # years
    r"\b\w*[A-Za-z]-?\d\w*",  # names: ResNet18, EfficientNet-B0, F1
    r"\b95 %",  # the level of every interval
    r"\b0 is black\b|\b255 (?:is )?white\b",  # the scale of pixels
    r"\b\d+(?:-bit|-pixel|-D| bits)\b",
]


def read(chapter):
    return nbformat.read(paths.PROJECT / "chapters" / f"{chapter}.ipynb", as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tree_of(notebook):
    """All code of a notebook as one syntax tree."""
    return ast.parse("\n".join(cell.source for cell in code_cells(notebook)))


@pytest.fixture
def notebook(chapter):
    return read(chapter)


each_chapter = pytest.mark.parametrize("chapter", CHAPTERS)
each_source = pytest.mark.parametrize("chapter", [*CHAPTERS, EXAMPLE])


@each_source
def test_source(notebook, chapter):
    assert (notebook.nbformat, notebook.nbformat_minor) >= (4, 5)
    nbformat.validate(notebook)
    assert notebook.metadata == METADATA
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    for cell in code_cells(notebook):
        assert not cell.outputs and cell.execution_count is None, f"cell {cell.id} has outputs"
    opened = f'chapter = wb.open_chapter("{chapter.rpartition("/")[2]}"'
    opened += ", needs)" if stated(notebook, "needs") else ")"
    assert opened in "\n".join(cell.source for cell in code_cells(notebook)).split("\n")


@pytest.mark.parametrize("chapter", [*CHAPTERS, EXAMPLE, DECK])
def test_the_source_is_thin(notebook):
    cells = code_cells(notebook)
    counted = [cell for cell in cells if "parameters" not in cell.metadata.get("tags", [])]
    lengths = {cell.id: len(cell.source.split("\n")) for cell in counted}
    long = {name: length for name, length in lengths.items() if length > LONGEST_CELL}
    assert not long, f"lines of cells: {long}"
    assert len(cells) <= MOST_CELLS
    assert len(global_names(notebook)) <= MOST_NAMES


def global_names(notebook):
    """The names that a notebook's code binds outside functions, comprehensions and classes."""
    names: set[str] = set()
    waiting: list[ast.AST] = [tree_of(notebook)]
    scopes = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
    while waiting:
        for node in ast.iter_child_nodes(waiting.pop()):
            match node:
                case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                    names.add(name)
                    continue
                case ast.Name(id=name, ctx=ast.Store()):
                    names.add(name)
                case ast.Import(names=found) | ast.ImportFrom(names=found):
                    names |= {alias.asname or alias.name.partition(".")[0] for alias in found}
            if not isinstance(node, scopes):
                waiting.append(node)
    return names


@each_source
def test_names_say_what_they_hold(notebook):
    assert sorted(global_names(notebook) & VAGUE) == []


@each_source
def test_imports(notebook):
    """In the cell that opens the chapter: our library by its name, usual ones by theirs, and whole
    modules of ours where they are the subject."""
    rooms, elsewhere, wrong = [], [], []
    for cell in code_cells(notebook):
        for node in ast.walk(ast.parse(cell.source)):
            if not isinstance(node, (ast.Import, ast.ImportFrom)):
                continue
            line = ast.unparse(node)
            elsewhere += [] if "open_chapter(" in cell.source else [line]
            if isinstance(node, ast.ImportFrom):
                rooms += [line] if (node.module or "").partition(".")[0] == "wastebook" else []
            else:
                names = ((alias, USUAL.get(alias.name)) for alias in node.names)
                wrong += [line for alias, usual in names if usual and alias.asname != usual]
                wrong += [line for alias, _ in names if alias.name.startswith("wastebook.")]
    assert elsewhere == [], "imports stand in the cell that opens the chapter"
    assert wrong == [], f"imported by its usual name: {USUAL}"
    assert len(rooms) <= 3, "what several chapters use belongs to the names of `wastebook`"
    for line in rooms:
        room, _, modules = line.removeprefix("from wastebook.").partition(" import ")
        files = [(LIBRARY / room / module).with_suffix(".py") for module in modules.split(", ")]
        assert all(file.is_file() for file in files), f"{line}: whole modules only"


def english(text):
    return re.findall(r"[A-Za-z]{2,}", text)


def english_in_code(notebook):
    """The words in a notebook's strings of three words or more (names of columns have fewer)."""
    nodes = list(ast.walk(tree_of(notebook)))
    formats = [node for node in nodes if isinstance(node, ast.JoinedStr)]
    parts = [part for node in formats for part in node.values]
    strings = [node for node in nodes if isinstance(node, ast.Constant) and node not in parts]
    texts = [str(node.value) for node in strings if isinstance(node.value, str)]
    texts += [
        " ".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))
        for node in formats
    ]
    return [word for text in texts if len(english(text)) >= 3 for word in english(text)]


@each_source
def test_a_model_is_called_by_the_network_that_was_loaded(notebook):
    """Where weights cannot be had another network stands in, under its own name."""
    calls = [node for node in ast.walk(tree_of(notebook)) if isinstance(node, ast.Call)]
    models = [call for call in calls if ast.unparse(call.func) == "wb.Model"]
    typed = [call.args[0].value for call in models if isinstance(call.args[0], ast.Constant)]
    assert set(typed) <= {"base_cnn", "optimised_cnn"}  # which learn from nothing


@each_source
def test_prose_is_markdown(notebook):
    prose = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    assert len(english_in_code(notebook)) < len(english(" ".join(prose)))


@each_source
def test_what_is_no_argument_is_hidden(notebook):
    """A computed sentence shows without its code, and one cell, which does not show, keeps the results."""
    keeping = []
    for cell in code_cells(notebook):
        options, body = cell_options(cell.source)
        if re.search(r"^chapter\.(save|record)\(", body, re.MULTILINE):
            keeping.append(cell.id)
            assert options.get("include") is False, f"cell {cell.id} keeps results: `#| include: false`"
        last = ast.parse(body).body[-1:]
        if last and re.match(r"(Markdown|wb\.note)\(", ast.unparse(last[0])):
            assert options.get("echo") is False, f"cell {cell.id} is a sentence: `#| echo: false`"
    assert len(keeping) <= 1, "one cell keeps what other chapters read"


@each_source
def test_headings(notebook):
    prose = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    titles = re.findall(r"^# .*$", "\n".join(prose), re.MULTILINE)
    assert len(titles) == 1 and prose[0].startswith(titles[0])
    assert re.search(r"\{#sec-[\w-]+\}$", titles[0])
    assert any(re.search(r"^## What we learned\b", text, re.MULTILINE) for text in prose)


@each_source
def test_parameters(notebook, chapter):
    (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    assigned = [node for node in ast.parse(cell.source).body if isinstance(node, (ast.Assign, ast.AnnAssign))]
    named = annotated(cell.source)
    assert len(assigned) == len(named)
    assert all(isinstance(node, ast.AnnAssign) for node in assigned), "every parameter is annotated"
    lines = cell.source.split("\n")
    for name, node, _ in named:
        assert re.search(r"  # \w", lines[(node.end_lineno or 0) - 1]), f"{name} says what it is"
    known = parameters_of(notebook).items()
    told = papermill.inspect_notebook(paths.PROJECT / "chapters" / f"{chapter}.ipynb")
    defaults = {name: parameter.default for name, parameter in known if name not in STATED}
    assert {*told} - {*STATED} == {*defaults}, "papermill --help-notebook lists every parameter"
    if chapter in CHAPTERS:
        assert check_parameters(BOOK, chapter, defaults) == defaults
    assert defaults.get("dataset", "sample").startswith("sample")


@each_source
def test_needs(notebook, chapter):
    """The first parameter names the chapters whose results are read, and the code reads no other's. Cells
    that are tagged with a chapter named in `reads` may read that: they go where it has not run."""
    (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    first = ast.parse(cell.source).body[0]
    assert ast.unparse(first).startswith("needs: list[str] = [")
    needs = ast.literal_eval(first.value)
    tags = {tag for cell in notebook.cells for tag in cell.metadata.get("tags", [])} - {"parameters"}
    assert tags <= set(stated(notebook, "reads")) <= set(CHAPTERS)
    assert set(needs) <= set(CHAPTERS) and all(need < chapter.rpartition("/")[2] for need in needs)
    for cell in code_cells(notebook):
        read = set(re.findall(r"chapter\.(?:read|values|load_photos)\(\s*\"([^\"]+)", cell.source))
        assert read <= {*needs, *cell.metadata.get("tags", [])}, cell.id


@pytest.mark.parametrize("chapter", [*CHAPTERS, EXAMPLE, DECK])
def test_what_a_cell_uses_is_there_whenever_the_cell_is(notebook):
    """Cells that are tagged with a chapter go where it has not run: nothing that stays needs them."""
    setting: dict[str, list[set[str]]] = {}
    for cell in code_cells(notebook):
        tags, nodes = {*cell.metadata.get("tags", [])}, list(ast.walk(ast.parse(cell.source)))
        names = [node for node in nodes if isinstance(node, ast.Name)]
        own = {node.id for node in names if isinstance(node.ctx, ast.Store)}
        own |= {node.arg for node in nodes if isinstance(node, ast.arg)}
        own |= {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
        for name in {node.id for node in names} - own:
            assert any(those <= tags for those in setting.get(name, [set()])), f"{cell.id}: {name}"
        for name in own:
            setting.setdefault(name, []).append(tags - {"parameters"})


@each_source
def test_figures_and_tables_are_told(notebook):
    for cell in code_cells(notebook):
        options, body = cell_options(cell.source)
        kind = options.get("label", "").partition("-")[0]
        shown = [node for node in ast.walk(ast.parse(body)) if isinstance(node, ast.Call)]
        shown = [node for node in shown if ast.unparse(node.func) == "wb.show"]
        if kind == "fig":
            assert options.get("fig-cap") and "fig-alt" not in options, options
            assert len(shown) == 1, f"cell {cell.id} shows its one figure by `wb.show`"
            alt = [*shown[0].args[1:], *(keyword.value for keyword in shown[0].keywords)]
            assert len(alt) == 1 and not isinstance(alt[0], ast.Constant), f"{cell.id} computes its alt text"
        else:
            assert not shown, f"cell {cell.id} shows a figure without a fig- label"
            assert kind != "tbl" or options.get("tbl-cap"), options


def test_figures_with_a_part_for_each_class_show_the_largest():
    """Of four hundred classes their panels were endless."""
    figures = [cell.source for cell in code_cells(read("01-exploration")) if "label: fig-" in cell.source]
    by_class = re.compile(r"""y="label"|col="panel"|summarise_colours|groupby\("label"\)\.head""")
    parts = [source for source in figures if by_class.search(source)]
    assert len(parts) == 6 and all("label in @largest" in source for source in parts)


def test_labels_are_unique_in_the_book():
    labels: Counter[str] = Counter()
    for name in CHAPTERS:
        for cell in read(name).cells:
            labels.update(re.findall(r"\{#([\w-]+)", cell.source) if cell.cell_type == "markdown" else [])
            labels.update([cell_options(cell.source)[0].get("label", cell.id)] * (cell.cell_type == "code"))
    assert [label for label, count in labels.items() if count > 1] == []


@each_chapter
def test_references_lead_to_what_is_there(notebook):
    """A cell refers to its chapter, to what that needs and to the chapters that the cell goes with: whatever
    else a run lacks, its pages hold together."""
    label = r"(?:\{#|label: )((?:sec|fig|tbl)-[\w-]+)"
    for cell in notebook.cells:
        known = [*stated(notebook, "needs"), *cell.metadata.get("tags", [])]
        others = [each for name in known if name in CHAPTERS for each in read(name).cells]
        there = {found for each in [*notebook.cells, *others] for found in re.findall(label, each.source)}
        assert set(re.findall(r"@((?:sec|fig|tbl)-[\w-]+)", cell.source)) <= there, cell.id


@each_chapter
def test_a_chapter_opens_in_short(notebook):
    """What it found and what to know before stands above its first section."""
    before = "".join(cell.source for cell in notebook.cells).partition("chapter.introduce(")[0]
    assert not re.search(r"^## ", before, re.MULTILINE)


@pytest.mark.parametrize("chapter", [name for name in CHAPTERS if name != "01-exploration"])
def test_a_chapter_with_scores_links_to_how_to_read_them(notebook):
    assert "](../scores.qmd" in "".join(cell.source for cell in notebook.cells)


@pytest.mark.parametrize("chapter", [*CHAPTERS, DECK])
def test_percentages_are_told_in_one_way(notebook):
    for cell in code_cells(notebook):
        assert not re.search(r":[+.\d]*%\}", cell.source), f"cell {cell.id}: `wb.format_percent`"


@each_chapter
def test_a_figure_of_scores_links_to_its_numbers(notebook, chapter):
    for cell in code_cells(notebook):
        options, body = cell_options(cell.source)
        if options.get("label", "").startswith("fig-") and re.search(DRAWN, body):
            assert f"[As CSV](../downloads/{chapter}/" in options["fig-cap"], cell.id


@pytest.mark.parametrize(("name", "key"), [("FIUBA", "fiuba"), ("TFM", "tfm")])
@each_chapter
def test_the_works_that_the_book_starts_from_are_cited_where_they_are_named(notebook, name, key):
    told = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert name not in told or f"@{key}" in told


@each_chapter
def test_a_plain_number_says_whether_text_is_there(notebook):
    """`"s" * (count > 1)` fails where the count is NumPy's: `bool(...)`, `len(...)` or what compares that."""
    for node in ast.walk(tree_of(notebook)):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            text, by = node.left, node.right
            if isinstance(text, ast.JoinedStr) or isinstance(getattr(text, "value", None), str):
                by = by.left if isinstance(by, ast.Compare) else by
                assert isinstance(by, ast.Call) and by.func.id in {"bool", "len"}, ast.unparse(node)


def prose_of(notebook):
    """What a reader reads that is not made from results: Markdown, captions, the fixed parts of f-strings."""
    for cell in notebook.cells:
        if cell.cell_type != "code":
            yield cell.source
            continue
        options, body = cell_options(cell.source)
        yield from (str(options.get(name, "")) for name in ("fig-cap", "tbl-cap"))
        nodes = list(ast.walk(ast.parse(body)))
        formats = [node.format_spec for node in nodes if isinstance(node, ast.FormattedValue)]
        for node in nodes:
            if isinstance(node, ast.JoinedStr) and node not in formats:
                yield "".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))


@pytest.mark.parametrize("chapter", [*CHAPTERS, EXAMPLE, DECK])
def test_no_number_is_typed(notebook):
    for text in prose_of(notebook):
        rest = re.sub("|".join(ALLOWED), "", text, flags=re.DOTALL)
        assert not re.findall(r".{0,20}\d.{0,20}", rest), "a number in prose comes from the results"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("We have 501 photos.", True),
        ("An accuracy of .93.", True),
        ("In 2016 [@thung2016], `x = 3` and ResNet18 at $p < 0.05$; see [here](https://a.b/1).", False),
        ("The 95 % interval of EfficientNet-B0's F1.", False),
    ],
)
def test_the_scan_for_typed_numbers(text, number):
    assert bool(re.search(r"\d", re.sub("|".join(ALLOWED), "", text, flags=re.DOTALL))) == number


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of every chapter with its own defaults, for each to find there what it needs."""
    folder = tmp_path_factory.mktemp("runs") / "quick"
    done: dict[str, object] = {}

    def run_up_to(chapter):
        for name, values in plan(BOOK, "quick", wanted=[chapter]).items():
            if name not in done:
                done[name] = run_chapter(
                    read(name), name, {"parameters": values}, folder, paths.PROJECT / "chapters"
                )
        return folder

    return run_up_to


def shown_by(executed):
    """What a reader sees of an executed chapter: its HTML, and the alternative texts of its figures."""
    for cell in code_cells(executed):
        options, _ = cell_options(cell.source)
        for output in cell.outputs if options.get("include", True) else []:
            yield cell, BeautifulSoup(output.get("data", {}).get("text/html", ""), "html.parser")
            alt = output.get("metadata", {}).get("image/png", {}).get("alt", "")
            yield cell, BeautifulSoup(f"<p>{html.escape(alt)}</p>", "html.parser")


@each_chapter
def test_a_reader_meets_names_and_percentages_by_wastebook(chapter, run):
    """Networks and data sets by their names for people, shares in percent, a minus that is one."""
    for cell, page in shown_by(nbformat.read(run(chapter) / "chapters" / f"{chapter}.ipynb", as_version=4)):
        for table in page.select("table"):
            rows = [[each.get_text() for each in row.select("th, td")] for row in table.select("tr")]
            heads = next((row for row in rows if len(row) > 1), [])
            for row in [row for row in rows if len(row) == len(heads)]:
                asked = SHARES | VALUES if "accuracy" in row and row != heads else SHARES
                shares = [told for head, told in zip(heads, row, strict=True) if head in asked]
                assert not [told for told in shares if re.match(r"[01]\.\d", told)], f"{cell.id}: {row}"
            if "module" in heads:
                table.decompose()  # of a network, as its code names them
        for part in page.select("style"):
            part.decompose()
        assert not re.findall(RAW, page.get_text(" ")), cell.id


def small(chapter):
    """Parameters for a quick run; what reads other chapters keeps to the photos that those saw."""
    named = parameters_of(read(chapter))
    own = {*named} - ({"photos_per_class"} if named["needs"].default else set())
    return {name: value for name, value in SMALL.items() if name in own}


@each_chapter
def test_by_wastebook(chapter, run):
    executed = nbformat.read(run(chapter) / "chapters" / f"{chapter}.ipynb", as_version=4)
    for cell in code_cells(executed):
        options, _ = cell_options(cell.source)
        for output in cell.outputs:
            for table in re.findall(r"<thead.*?</thead>", output.get("data", {}).get("text/html", ""), re.S):
                assert table.count("<th") <= MOST_COLUMNS + table.count("<thead"), f"columns of {cell.id}"
        bare = [output.data for output in cell.outputs if output.output_type == "execute_result"]
        assert not any({*data} == {"text/plain"} for data in bare), f"{cell.id} leaves a value on the page"
        if options.get("label", "").startswith("fig-"):
            pictures = [output.metadata.get("image/png", {}) for output in cell.outputs]
            assert all(picture.get("alt") for picture in pictures), (
                f"{options['label']} computes its alt text"
            )


def execute(arguments, folder):
    """A command of Jupyter's or papermill's, as a reader gives it in the chapters' folder."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=paths.PROJECT / "chapters",
        env=os.environ | {"WASTEBOOK_RUN": str(folder)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def by_command():
    """For CI the chapter to copy, which needs another; the rest weekly, since a build runs them."""
    rest = (pytest.param(name, marks=pytest.mark.campaign) for name in CHAPTERS)
    return pytest.mark.parametrize("chapter", [EXAMPLE, *rest])


def before(chapter):
    """The chapter up to which a run must be for this one."""
    return chapter if chapter in CHAPTERS else parameters_of(read(chapter))["needs"].default[0]


@by_command()
def test_by_papermill(chapter, run, tmp_path):
    arguments = ["papermill", f"{chapter}.ipynb", str(tmp_path / "executed.ipynb")]
    for name, value in small(chapter).items():
        arguments += ["--parameters_yaml", f"{name}: {value}"]
    execute(arguments, run(before(chapter)))


@by_command()
def test_by_jupyter(chapter, run):
    execute(["jupyter", "execute", f"{chapter}.ipynb"], run(before(chapter)))
