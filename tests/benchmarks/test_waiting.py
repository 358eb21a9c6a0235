"""What a person waits for: the command's first words, and a build of which little or nothing has changed."""

import os
import subprocess
import sys
import time

import pytest

from wastebook import paths

pytestmark = pytest.mark.benchmark

BUILD = ("-m", "wastebook.cli", "build", "--profile", "quick", "--run", "sample")
HELP, PANDAS = ("-m", "wastebook.cli", "--help"), ("-c", "import pandas")
CHAPTER = "01-exploration"


@pytest.fixture(scope="module")
def seconds_of(tmp_path_factory):
    """A function that gives how long a command of Python's takes, in a copy of the project with a cache of
    its own, both empty of results."""
    copy, cache = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("cache")
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=paths.PROJECT, capture_output=True, text=True, check=True
    )
    for name in tracked.stdout.splitlines():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes((paths.PROJECT / name).read_bytes())
    environment = os.environ | {"PYTHONPATH": str(copy / "lib"), "WASTEBOOK_CACHE": str(cache)}

    def run(*command):
        started = time.perf_counter()
        subprocess.run(
            [sys.executable, *command], cwd=copy, env=environment, stdout=subprocess.DEVNULL, check=True
        )
        return time.perf_counter() - started

    run.chapter = copy / "chapters" / f"{CHAPTER}.ipynb"
    return run


@pytest.fixture(scope="module")
def cold(seconds_of):
    """Seconds of the first build of the sample."""
    return seconds_of(*BUILD)


def test_the_command_says_what_it_can_before_pandas_is_there(seconds_of, tell_speed):
    ours, theirs = (min(seconds_of(*command) for _ in range(3)) for command in (HELP, PANDAS))
    tell_speed(
        "wastebook --help", "an import of pandas", f"{ours:.2f} and {theirs:.2f} s", theirs / ours, 1.0
    )


def test_a_build_of_what_has_not_changed(seconds_of, cold, tell_speed):
    seconds = seconds_of(*BUILD)
    tell_speed(
        "a build of nothing changed", "the first", f"{seconds:.1f} and {cold:.0f} s", cold / seconds, 40
    )


def test_a_changed_sentence_on_the_page(seconds_of, cold, tell_speed):
    text = seconds_of.chapter.read_text()
    assert text.count("photos") > 1
    seconds_of.chapter.write_text(text.replace("photos", "pictures", 1))
    seconds = seconds_of(*BUILD)
    told = f"{seconds:.1f} and {cold:.0f} s"
    tell_speed("a build of one changed sentence", "the first", told, cold / seconds, 40)


def test_a_changed_parameter(seconds_of, cold, tell_speed):
    seconds = seconds_of(*BUILD, "--set", f"{CHAPTER}.seed=2")  # not its own
    told = f"{seconds:.1f} and {cold:.0f} s"
    tell_speed(f"a build of one changed parameter, of {CHAPTER}", "the first", told, cold / seconds, 5)
