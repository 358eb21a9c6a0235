"""The example's run folder, its site by each renderer, the app, and a browser to open them in."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from example import first_chapter, second_chapter, write_run
from playwright.sync_api import Browser, sync_playwright

from wastebook.answers import browser as try_it
from wastebook.book.render import find_renderer, render
from wastebook.edition import BOOK
from wastebook.errors import WastebookError


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


@pytest.fixture(scope="session")
def run_with_model(kept_runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's run folder with a model in it."""
    chapters = {"01-first": first_chapter(), "02-second": second_chapter()}
    folder = write_run(tmp_path_factory.mktemp("try") / "a rün", **chapters)
    shutil.copytree(kept_runs / "small" / "models", folder / "models")
    return folder


@pytest.fixture(scope="session")
def try_page(run_with_model: Path) -> Path:
    """The page "Try it" with model and engine; skipped where the engine cannot be had."""
    site = render(BOOK, run_with_model, "pandoc").parent
    if not (site / try_it.FOLDER / "engine.js").exists():
        pytest.skip("onnxruntime-web cannot be had: no npm registry, and none in WASTEBOOK_DATA")
    return site / "try.html"


@pytest.fixture(scope="session")
def app_address(kept_runs: Path) -> Iterator[str]:
    """Where `wastebook app` answers, its port from the environment."""
    yield from serve_app(kept_runs / "small")


def serve_app(run: Path) -> Iterator[str]:
    """Where `wastebook app` answers by the models of a run, until it is no longer asked."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "wastebook.cli", "app", "--run", str(run)]
    started = subprocess.Popen(command, env=os.environ | {"PORT": port}, stdout=subprocess.DEVNULL)
    address = f"http://localhost:{port}"
    for _ in range(120):
        try:
            if urllib.request.urlopen(f"{address}/_stcore/health", timeout=5).read() == b"ok":
                break
        except OSError:
            time.sleep(0.5)
    yield address
    started.terminate()
    started.wait()


def _rendered(run: Path, renderer: str) -> Path:
    write_run(run, **{"01-first": first_chapter(), "02-second": second_chapter()})
    return render(BOOK, run, renderer).parent


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
