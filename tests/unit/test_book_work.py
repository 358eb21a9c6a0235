"""Processes that are killed or stopped at work on a run: nothing goes on, and the next makes it good."""

import itertools
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from test_book_press import Weather

from wastebook import paths
from wastebook.book import work
from wastebook.book.render import replace_site
from wastebook.errors import WastebookError

KINDS = {"snakemake": "snakemake", "chapter": "wastebook.book.execute", "kernel": "ipykernel"}
COMMAND = """
import signal, sys
from pathlib import Path
from wastebook import cli, edition
from wastebook.book.plan import Book

# As in a terminal: what runs in the background, or under nohup, ignores them.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
edition.BOOK = Book(Path(sys.argv.pop(1)), computes=("numpy",))
cli.main()
"""
OLD = ("results/01-rain/a.parquet", "results/01-rain.json", "models/01-rain/m.onnx", "chapters/01-rain.ipynb")


class Killed(BaseException):
    """Nothing catches it and nothing follows it, as after SIGKILL."""


def write_parts(folder, text, *parts):
    for part in parts:
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        (folder / part).write_text(text)


def files_of(folder):
    found = (file for file in folder.rglob("*") if file.is_file() and ".build" not in file.parts)
    return {file.relative_to(folder).as_posix(): file.read_text() for file in found}


def kill_at(number, *changes):
    """Have the process killed at the n-th of these changes (functions of `os`); undone by the patch given."""
    left, patch = iter(range(number)), pytest.MonkeyPatch()

    def counted(change):
        def changed(*arguments, **options):
            if next(left, None) is None:
                raise Killed
            return change(*arguments, **options)

        return changed

    for name in changes:
        patch.setattr(os, name, counted(getattr(os, name)))
    return patch


@pytest.mark.fault(
    "kills", "SIGKILL between any two steps of moving a chapter in", "all of it is new, or all old"
)
@pytest.mark.parametrize("made", [OLD, OLD[1:2] + OLD[3:], ("results/01-rain/b.parquet", *OLD[1:])])
def test_a_chapter_moves_in_whole_whenever_it_is_killed(tmp_path, made, record_property):
    outcomes = []
    for number in itertools.count():
        run = tmp_path / str(number)
        write_parts(run, "old", *OLD)
        write_parts(run / work.BUILD, "", "01-rain.done")
        stage = work.open_stage(run, "01-rain")
        write_parts(stage, "new", *made)
        patch, whole = kill_at(number, "rename", "replace", "unlink", "rmdir"), True
        try:
            work.move_in(stage, run)
        except Killed:
            whole = False
        patch.undo()
        with work.at_work(run):
            found = files_of(run)
            outcomes.append(set(found.values()))
            assert found in (dict.fromkeys(OLD, "old"), dict.fromkeys(made, "new"))
            assert (run / work.BUILD / "01-rain.done").exists() == (outcomes[-1] == {"old"})
            assert not stage.exists() and not work.kernels_folder(stage).exists()
        if whole:
            break
    assert outcomes[0] == {"old"} and outcomes[-1] == {"new"} and len(outcomes) > 5
    record_property("inputs", len(outcomes) - 1)


def test_what_was_under_way_is_cleared(tmp_path):
    write_parts(tmp_path, "old", *OLD)
    stage = work.open_stage(tmp_path, "01-rain")
    write_parts(stage, "new", "results/01-rain.json")
    write_parts(tmp_path, "half", ".run.yml.0123.partial", "logs/.a.log.4567.partial")
    environment = os.environ | {work.IN_STAGE: str(stage)}
    kernel = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(99)"], env=environment)
    with work.at_work(tmp_path):
        assert kernel.wait(5) == -signal.SIGKILL
        assert files_of(tmp_path) == dict.fromkeys(OLD, "old")
        with pytest.raises(WastebookError, match="at work"), work.at_work(tmp_path):
            pass
    assert not stage.exists() and not work.kernels_folder(stage).exists()


@pytest.mark.fault("kills", "SIGKILL between the two renames of a site", "the last good page comes back")
@pytest.mark.parametrize("name", ["site", "slides"])
def test_a_site_is_there_whenever_it_is_killed(tmp_path, name):
    site = tmp_path / name
    write_parts(site, "old", "index.html")
    for number, expected in enumerate(["old", "old", "new"]):
        patch = kill_at(number, "rename")
        with suppress(Killed), work.exclusive_lock(tmp_path / work.LOCK):
            replace_site(site, [], lambda stage: write_parts(stage, "new", "index.html"))
        patch.undo()
        with work.at_work(tmp_path):
            assert files_of(tmp_path) == {f"{name}/index.html": expected}


@pytest.mark.fault(
    "disk and places", "a disk that is full while the site is made", "the last good page stays"
)
def test_a_full_disk_leaves_the_last_good_site(tmp_path):
    write_parts(tmp_path / "site", "old", "index.html")

    def full(stage):
        write_parts(stage, "half", "index.html")
        raise OSError(28, os.strerror(28), str(stage))

    with pytest.raises(OSError), work.at_work(tmp_path):
        replace_site(tmp_path / "site", [], full)
    assert files_of(tmp_path) == {"site/index.html": "old"}


@pytest.fixture
def weather(tmp_path, monkeypatch):
    """The book on the weather, and a folder for temporary files with a short name."""
    with tempfile.TemporaryDirectory(prefix="w", dir="/tmp") as folder:
        monkeypatch.setenv("TMPDIR", folder)
        book = Weather(tmp_path)
        book.temporary = Path(folder)
        yield book


def family_of(process):
    """All that a build has started, itself first, by what it is."""
    build, found = psutil.Process(process.pid), {}
    for one in [build, *build.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            line = " ".join(one.cmdline())
            found[one] = next((kind for kind, mark in KINDS.items() if mark in line), "build")
    return found


def going_on(processes, timeout):
    """Those that have not ended after some seconds; who is left to be reaped has."""
    left = psutil.wait_procs(processes, timeout)[1]
    return [one for one in left if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def kill_one(weather, kind, days, chance):
    """Start a build and kill a process of it at some moment; gives all that had been started."""
    process, started = weather.start(f"rain.days={days}"), {}
    while process.poll() is None and kind not in started.values():
        started |= family_of(process)
        time.sleep(0.02)
    time.sleep(chance.random() * (3 if kind == "build" else 1))
    if process.poll() is None:
        started |= family_of(process)
    for one in started:
        if started[one] == kind:
            with suppress(psutil.NoSuchProcess):
                one.kill()
                break
    process.communicate(timeout=60)
    return list(started)


def check_unbroken(weather, unbroken):
    """A build now makes the very run that a build makes that nobody killed, and leaves nothing lying."""
    _, outcome, said = weather.print("rain.days=2")
    assert not outcome["errors"] and "ended from outside" not in said, said
    assert made_by(weather) == unbroken
    left = [file for name in (".*.partial", f"{work.STAGE}*", ".s*-*") for file in weather.run.rglob(name)]
    left += [*weather.temporary.glob("book*"), *weather.run.glob(".snakemake/incomplete/*")]
    assert not left


def made_by(weather):
    parts = ("results", "chapters", "site/chapters", "site/index.html")
    files = [weather.run / part for part in parts if (weather.run / part).is_file()]
    files += [file for part in parts for file in (weather.run / part).rglob("*") if file.is_file()]
    files = [file for file in files if file.suffix != ".yml"]  # which say when
    return {file.relative_to(weather.run).as_posix(): file.read_bytes() for file in files}


def kill_often(weather, times, each):
    """Kill builds with other and other parameters; `each` is done after each kill."""
    weather.print("rain.days=2")
    unbroken = made_by(weather)
    chance, started = random.Random(1), []
    for number in range(times):
        kind = ("build", "snakemake", "chapter", "kernel")[number % 4]
        started += kill_one(weather, kind, 3 + number % 2, chance)
        each(unbroken)
    check_unbroken(weather, unbroken)
    assert not going_on(started, 5)


@pytest.mark.fault(
    "kills",
    "kill -9 of build, Snakemake, chapter and kernel at random moments, one build after another",
    "nothing goes on; the next build has the results of its own parameters, as an unbroken one has",
)
def test_kills_in_a_row(weather, record_property):
    record_property("inputs", 4)
    (weather.root / "chapters" / "02-sun.ipynb").unlink()  # of two chapters the campaign takes care
    kill_often(weather, 4, lambda unbroken: None)


@pytest.mark.campaign
@pytest.mark.fault(
    "kills",
    "kill -9 of build, Snakemake, chapter and kernel at random moments, each followed by a build",
    "the next build finishes at once and makes what an unbroken one makes",
)
def test_each_kill_is_made_good(weather, record_property):
    record_property("inputs", 50)
    kill_often(weather, 50, lambda unbroken: check_unbroken(weather, unbroken))


def test_a_run_is_repeated(weather):
    """It was asked for anew with other parameters, and killed before anything came of that."""
    first, again = weather.run, weather.root / "again"
    (weather.root / "_summary.md").write_text("It rained.")
    weather.print("rain.days=2")
    asked = (first / "run.yml").read_text()
    (first / "run.yml").write_text(asked.replace("days: 2", "days: 4"))
    done = run_command(weather, "build", "--from", str(first / "run.yml"), "--run", str(again))
    _, said = done.communicate(timeout=120)
    assert done.returncode == 0 and "days: 2" in asked, said
    for part in ("results/01-rain.json", "chapters/01-rain.ipynb", "chapters/02-sun.ipynb"):
        assert (again / part).read_bytes() == (first / part).read_bytes()
    record = paths.read_record(again)
    assert record["parameters"] == {"01-rain": {"days": 2, "wait": 0.0}, "02-sun": {}}


def run_command(weather, *arguments):
    command = [sys.executable, "-c", COMMAND, str(weather.root), *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, **pipes, text=True)


@pytest.mark.fault(
    "kills",
    "Ctrl+C, SIGTERM, a closed terminal while a chapter runs",
    "all ends at once, exit code 128 and more",
)
@pytest.mark.parametrize(("command", "number"), [("build", "SIGHUP"), ("chapter", "SIGINT")])
def test_signals_end_all(weather, command, number):
    waits = {"build": ["--set", "rain.wait=90"], "chapter": ["rain", "-p", "wait=90"]}[command]
    for folder in ("chapters", "results"):
        (weather.run / folder).mkdir(parents=True)
    process = run_command(weather, command, "--run", str(weather.run), *waits)
    state = weather.run / work.BUILD / "01-rain.yml"
    while not state.exists() or paths.read_yaml(state).get("cell") != 3:
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    for other in ("render", "slides") if number == "SIGHUP" else ():
        _, told = (refused := run_command(weather, other, str(weather.run))).communicate(timeout=60)
        assert refused.returncode == 1 and "Another process is at work" in told
    family = psutil.Process(process.pid).children(recursive=True)
    assert any("ipykernel" in " ".join(one.cmdline()) for one in family)
    process.send_signal(getattr(signal, number))
    began = time.monotonic()
    process.communicate(timeout=60)
    assert not going_on(family, 1)
    assert process.returncode == 128 + getattr(signal, number) and time.monotonic() - began < 10
    assert not [*weather.run.rglob(f"{work.STAGE}*"), *weather.temporary.glob("book*")]
    assert not [*(weather.run / "results").iterdir(), *(weather.run / "chapters").iterdir()]
