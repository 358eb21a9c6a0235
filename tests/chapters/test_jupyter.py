"""Every chapter with its own defaults, as a reader's Jupyter runs it: in order, into one run."""

import os
import subprocess
import sys

import pytest

from wastebook import paths
from wastebook.book.plan import plan
from wastebook.edition import BOOK


@pytest.fixture(scope="module")
def execute(tmp_path_factory):
    """Execute chapters after those that they need, each once; give what Jupyter said of each."""
    run = tmp_path_factory.mktemp("runs") / "lab"
    done: dict[str, subprocess.CompletedProcess] = {}

    def execute_up_to(chapter):
        for name in plan(BOOK, "quick", wanted=[chapter]):
            done[name] = done.get(name) or subprocess.run(
                [sys.executable, "-m", "jupyter", "execute", f"{name}.ipynb"],
                cwd=paths.CHAPTERS,
                env=os.environ | {"WASTEBOOK_RUN": str(run)},
                capture_output=True,
                text=True,
            )
        return done[chapter]

    return execute_up_to


# The same defaults as by `wastebook`; in a chapter that learns, papermill's own command runs them as well.
QUICK = ("01-exploration",)


@pytest.mark.parametrize(
    "chapter",
    [
        *QUICK,
        *(
            pytest.param(name, marks=pytest.mark.campaign)
            for name in plan(BOOK, "quick")
            if name not in QUICK
        ),
    ],
)
def test_by_jupyter(chapter, execute):
    done = execute(chapter)
    assert done.returncode == 0, done.stderr[-2000:]
