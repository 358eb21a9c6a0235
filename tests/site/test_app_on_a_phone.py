"""The app as somebody with a phone meets it, in headless Chromium."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from wastebook.data import Dataset
from wastebook.prediction import open_model

pytestmark = pytest.mark.browser


@pytest.fixture
def served(kept_runs: Path) -> Iterator[str]:
    """Where `wastebook app` answers, its port from the environment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "wastebook.cli", "app", "--run", str(kept_runs / "small")]
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


def test_a_photo_on_a_phone(browser: Browser, served: str, kept_runs: Path, sample: Dataset) -> None:
    file = sample.root / sample.photos["path"][3]
    predictor = open_model(str(kept_runs / "small"))
    probabilities = predictor.answer(file).probabilities
    assert probabilities is not None
    best = int(probabilities.argmax())
    context = browser.new_context(viewport={"width": 390, "height": 844}, locale="es-ES")
    page = context.new_page()
    page.goto(served)
    expect(page.get_by_role("heading", name="¿De qué es esto?")).to_be_visible(timeout=60_000)
    page.locator("input[type=file]").set_input_files(file)
    answer = f"{predictor.spanish[best]} · {100 * probabilities[best]:.0f} %"
    expect(page.get_by_role("heading", name=answer)).to_be_visible(timeout=30_000)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    context.close()
