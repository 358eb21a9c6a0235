"""The pictures that the README and a link to the site show, made anew by
`python -m pytest tests/site/test_pictures.py --pictures runs/<run>`, of a run on the drawn sample."""

import hashlib
from pathlib import Path

import pytest
from conftest import serve_app
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from playwright.sync_api import Browser, Page

from wastebook import paths
from wastebook.data.sample import draw_sample
from wastebook.report import findings

DOCS = paths.PROJECT / "docs"
RESULTS, PREVIEW = DOCS / "results.svg", paths.PROJECT / "theme" / "preview.png"
CARD = """<style>body {{ margin: 0; padding: 36px 60px; background: #fffefb; color: #22262a; font: 22px
system-ui, sans-serif; }} h1 {{ margin: 0 0 6px; font: 600 34px Georgia, "Noto Serif", "Liberation Serif"; }}
p {{ margin: 0 0 14px; }} svg {{ display: block; height: 460px; width: 1080px; }}</style>
<h1>{verdict}</h1><p>Wastebook: waste in photos, judged on objects that no model has seen.</p>{figure}"""


def shown() -> str:
    """What the preview is made of."""
    figure = RESULTS.read_text(encoding="utf-8")
    return CARD.format(verdict=findings.verdict(), figure=figure)


def keep(page: Page, file: Path, made_of: str = "") -> None:
    """A picture of what stands on a page, in few colours, and in it the hash of what it was made of."""
    page.screenshot(path=file)
    told = PngInfo()
    told.add_text("made-of", hashlib.sha256(made_of.encode()).hexdigest())
    Image.open(file).convert("RGB").quantize(128).save(file, optimize=True, pnginfo=told)


def test_the_preview_shows_the_results_as_they_are() -> None:
    picture = Image.open(PREVIEW)
    assert picture.size == (1200, 630)
    renew = "out of date: python -m pytest tests/site/test_pictures.py --pictures runs/<run>"
    assert picture.info["made-of"] == hashlib.sha256(shown().encode()).hexdigest(), renew


@pytest.mark.parametrize("name", ["page.png", "app.png", "../theme/preview.png"])
def test_pictures_are_small(name: str) -> None:
    assert (DOCS / name).stat().st_size < 150_000


@pytest.mark.browser
def test_pictures_made_anew(browser: Browser, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    run: Path | None = request.config.option.pictures
    if not run:
        pytest.skip("asked for by --pictures RUN")
    page = browser.new_page(viewport={"width": 1200, "height": 630})
    page.set_content(shown())
    keep(page, PREVIEW, shown())
    page.set_viewport_size({"width": 1300, "height": 1000})
    page.goto((run / "site" / "index.html").resolve().as_uri())
    keep(page, DOCS / "page.png")
    photo = sorted((draw_sample("sample", photos=12, seed=7) / "metal").iterdir())[0]
    for address in serve_app(run.resolve()):
        page.set_viewport_size({"width": 900, "height": 1140})
        page.goto(address)
        page.locator("input[type=file]").set_input_files(photo, timeout=60_000)
        page.get_by_text("Grad-CAM").wait_for(timeout=60_000)
        page.get_by_role("heading", level=3).scroll_into_view_if_needed()
        page.wait_for_timeout(2000)
        keep(page, DOCS / "app.png")
    page.close()
