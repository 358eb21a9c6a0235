"""The app as somebody with a phone meets it, in headless Chromium."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from wastebook.answers.predictor import open_model
from wastebook.data.datasets import Dataset

pytestmark = pytest.mark.browser


def test_a_photo_on_a_phone(browser: Browser, app_address: str, kept_runs: Path, sample: Dataset) -> None:
    file = sample.root / sample.photos["path"][3]
    predictor = open_model(str(kept_runs / "small"))
    probabilities = predictor.look(file)[0].probabilities
    assert probabilities is not None
    best = int(probabilities.argmax())
    context = browser.new_context(viewport={"width": 390, "height": 844}, locale="es-ES")
    page = context.new_page()
    page.goto(app_address)
    expect(page.get_by_role("heading", name="¿De qué es esto?")).to_be_visible(timeout=60_000)
    page.locator("input[type=file]").set_input_files(file)
    answer = f"{predictor.facts['spanish'][best]} ({100 * probabilities[best]:.0f} %)"
    expect(page.get_by_role("heading", name=answer)).to_be_visible(timeout=30_000)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    context.close()
