"""The example's site as a reader meets it, in headless Chromium."""

import functools
import http.server
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

pytestmark = pytest.mark.browser
PAGES = ("index.html", "chapters/01-first.html", "chapters/02-second.html")
PHONE = {"width": 390, "height": 844}


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"], color_scheme="light")
    yield context.new_page()
    context.close()


@pytest.fixture
def served(site: Path) -> Iterator[str]:
    """Where the site is served on this machine."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def watch(page: Page, home: str) -> list[str]:
    """A list that fills with what goes wrong on the page, and with what it asks of others than `home`."""
    found: list[str] = []
    page.on("console", lambda message: message.type == "error" and found.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: found.append(f"error: {error}"))
    page.on("requestfailed", lambda request: found.append(f"failed: {request.url}"))
    page.on("response", lambda response: response.status >= 400 and found.append(f"status: {response.url}"))
    page.on(
        "request",
        lambda request: request.url.startswith((home, "data:")) or found.append(f"asked: {request.url}"),
    )
    return found


def test_pages_load_whole_ask_no_other_host_and_fit_a_phone(page: Page, served: str) -> None:
    found = watch(page, served)
    page.set_viewport_size(PHONE)
    for name in PAGES:
        page.goto(f"{served}/{name}", wait_until="networkidle")
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], name
        for image in page.locator("main img").all():
            frame = image.locator("xpath=ancestor::a[contains(@class, 'lightbox')]")  # a figure scrolls there
            box = (frame if frame.count() else image).bounding_box()
            assert box is None or box["x"] + box["width"] <= PHONE["width"], name
    assert found == []


def test_search_finds_a_word_from_a_page_opened_as_a_file(page: Page, address: str) -> None:
    found = watch(page, address)
    page.goto(f"{address}/index.html")
    page.keyboard.press("/")
    page.get_by_role("searchbox").fill("HIPPO")
    result = page.locator("dialog.search li a")
    expect(result).to_have_count(1)
    page.get_by_role("searchbox").fill("house style")
    page.keyboard.press("Enter")
    page.wait_for_url("**/chapters/01-first.html#sec-details")
    page.locator(".search-open").click()
    page.get_by_role("searchbox").fill("x<b>(")
    expect(page.get_by_role("status")).to_have_text("No places found")
    page.keyboard.press("Escape")
    expect(page.locator("dialog.search")).to_be_hidden()
    assert found == []


def test_dark_follows_the_system_until_the_reader_chooses_and_is_remembered(page: Page, address: str) -> None:
    def is_dark() -> bool:
        ink = page.evaluate("getComputedStyle(document.body).color")
        return int(ink.removeprefix("rgb(").split(",")[0]) > 128

    page.goto(f"{address}/index.html")
    assert not is_dark()
    page.emulate_media(color_scheme="dark")
    assert is_dark()
    page.emulate_media(color_scheme="light")
    page.locator(".theme").click()
    assert is_dark()
    expect(page.locator(".theme")).to_have_attribute("aria-pressed", "true")
    page.goto(f"{address}/chapters/01-first.html")
    assert is_dark()
    page.emulate_media(media="print")
    assert not is_dark()


def test_code_unfolds_and_is_copied(page: Page, address: str) -> None:
    page.goto(f"{address}/chapters/01-first.html")
    folded = page.locator("details.code").first
    expect(folded.locator("code").first).to_be_hidden()
    folded.locator("summary").click()
    folded.locator(".copy").first.click()
    expect(folded.locator(".copy").first).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()").startswith("photos_per_class: int = 40")
    page.get_by_role("button", name="Show all code").click()
    assert page.locator("details.code:not([open])").count() == 0


def test_folds_are_named_after_what_they_make_and_none_stands_by_another(page: Page, served: str) -> None:
    page.goto(f"{served}/chapters/01-first.html")
    folds = page.locator("main details[class*=code]")
    names = [name.replace("\u00a0", " ") for name in folds.locator("summary").all_text_contents()]
    assert names[0] == "Code to set up the chapter"
    made = ("Figure 1.1", "Table 1.1", "Table 1.2", "Figure 1.3")  # the last of two pictures
    assert {f"Code for {each}" for each in made} <= {*names}
    assert any(name.startswith("Code for “1.") for name in names)
    assert page.locator("main details[class*=code] + details[class*=code]").count() == 0


def test_tables_scroll_as_regions_named_by_their_captions(page: Page, address: str) -> None:
    page.goto(f"{address}/chapters/01-first.html")
    for number, table in enumerate(page.locator("main figure table").all(), 1):
        region = page.get_by_role("region", name=f"Table 1.{number}")
        assert region.get_attribute("tabindex") == "0" and region.locator("table").count() == 1
        expect(table).to_have_accessible_name(re.compile(f"^Table.1.{number}"))


def test_figures_open_large_and_close(page: Page, address: str) -> None:
    page.goto(f"{address}/chapters/01-first.html")
    page.locator("#fig-counts a.lightbox").press("Enter")
    large = page.locator("dialog.picture")
    expect(large).to_be_visible()
    assert large.locator("img").get_attribute("alt") == 'Glass has more than metal, "by far".'
    expect(large.locator("p")).to_have_text("Figure 1.1: Photos a class")
    page.keyboard.press("Escape")
    expect(large).to_be_hidden()


def test_the_contents_lead_to_their_sections(page: Page, address: str) -> None:
    page.goto(f"{address}/chapters/01-first.html")
    page.get_by_role("navigation", name="On this page").get_by_text("In detail").click()
    page.wait_for_url("**/01-first.html#sec-details")


def test_chapters_open_from_the_menu_on_a_phone(page: Page, address: str) -> None:
    page.set_viewport_size(PHONE)
    page.goto(f"{address}/chapters/01-first.html")
    expect(page.locator("#chapters")).to_be_hidden()
    page.get_by_role("button", name="Chapters").click()
    page.locator("#chapters").get_by_text("The second look").click()
    page.wait_for_url("**/02-second.html")
    page.get_by_role("navigation", name="Previous and next").get_by_text("Looking at photos").click()
    page.wait_for_url("**/01-first.html")


def test_the_first_column_of_a_wide_table_stays_on_a_phone(page: Page, address: str) -> None:
    page.set_viewport_size(PHONE)
    page.goto(f"{address}/chapters/01-first.html")
    for cell in page.locator("table tr:last-child > :first-child").all():
        place = cell.evaluate("""cell => {
            const table = cell.closest("table"), box = table.closest(".scroll > div, .scroll");
            table.style.width = "60rem";
            const before = cell.getBoundingClientRect().left;
            for (const each of [box, box.parentElement]) each.scrollLeft = 300;
            return cell.getBoundingClientRect().left - before;
        }""")
        assert abs(place) < 20
    assert page.locator("table tr:last-child > :first-child").count() > 1


def test_the_text_is_whole_without_scripts(browser: Browser, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}/chapters/01-first.html")
    expect(page.get_by_text("hippopotamus")).to_be_visible()
    page.locator("details.code summary").first.click()
    expect(page.locator("details.code code").first).to_be_visible()
    context.close()


def violations(page: Page) -> list[tuple[str, list[str]]]:
    """The rules of axe that the page breaks, each with the first place where it does."""
    found = Axe().run(page).response["violations"]
    return [(rule["id"], rule["nodes"][0]["target"]) for rule in found]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [{"width": 1280, "height": 900}, PHONE], ids=["desktop", "phone"])
def test_no_accessibility_violations(page: Page, address: str, scheme: str, size: dict[str, int]) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size(size)
    for name in PAGES:
        page.goto(f"{address}/{name}")
        page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
        assert violations(page) == [], name
    page.locator("a.lightbox").first.click()
    assert violations(page) == [], "a figure opened large"
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.get_by_role("searchbox").fill("photos")
    expect(page.locator("dialog.search li").first).to_be_visible()
    assert violations(page) == [], "search"


@pytest.mark.quarto
@pytest.mark.parametrize("size", [{"width": 1280, "height": 900}, PHONE], ids=["desktop", "phone"])
def test_no_accessibility_violations_by_quarto(page: Page, quarto_site: Path, size: dict[str, int]) -> None:
    page.set_viewport_size(size)
    for name in PAGES:
        page.goto((quarto_site / name).as_uri())
        assert violations(page) == [], name
