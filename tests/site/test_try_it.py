"""The page "Try it" in headless Chromium: the same answers as in Python, and no photo sent anywhere."""

import base64
import functools
import http.server
import io
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
from PIL import Image
from playwright.sync_api import Browser, expect

from wastebook.answers import browser as try_it
from wastebook.answers.predictor import Answer, Predictor
from wastebook.book.render import render
from wastebook.data.datasets import Dataset
from wastebook.edition import BOOK
from wastebook.photos.decode import read_photo

NAME = "resnet18-64x80-exact-int8"


@pytest.fixture
def plain_host(try_page: Path, sample: Dataset, tmp_path: Path) -> Iterator[str]:
    """Where the site, with examples, is served as any static host would."""
    site = Path(shutil.copytree(try_page.parent, tmp_path / "site"))
    picture = io.BytesIO()
    Image.fromarray(read_photo(sample.root / sample.photos["path"][0])).save(picture, "webp")
    script = site / try_it.FOLDER / "try.js"
    examples = json.dumps([["<b>card</b>", base64.b64encode(picture.getvalue()).decode()]] * 2)
    script.write_text(script.read_text(encoding="utf-8").replace('"examples": []', f'"examples": {examples}'))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(site))
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
    expect(page.locator("#try-it .size")).to_contain_text(" MB; all after it come at once.")
    page.get_by_label("Choose photos").set_input_files([broken, *files])
    status = page.locator("#try-it [role=status]")
    expect(status).to_contain_text("broken.jpg cannot be read", timeout=120_000)
    expect(page.locator("#try-it article")).to_have_count(len(files), timeout=120_000)
    articles = page.locator("#try-it article").all()
    told = np.array([json.loads(article.get_attribute("data-probabilities") or "") for article in articles])
    predictor = Predictor(run_with_model / "models" / "04-efficientnet" / f"{NAME}.onnx")
    expected = np.stack([predictor.look(file)[0].probabilities for file in files])
    assert np.abs(told - expected).max() < 0.02  # another decoder, another rounding
    lead = np.sort(expected, axis=1)[:, -1] - np.sort(expected, axis=1)[:, -2]
    assert ((told.argmax(axis=1) == expected.argmax(axis=1)) | (lead < 0.02)).all() and (
        lead > 0.02
    ).sum() > 15
    labels = [article.get_attribute("data-label") for article in articles]
    assert labels == [predictor.classes[at] for at in told.argmax(axis=1)]
    for article, shares in zip(articles, told, strict=True):
        said = predictor.describe(Answer("", shares), 1)
        assert article.locator("h2").inner_text() == said.replace("perhaps", "Perhaps")  # classes as they are
    heat = page.locator("#try-it .heat")
    expect(heat).to_have_count(len(files))
    assert heat.first.evaluate("canvas => getComputedStyle(canvas).opacity") == "0.4"
    page.get_by_label("Show what speaks for the answer").uncheck()
    expect(heat.first).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert found == []
    assert Axe().run(page).response["violations"] == []
    context.close()


@pytest.mark.browser
def test_a_click_on_an_example_will_do_and_so_will_a_plain_host(browser: Browser, plain_host: str) -> None:
    page = browser.new_page()
    page.goto(f"{plain_host}/try.html")
    for example in page.locator("#try-it .pictures button").all():  # both before the model is there
        example.click()
    expect(page.locator("#try-it article")).to_have_count(2, timeout=120_000)
    expect(page.locator("#try-it article p").first).to_contain_text("In truth: <b>card</b>; answered in")
    expect(page.locator("#try-it [role=status]")).to_have_text("")
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
