"""The book built from the command line, on a project of the test's own with two tiny chapters."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_notebook

from wastebook import paths
from wastebook.book import build, execute

RENDER = """
def find_renderer(renderer):
    pass


def render(run, renderer="auto"):
    page = run / "site" / "index.html"
    page.parent.mkdir(exist_ok=True)
    page.write_text(" ".join(file.stem for file in sorted((run / "chapters").glob("*.ipynb"))))
    return page
"""
KEEP = """import os, pathlib, sys, time
assert number >= 0, "nothing below zero"
time.sleep(wait)
file = pathlib.Path(os.environ["WASTEBOOK_STAGE"], "results", "{name}.json")
file.parent.mkdir(parents=True)
file.write_text(str(number))"""
READ = 'pathlib.Path(os.environ["WASTEBOOK_RUN"], "results", "01-first.json").read_text()'


class Project:
    """A copy of the library with chapters of its own and a renderer that only lists them."""

    def __init__(self, root: Path):
        self.root = root
        self.environment = os.environ | {"PYTHONPATH": str(root / "lib")}
        shutil.copytree(paths.PROJECT / "lib" / "wastebook", root / "lib" / "wastebook")
        shutil.copy(paths.PROJECT / "Snakefile", root)
        (root / "lib" / "wastebook" / "report" / "render.py").write_text(RENDER)
        (root / "chapters" / "profiles").mkdir(parents=True)
        (root / "chapters" / "profiles" / "quick.yml").write_text('"*": {number: 1}\n')
        self.write("01-first")
        self.write("02-second", READ, "import wastebook.errors", needs=["01-first"])

    def write(self, name, *sources, needs=()):
        parameters = "number: int = 0  # what it keeps\nwait: float = 0.0  # seconds"
        cells = [new_code_cell(parameters, metadata={"tags": ["parameters"]})]
        cells += [
            new_code_cell(source, id=f"cell-{at}")
            for at, source in enumerate([KEEP.format(name=name), *sources])
        ]
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        notebook = new_notebook(
            cells=cells, metadata={"kernelspec": kernel, "wastebook": {"needs": list(needs)}}
        )
        nbformat.write(notebook, self.root / "chapters" / f"{name}.ipynb")

    def start(self, *arguments):
        return subprocess.Popen(
            [sys.executable, "-m", "wastebook.cli", *arguments],
            env=self.environment, cwd=self.root, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def call(self, *arguments):
        process = self.start(*arguments)
        stdout, stderr = process.communicate(timeout=120)
        return process.returncode, stdout, stderr

    def build(self, *arguments):
        """The exit code of a build, the state of each chapter, and the whole outcome."""
        code, stdout, stderr = self.call("build", "--run", "sample", "--json", *arguments)
        outcome = json.loads(stdout)
        assert "Traceback" not in stderr
        return code, {name: entry["state"] for name, entry in outcome.get("chapters", {}).items()}, outcome

    @property
    def run(self):
        return self.root / "runs" / "sample"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return Project(tmp_path_factory.mktemp("a {small} project"))


def test_an_interrupted_build_is_carried_on(project):
    process = project.start("build", "--run", "sample", "--set", "second.wait=100")
    state = project.run / execute.BUILD / "02-second.json"
    while not state.exists() or "cell" not in json.loads(state.read_text()):
        assert process.poll() is None
        time.sleep(0.1)
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr.strip().split("\n")[-1] == "Interrupted: the same command carries on from here."
    assert not psutil.wait_procs(family, timeout=20)[1]
    assert not (project.run / "chapters" / "02-second.ipynb").exists()

    code, stdout, stderr = project.call("build", "--run", "sample")
    page = project.run / "site" / "index.html"
    assert (code, stdout) == (0, f"{page}\n")
    assert "01-first: reused\n" in stderr and "02-second: done" in stderr
    assert page.read_text() == "01-first 02-second"
    record = yaml.safe_load((project.run / "run.yml").read_text())
    for chapter in ("01-first", "02-second"):
        assert record["parameters"][chapter] == {"number": 1, "wait": 0.0}
    assert record["versions"]["papermill"] and record["hardware"]["cores"] >= 1


def test_only_what_changed_is_run_again(project):
    module = project.root / "lib" / "wastebook" / "errors.py"
    module.write_text(module.read_text() + "# something else\n")
    assert project.build()[:2] == (0, {"01-first": "reused", "02-second": "done"})


def test_the_photos_of_a_chapter_are_known_by_their_hash(tmp_path):
    data = {"a": {"table": "1"}, "b": {"table": "2"}}
    values = {"dataset": "a", "binary_dataset": "b", "photos_dir": str(tmp_path)}
    hashes = [build._photos_hash(values, data)]
    (tmp_path / "new.jpg").write_bytes(b"photo")
    hashes.append(build._photos_hash(values, data))
    assert hashes[-1] == build._photos_hash(values, data)
    hashes.append(build._photos_hash(values, data | {"b": {"table": "3"}}))
    hashes.append(build._photos_hash({"dataset": "a"}, data))
    assert len(set(hashes)) == 4 and build._photos_hash({"number": 1}, {})


def test_a_failed_chapter_fails_the_build_and_nothing_else(project):
    code, states, outcome = project.build("--set", "first.number=-1")
    assert (code, states) == (1, {"01-first": "failed", "02-second": "skipped"})
    assert outcome["page"] is None
    (error,) = outcome["errors"]
    assert error.startswith(
        "Chapter 01-first failed in cell 2 (import os, pathlib, sys, time): AssertionError"
    )
    assert "nothing below zero" in error and len(error.split("\n")) == 2
    assert (project.run / "results" / "01-first.json").read_text() == "1"
    assert (project.run / "site" / "index.html").exists()


def test_a_chapter_ended_from_outside_has_failed(tmp_path):
    (tmp_path / execute.BUILD).mkdir()
    (tmp_path / execute.BUILD / "01-first.json").write_text('{"state": "running", "started": 0}')
    states = build._states(
        tmp_path, ["01-first", "02-second", "03-third"], {"01-first", "02-second"}, ended=True
    )
    assert {name: state["state"] for name, state in states.items()} == {
        "01-first": "failed", "02-second": "skipped", "03-third": "reused",
    }  # fmt: skip
    assert "ended from outside" in states["01-first"]["message"]
