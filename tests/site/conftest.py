"""The example's run folder, its site by each renderer, and a browser to open it in."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from example import first_chapter, second_chapter, write_run
from playwright.sync_api import Browser, sync_playwright

from wastebook.errors import WastebookError
from wastebook.report.render import find_renderer, render


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """A run folder, fresh for each test."""
    return write_run(tmp_path / "a rün & <b>", **{"01-first": first_chapter(), "02-second": second_chapter()})


@pytest.fixture(scope="session")
def embedded_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's site by the embedded renderer."""
    return _rendered(tmp_path_factory.mktemp("pandoc") / "run", "pandoc")


@pytest.fixture(scope="session")
def quarto_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's site by Quarto; without it, the tests that ask for it are skipped."""
    try:
        find_renderer("quarto")
    except WastebookError as error:
        pytest.skip(str(error))
    return _rendered(tmp_path_factory.mktemp("quarto") / "a rün", "quarto")


@pytest.fixture(params=["embedded_site", pytest.param("quarto_site", marks=pytest.mark.quarto)])
def site(request: pytest.FixtureRequest) -> Path:
    """The example's site, by one renderer and by the other."""
    return request.getfixturevalue(request.param)


def _rendered(run: Path, renderer: str) -> Path:
    write_run(run, **{"01-first": first_chapter(), "02-second": second_chapter()})
    return render(run, renderer).parent


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Headless Chromium; without one, the tests that ask for it are skipped."""
    program = next(
        filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome", "chrome"])), None
    )
    if program is None:
        pytest.skip("no Chromium on this machine")
    flags = "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking"
    flags += " disable-component-update disable-sync"
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=program, args=[f"--{flag}" for flag in flags.split()]
        )
        yield opened
        opened.close()


@pytest.fixture
def address(embedded_site: Path) -> str:
    """Where the embedded site begins, opened as a file."""
    return embedded_site.as_uri()
