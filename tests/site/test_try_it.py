"""The page "Try it" in headless Chromium: the same answers as in Python, and no photo sent anywhere."""

import functools
import http.server
import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import requests
from axe_playwright_python.sync_playwright import Axe
from bs4 import BeautifulSoup
from playwright.sync_api import Browser, expect

from wastebook.answers import browser as try_it
from wastebook.answers.predictor import Predictor
from wastebook.book.render import render
from wastebook.data.datasets import Dataset
from wastebook.edition import BOOK

NAME = "resnet18-64x80-exact-int8"


@pytest.fixture
def plain_host(try_page: Path) -> Iterator[str]:
    """Where the site is served as any static host would."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(try_page.parent))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.mark.browser
def test_twenty_photos_are_answered_as_in_python_and_stay_here(
    browser: Browser, try_page: Path, run_with_model: Path, sample: Dataset, tmp_path: Path
) -> None:
    files = [sample.root / path for path in sample.photos["path"][::3][:20]]
    broken = tmp_path / "broken.jpg"
    broken.write_text("no picture")
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    found: list[str] = []
    page.on("console", lambda message: message.type == "error" and found.append(message.text))
    page.on("pageerror", lambda error: found.append(str(error)))
    here = (try_page.parent.as_uri(), "blob:", "data:")
    page.on("request", lambda request: request.url.startswith(here) or found.append(request.url))
    page.goto(try_page.as_uri())
    expect(page.get_by_text("no photo leaves your device")).to_be_visible()
    page.locator("#try-it input").first.set_input_files([broken, *files])
    status = page.locator("#try-it [role=status]")
    expect(status).to_contain_text("Done. broken.jpg cannot be read", timeout=120_000)
    articles = page.locator("#try-it article").all()[::-1]
    told = np.array([json.loads(article.get_attribute("data-probabilities") or "") for article in articles])
    predictor = Predictor(run_with_model / "models" / "04-efficientnet" / f"{NAME}.onnx")
    expected = np.stack([predictor.answer(file).probabilities for file in files])
    assert np.abs(told - expected).max() < 0.02  # another decoder, another rounding
    lead = np.sort(expected, axis=1)[:, -1] - np.sort(expected, axis=1)[:, -2]
    assert ((told.argmax(axis=1) == expected.argmax(axis=1)) | (lead < 0.02)).all() and (
        lead > 0.02
    ).sum() > 15
    labels = [article.get_attribute("data-label") for article in articles]
    assert labels == [predictor.classes[at] for at in told.argmax(axis=1)]
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert found == []
    assert Axe().run(page).response["violations"] == []
    context.close()


@pytest.mark.browser
def test_a_plain_host_will_do(browser: Browser, try_page: Path, sample: Dataset, plain_host: str) -> None:
    page = browser.new_page()
    page.goto(f"{plain_host}/try.html")
    page.locator("#try-it input").first.set_input_files(sample.root / sample.photos["path"][0])
    expect(page.locator("#try-it article")).to_have_count(1, timeout=120_000)
    page.close()


def said(site: Path) -> str:
    script = (site / try_it.FOLDER / "try.js").read_text(encoding="utf-8").split("\n")[0]
    told = json.loads(script.removeprefix("const tryIt = ").rstrip(";"))
    assert told["model"] is None and not (site / try_it.FOLDER / "model.js").exists()
    text = BeautifulSoup((site / "try.html").read_text(encoding="utf-8"), "html.parser").get_text()
    assert "without the model or the engine" in text
    return told["reason"]


def test_without_the_engine_it_says_how_to_get_it(
    run_with_model: Path, own_data: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = shutil.copytree(run_with_model, tmp_path / "run", ignore=shutil.ignore_patterns("site"))

    def unreachable(entry: object) -> Path:
        raise requests.ConnectionError

    monkeypatch.setattr(try_it, "download_file", unreachable)
    assert "npm pack onnxruntime-web" in said(render(BOOK, run, "pandoc").parent)


def test_without_a_model_it_says_so(embedded_site: Path) -> None:
    assert "build chapter 04" in said(embedded_site)
