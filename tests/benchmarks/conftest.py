"""Speed as ratios: two ways to one thing, by turns in one run on one machine; and a page of what came."""

import platform
import time
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from wastebook.book.build import hardware
from wastebook.book.plan import versions
from wastebook.files import write_text

HEAD = """# How fast

Ratios, each of two ways measured by turns in one run on one machine. This page is made by
`python -m pytest -m benchmark tests/benchmarks --speed docs/speed.md`; leave the machine otherwise idle.
Where only some of the files are named, the other rows stay, as long as machine and versions are the same.

Measured on {processor}, {cores} cores, {memory_gb} GB, accelerator: {accelerator}; {versions}.

| what | against | measured | ratio | wanted | on |
| --- | --- | --- | --: | --: | --- |
"""
COMPUTING = ("torch", "tensorflow", "opencv-python-headless", "scikit-learn", "numpy")


def pytest_addoption(parser):
    parser.addoption("--speed", type=Path, metavar="FILE", help="write what the benchmarks measured to FILE")


def pytest_ignore_collect(config):
    """Not even imported where they are not asked for: it takes each process of a test run some seconds."""
    return None if "benchmark" in config.option.markexpr else True


def pytest_configure(config):
    if config.option.speed:
        config.pluginmanager.register(SpeedTable(config.option.speed))


class SpeedTable:
    """Gathers what benchmarks record as `speed`: what, against what, measured, ratio, wanted."""

    def __init__(self, file):
        self.file, self.rows = file, {}

    def pytest_runtest_logreport(self, report):
        if report.when == "call":
            told = [row for name, row in report.user_properties if name == "speed"]
            self.rows |= {tuple(row[:2]): (*row, date.today().isoformat()) for row in told}

    def pytest_sessionfinish(self):
        told = {"Python": platform.python_version(), **versions(COMPUTING)}
        machine = hardware() | {"versions": ", ".join(f"{name} {version}" for name, version in told.items())}
        if self.rows:
            rows = kept_rows(self.file, HEAD.format(**machine)) | self.rows
            lines = (f"| {' | '.join(row)} |\n" for row in rows.values())
            write_text(self.file, HEAD.format(**machine) + "".join(lines))


def kept_rows(file, head):
    """The rows of a page measured under the same `head`, by what was measured against what."""
    page = file.read_text(encoding="utf-8") if file.exists() else ""
    lines = page.removeprefix(head).splitlines() if page.startswith(head) else []
    rows = [tuple(cell.strip() for cell in line.strip("|").split(" | ")) for line in lines]
    return {row[:2]: row for row in rows}


@pytest.fixture
def tell_speed(record_property):
    """A function that puts a row on the page, and holds a ratio (1: as fast) against the wanted."""

    def tell(what, against, measured, ratio, wanted):
        shown = [f"{one:.0%}" if wanted <= 1 else f"{one:,.0f} times" for one in (ratio, wanted)]
        record_property("speed", (what, against, measured, *shown))
        print(f"\n{what}, against {against}: {measured}: {shown[0]}, wanted {shown[1]}")
        assert ratio >= wanted

    return tell


@pytest.fixture
def race(tell_speed):
    """A function that goes two ways by turns, each called with the number of the round, and holds the speed
    of the first against that of the second."""

    def run(what, ours, against, theirs, count, unit, wanted, rounds=3):
        theirs(rounds)  # what is done once, and not again, is not measured
        seconds = np.empty((rounds, 2))
        for number in range(rounds):
            for at, way in enumerate((theirs, ours)):
                started = time.perf_counter()
                way(number)
                seconds[number, at] = time.perf_counter() - started
        slow, fast = np.median(seconds, axis=0)
        measured = f"{count / fast:,.1f} and {count / slow:,.1f} {unit} a second"
        tell_speed(what, against, measured, slow / fast, wanted)

    return run
