"""What the project declares that it needs is used, what it uses is declared, and the locks hold all of it."""

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib

import nbformat
import pytest
import yaml

from wastebook import paths

LIBRARY = paths.PROJECT / "lib" / "wastebook"

# Declared and imported nowhere, for a reason.
NOT_IMPORTED = {
    "jupyterlab": "`make lab`",
    "snakemake": "the build starts it",
    "tensorflow": "Keras computes with it",
    "pyarrow": "pandas reads and writes Parquet with it",
    "pyreveal": "the deck takes reveal.js from it",
    "ruff": "`make check`",
    "mypy": "`make check`",
    "pandas-stubs": "mypy reads them",
    "types-pyyaml": "mypy reads them",
    "pytest-timeout": "a plugin of pytest",
    "pytest-xdist": "a plugin of pytest",
    "nbstripout": "`make check`",
    "codespell": "`make check`",
    "pg8000": "SQLAlchemy speaks to PostgreSQL with it",
    "snakemake-executor-plugin-slurm": "a plugin of Snakemake's",
}


def normal(name):
    """A distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", name)[0]).lower()


def pyproject():
    return tomllib.loads((paths.PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def declared_in_pyproject():
    """The distributions that the library requires, those for its tests, and those that it can do without."""
    extras = {
        extra: {normal(name) for name in names}
        for extra, names in pyproject()["optional-dependencies"].items()
    }
    for_tests = extras.pop("test")
    return {normal(name) for name in pyproject()["dependencies"]}, for_tests, set().union(*extras.values())


def imported_by(files, notebooks=()):
    """What some Python files and notebooks import, our own and Python's left out: the distributions that may
    provide it, by module."""
    cells = [cell for file in notebooks for cell in nbformat.read(file, as_version=4).cells]
    trees = [
        *(ast.parse(file.read_text(encoding="utf-8")) for file in files),
        *(ast.parse(cell.source) for cell in cells if cell.cell_type == "code"),
    ]
    modules = set()
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules |= {node.module}
    providers = importlib.metadata.packages_distributions()
    roots = {name.partition(".")[0] for name in modules} - sys.stdlib_module_names
    return {root: {normal(name) for name in providers.get(root, [root])} for root in roots - {"wastebook"}}


@pytest.mark.parametrize("part", ["library", "tests"])
def test_what_is_declared_is_used_and_what_is_used_is_declared(part):
    library, for_tests, optional = declared_in_pyproject()
    if part == "library":
        declared, files = library, sorted(LIBRARY.rglob("*.py"))
        used = imported_by(files, sorted((paths.PROJECT / "chapters").rglob("*.ipynb")))
    else:
        declared, files = for_tests, sorted((paths.PROJECT / "tests").rglob("*.py"))
        found, helpers = imported_by(files), {file.stem for file in files}
        used = {root: names for root, names in found.items() if root not in helpers and not names & library}
    unused = {name for name in declared if not any(name in names for names in used.values())}
    unused -= set(NOT_IMPORTED)
    assert not unused, f"declared in pyproject.toml, imported nowhere: {', '.join(sorted(unused))}"
    undeclared = {root for root, names in used.items() if not names & (declared | optional)}
    assert not undeclared, f"imported, not declared in pyproject.toml: {', '.join(sorted(undeclared))}"


def locked(name):
    """The exact versions that a lock file names, by distribution."""
    lines = (paths.PROJECT / name).read_text(encoding="utf-8").splitlines()
    pins = (line.split(";")[0].strip().partition("==") for line in lines if line and line[0] != "#")
    return {normal(distribution): version for distribution, _, version in pins}


def test_the_locks_hold_a_version_of_what_is_declared():
    declared, for_tests, _ = declared_in_pyproject()
    assert sorted(declared - set(locked("requirements.lock"))) == []
    assert sorted(for_tests - set(locked("requirements-test.lock"))) == []
    assert all([*locked("requirements.lock").values(), *locked("requirements-test.lock").values()])


def jobs_of(workflow):
    file = paths.PROJECT / ".github" / "workflows" / f"{workflow}.yml"
    return yaml.safe_load(file.read_text(encoding="utf-8"))["jobs"]


def test_the_quick_book_is_built_on_what_is_declared():
    """Each Python of pyproject.toml, on three systems, by commands that know no shell of one of them."""
    quick = jobs_of("book")["quick"]
    matrix = quick["strategy"]["matrix"]
    kinds = (kind.removeprefix("Programming Language :: Python :: ") for kind in pyproject()["classifiers"])
    assert matrix["python"] == [kind for kind in kinds if re.fullmatch(r"3\.\d+", kind)]
    assert [system.partition("-")[0] for system in matrix["os"]] == ["ubuntu", "macos", "windows"]
    commands = [step["run"] for step in quick["steps"] if "run" in step]
    assert "wastebook build --profile quick --run sample --json" in commands
    assert not [command for command in commands if set(command) & set("$|&~`") or ".venv/" in command]


@pytest.mark.parametrize("workflow", ["book", "weekly"])
def test_a_job_that_fails_leaves_its_logs(workflow):
    for name, job in jobs_of(workflow).items():
        assert job["timeout-minutes"] <= 180
        makes = any(
            word in step.get("run", "") for step in job["steps"] for word in ("make", "build", "pytest")
        )
        kept = [step for step in job["steps"] if "upload-artifact" in step.get("uses", "")]
        assert kept or not makes, f"{workflow}: {name} keeps no logs"


def test_the_hooks_run_the_versions_of_the_lock():
    config = yaml.safe_load((paths.PROJECT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    wanted = {
        pin for repo in config["repos"] for hook in repo["hooks"] for pin in hook["additional_dependencies"]
    }
    versions = locked("requirements-test.lock")
    assert wanted == {f"{name}=={versions[name]}" for name in ("ruff", "nbstripout", "codespell")}


def test_cleaning_leaves_a_notebook_as_it_is_committed(tmp_path):
    """What JupyterLab, VS Code, nbconvert and papermill add to a chapter goes with the hook's arguments."""
    source = paths.PROJECT / "docs" / "11-neighbours.ipynb"
    saved = nbformat.read(source, as_version=4)
    language = {"codemirror_mode": {"name": "ipython"}, "file_extension": ".py", "mimetype": "text/x-python"}
    language |= {"nbconvert_exporter": "python", "pygments_lexer": "ipython3", "version": "3.11.7"}
    saved.metadata.language_info |= language
    saved.metadata |= {"papermill": {"version": "2.7.0"}, "widgets": {}, "vscode": {}}
    for cell in saved.cells:
        added = {
            "papermill": {},
            "execution": {},
            "collapsed": False,
            "scrolled": True,
            "vscode": {},
            "jupyter": {},
        }
        cell.metadata |= nbformat.from_dict(added)
        if cell.cell_type == "code":
            cell.execution_count = 3
            cell.outputs = [nbformat.v4.new_output("stream", text="many")]
    file = tmp_path / source.name
    nbformat.write(saved, file)
    config = yaml.safe_load((paths.PROJECT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    (hook,) = [hook for repo in config["repos"] for hook in repo["hooks"] if hook["id"] == "nbstripout"]
    subprocess.run([sys.executable, "-m", "nbstripout", *hook["args"], str(file)], check=True)
    assert file.read_bytes() == source.read_bytes()
    makefile = (paths.PROJECT / "Makefile").read_text(encoding="utf-8")
    assert hook["args"][-1].split() == re.search(r"^SAVED := (.*)$", makefile, re.MULTILINE)[1].split()
