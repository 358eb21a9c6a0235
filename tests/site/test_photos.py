"""The page "The photos" in headless Chromium: what is chosen by hand, by key and by address is shown."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from wastebook.report import gallery

pytestmark = pytest.mark.browser
SCRIPT = Path(gallery.__file__).with_name("gallery.js")


def show(
    site: Path, classes: list[str], photos: list[tuple], answers: dict[str, list[tuple]], notes: str = ""
) -> str:
    """Put photos (path, label, group) and models' answers (number of a photo, class, how sure) into a site;
    gives the page's address."""
    keys, said = ("path", "label", "group"), ("photo", "predicted", "sure")
    listed = [dict(zip(keys, photo, strict=True)) | {"file": f"{at}.webp"} for at, photo in enumerate(photos)]
    models = [
        {"id": name, "name": name.upper(), "answers": [dict(zip(said, one, strict=True)) for one in given]}
        for name, given in answers.items()
    ]
    sets = (
        [{"title": "Six materials", "classes": classes, "photos": listed, "models": models}] if photos else []
    )
    told = json.dumps({"sets": sets, "notes": [notes] * bool(notes)})
    (site / "photos").mkdir(exist_ok=True)
    script = SCRIPT.read_text(encoding="utf-8")
    (site / "photos" / "photos.js").write_text(f"const gallery = {told};\n{script}", encoding="utf-8")
    return (site / "photos.html").as_uri()


@pytest.fixture
def own_site(site: Path, tmp_path: Path) -> Path:
    """A copy of the example's site, by each renderer, to put photos into."""
    return Path(shutil.copytree(site, tmp_path / "site"))


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(color_scheme="light")
    page = context.new_page()
    found: list[str] = []
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("dialog", lambda dialog: found.append(dialog.message))
    yield page
    context.close()
    assert found == []


@pytest.fixture
def address(own_site: Path) -> str:
    """Five photos, two of one thing; `one` gets two wrong (one of them in one seed only), `two` one."""
    photos = [("glass/a.jpg", "glass", 3), ("glass/b.jpg", "glass", 3), ("glass/c.jpg", "glass", 0)]
    photos += [("metal/a.jpg", "metal", 0), ("metal/b.jpg", "metal", 0)]
    one = [(0, "glass", 0.9), (1, "metal", 0.8), (1, "glass", 0.6), (2, "glass", 0.7), (3, "glass", 0.95)]
    two = [(0, "glass", 0.5), (4, "glass", 0.4)]
    return show(own_site, ["glass", "metal"], photos, {"one": [*one, (4, "metal", 0.55)], "two": two})


def tiles(page: Page) -> list[str]:
    return [text.replace("\u202f", " ") for text in page.locator(".tiles button").all_inner_texts()]


def status(page: Page) -> str:
    return page.locator("#photos [role=status]").inner_text()


def test_what_is_chosen_is_shown_and_stands_in_the_address(page: Page, address: str) -> None:
    page.goto(address)
    assert status(page) == "5 of 5 photos, most doubtful first"
    assert tiles(page) == ["metal 55 %", "glass 60 %", "glass 70 %", "glass 90 %", "metal as glass 95 %"]
    page.get_by_label("Show").select_option("what it got wrong")
    page.get_by_label("Order").select_option("surest first")
    assert tiles(page) == ["metal as glass 95 %", "glass as metal 80 %"]
    expect(page).to_have_url(re.compile("#model=one&verdict=wrong&sort=surest$"))
    page.get_by_label("In truth").select_option("glass")
    assert (tiles(page), status(page)) == (["glass as metal 80 %"], "1 of 5 photos")
    page.get_by_label("Its answer").select_option("glass")
    assert (tiles(page), status(page)) == ([], "None of 5 photos")
    page.get_by_label("Model").select_option("TWO")
    page.get_by_label("In truth").select_option("metal")
    assert (tiles(page), status(page)) == (["metal as glass 40 %"], "1 of 2 photos")


@pytest.mark.parametrize(
    "asked, shown",
    [
        ("model=one&label=metal&answer=glass", ["metal as glass 95 %"]),
        ("model=two&verdict=right", ["glass 50 %"]),
        ("copies=with", ["glass 60 %", "glass 90 %"]),  # side by side
        (
            "model=gone&label=wood&sort=<b>",
            ["metal 55 %", "glass 60 %", "glass 70 %", "glass 90 %", "metal as glass 95 %"],
        ),
    ],
)
def test_an_address_leads_to_what_it_names(page: Page, address: str, asked: str, shown: list[str]) -> None:
    page.goto(f"{address}#{asked}")
    expect(page.locator(".tiles button")).to_have_text(shown)
    page.goto(f"{address}#model=two")  # and again, on the page, which hears of it a moment later
    page.goto(f"{address}#{asked}")
    expect(page.locator(".tiles button")).to_have_text(shown)


def test_a_photo_opens_large_with_all_answers_and_is_left_by_key(page: Page, address: str) -> None:
    page.goto(address)
    page.locator(".tiles button").first.press("Enter")
    dialog = page.locator("#photos dialog")
    expect(dialog.locator("h2")).to_have_text("metal")
    told = [text.replace("\u202f", " ") for text in dialog.locator("li").all_inner_texts()]
    assert told == ["metal 55 % ONE", "glass 40 % TWO"]
    page.keyboard.press("ArrowRight")
    expect(dialog.get_by_text("glass/b.jpg")).to_be_visible()
    assert dialog.locator("li").count() == 2  # in two seeds
    expect(page).to_have_url(re.compile("#model=one&photo=glass%2Fb.jpg$"))
    dialog.get_by_text("2 photos show the same").click()
    expect(page.locator("#photos [role=status]")).to_have_text("2 of 5 photos")
    dialog.get_by_role("button", name="Previous").click()
    expect(dialog.get_by_text("glass/a.jpg")).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page).to_have_url(re.compile("#model=one&copies=with$"))
    page.goto(f"{address}#model=one&photo=metal/a.jpg")
    expect(dialog.get_by_text("metal/a.jpg")).to_be_visible()


@pytest.mark.fault(
    "hostile names", "classes, files and models called as markup, on the photos' page", "shown as written"
)
def test_what_things_are_called_is_text(page: Page, own_site: Path) -> None:
    name = "<img src=x onerror=alert(1)>&model=\"'"
    photos = [(f"{name}.jpg", name, 0), ("b.jpg", "other", 0)]
    address = show(own_site, [name, "other"], photos, {name: [(0, "other", 0.5), (1, name, 0.4)]}, name)
    page.goto(f"{address}#label={quote(name)}&photo={quote(name)}.jpg")
    expect(page.locator("#photos dialog h2")).to_have_text(name)
    assert tiles(page) == [f"{name} as other 50 %"]
    assert page.locator("#photos .note").inner_text() == name and page.locator("#photos [src=x]").count() == 0


@pytest.mark.parametrize("count", [1, 2000])
def test_one_photo_and_many(page: Page, own_site: Path, count: int) -> None:
    photos = [(f"{at}.jpg", "glass", 0) for at in range(count)]
    page.goto(show(own_site, ["glass"], photos, {"one": [(at, "glass", 1) for at in range(count)]}))
    assert status(page) == (
        "1 of 1 photo" if count == 1 else f"{count:,} of {count:,} photos, most doubtful first"
    )
    assert len(page.locator(".tiles img").all()) == count
    page.locator(".tiles button").first.click()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#photos dialog").get_by_text(f"{count - 1}.jpg", exact=True)).to_be_visible()


def test_without_photos_it_says_so(page: Page, own_site: Path, site: Path) -> None:
    page.goto((site / "photos.html").as_uri())
    expect(page.get_by_text("This copy of the page shows no photos.")).to_be_visible()
    expect(page.locator("#photos form")).to_be_hidden()
    page.goto(show(own_site, [], [], {}, "The photos of Mine are not shown: they are of people."))
    expect(page.get_by_text("The photos of Mine are not shown")).to_be_visible()


@pytest.mark.parametrize("scheme, width", [("light", 1280), ("dark", 390)])
def test_it_is_for_everybody(page: Page, address: str, scheme: str, width: int) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 844})
    page.goto(address)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert Axe().run(page, "#photos").response["violations"] == []
    page.locator(".tiles button").first.click()
    assert Axe().run(page, "#photos").response["violations"] == []
