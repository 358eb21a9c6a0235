"""One photo, as a phone takes it, asked in a terminal, in a notebook, in the app and in the reader's browser:
one answer."""

import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient
from PIL import Image
from playwright.sync_api import Browser, expect

from wastebook.answers.predictor import open_model
from wastebook.data.datasets import Dataset

PHONE = {"width": 390, "height": 844}
TURNED = 6  # EXIF: to be turned by a quarter to stand upright


@pytest.fixture
def photo(sample: Dataset, kept_runs: Path, tmp_path: Path) -> Path:
    """A photo held upright, kept lying down with a note in its EXIF, whose answer is no toss-up."""
    predictor = open_model(str(kept_runs / "small"))
    leads = {}
    for path in sample.photos["path"][:24]:
        first, second = sorted(predictor.look(sample.root / path)[0].probabilities)[:-3:-1]
        leads[path] = first - second
    exif = Image.Exif()
    exif[0x0112] = TURNED
    file = tmp_path / "IMG 0007.jpg"
    with Image.open(sample.root / max(leads, key=leads.get)) as picture:
        picture.convert("RGB").transpose(Image.Transpose.ROTATE_90).save(file, exif=exif, quality=95)
    return file


def in_terminal(photo: Path, run: Path, folder: Path) -> dict[str, float]:
    """What `wastebook predict` says, by its table."""
    command = [sys.executable, "-m", "wastebook.cli", "predict", str(photo), "--run", str(run)]
    said = subprocess.run([*command, "--csv", str(folder / "said.csv")], capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    row = pd.read_csv(folder / "said.csv").iloc[0]
    assert row["label"] in said.stdout
    return {name.removeprefix("p_"): row[name] for name in row.index if name.startswith("p_")}


def in_notebook(photo: Path, run: Path) -> dict[str, float]:
    """What `wastebook.predict` says in a notebook's kernel."""
    asked = f"import wastebook\nprint(wastebook.predict({str(photo)!r}, run={str(run)!r}).iloc[0].to_json())"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(asked)])
    NotebookClient(notebook, timeout=120).execute()
    row = json.loads(notebook.cells[0].outputs[0]["text"])
    return {name.removeprefix("p_"): row[name] for name in row if name.startswith("p_")}


def in_app(browser: Browser, address: str, photo: Path) -> dict[str, float]:
    """What the app says on a phone: whole percents."""
    page = browser.new_page(viewport=PHONE)
    page.goto(address)
    page.locator("input[type=file]").set_input_files(photo)
    bars = page.get_by_test_id("stProgress")
    expect(bars.first).to_be_visible(timeout=60_000)
    told = [re.search(r"(\S+) · (\d+) %", text) for text in bars.all_inner_texts()]
    page.close()
    return {found[1]: int(found[2]) / 100 for found in told if found}


def in_browser(browser: Browser, page_file: Path, photo: Path) -> dict[str, float]:
    """What the site's page says on a phone, without a server."""
    page = browser.new_page(viewport=PHONE)
    page.goto(page_file.as_uri())
    page.locator("#try-it input").first.set_input_files(photo)
    article = page.locator("#try-it article")
    expect(article).to_have_attribute("data-probabilities", re.compile("."), timeout=120_000)
    told = json.loads(article.get_attribute("data-probabilities") or "")
    classes = page.evaluate("tryIt.model.classes")
    page.close()
    return dict(zip(classes, told, strict=True))


@pytest.mark.browser
def test_a_phone_a_terminal_the_app_and_a_notebook_agree(
    browser: Browser, app_address: str, try_page: Path, photo: Path, kept_runs: Path, tmp_path: Path
) -> None:
    terminal = in_terminal(photo, kept_runs / "small", tmp_path)
    assert len(terminal) == 6 and abs(sum(terminal.values()) - 1) < 1e-3
    others = {
        "notebook": (in_notebook(photo, kept_runs / "small"), 1e-6),
        "app": (in_app(browser, app_address, photo), 0.005001),  # it shows whole percents
        "browser": (in_browser(browser, try_page, photo), 0.02),  # 8-bit weights, another decoder
    }
    for place, (said, tolerance) in others.items():
        assert said.keys() == terminal.keys(), place
        assert max(said, key=said.get) == max(terminal, key=terminal.get), place
        assert all(abs(said[name] - terminal[name]) <= tolerance for name in terminal), place
