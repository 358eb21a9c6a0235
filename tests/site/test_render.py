"""What the site of the example says, whichever renderer made it, and what happens when it cannot be made."""

from pathlib import Path

import nbformat
import pandas as pd
import pytest
import yaml
from bs4 import BeautifulSoup
from example import code, figure, first_chapter, second_chapter, shown, write_run
from nbformat.v4 import new_output

from wastebook import paths
from wastebook.book import pandoc
from wastebook.book.render import find_renderer, render, write_project
from wastebook.edition import BOOK
from wastebook.errors import WastebookError

DATA = {
    "title": "Twelve photos",
    "task": "Which is it?",
    "classes": "glass, metal",
    "licence": "",
    "photos": 12,
}


def main_of(file: Path) -> BeautifulSoup:
    return BeautifulSoup(file.read_text(encoding="utf-8"), "html.parser").select_one("main")


def text_of(found: BeautifulSoup) -> str:
    return " ".join(found.get_text().split())


@pytest.fixture
def first(site: Path) -> BeautifulSoup:
    return main_of(site / "chapters" / "01-first.html")


def test_references_carry_numbers_and_lead_to_their_places(first: BeautifulSoup) -> None:
    links = {
        text_of(link): link["href"].rpartition("/")[2]
        for link in first.select("a[href*='#'], a[href*='.html']")
    }
    assert links["Figure 1.1"] == "#fig-counts"
    assert links["Figure 1.2"] == "#fig-vector"
    assert links["Figure 2.1"] == "02-second.html#fig-second"
    assert [links[f"Table 1.{number}"] for number in (1, 2)] == ["#tbl-counts", "#tbl-house"]
    assert links["Section 1.1.1"] == "#sec-details"
    assert links["Chapter 2"].startswith("02-second.html")
    assert links["link"] == "02-second.html"
    assert links["He et al. 2016"] == "#ref-he2016"


def test_captions_are_numbered_and_keep_their_markup(first: BeautifulSoup) -> None:
    captions = [text_of(caption) for caption in first.select("figcaption:not(.quarto-subfloat-caption)")]
    assert captions == [
        "Figure 1.1: Photos a class",
        "Table 1.1: Counts from pandas",
        "Table 1.2: The house style",
        "Figure 1.2: A vector picture",
        "Figure 1.3: Two pictures of one cell",
    ]
    assert first.select_one("#fig-counts figcaption strong").get_text() == "class"


def test_several_pictures_of_a_cell_are_told_apart(first: BeautifulSoup) -> None:
    pair = first.select_one("#fig-pair")
    assert [image["alt"] for image in pair.select("img")] == ["A blue bar.", "An orange bar."]
    assert text_of(pair).startswith("(a) (b) Figure 1.3")


def test_headlines_come_from_the_results(site: Path) -> None:
    front = main_of(site / "index.html")
    assert "Looking at photos: Glass leads with 1,501 of 1,911 photos, as *they* | <b>say</b>." in text_of(
        front
    )
    assert front.select("a[href='chapters/02-second.html'], a[href='./chapters/02-second.html']")


def test_results_and_notebooks_can_be_taken_along(example: Path) -> None:
    (example / "results" / "01-first").mkdir()
    counts = pd.DataFrame({"class": ["glass", "metal"], "share": [1 / 3, 2 / 3]})
    counts.to_parquet(example / "results" / "01-first" / "counts.parquet")
    for name in ("many", "linked"):
        pd.concat([counts] * 2000).to_parquet(example / "results" / "01-first" / f"{name}.parquet")
    first = nbformat.read(example / "chapters" / "01-first.ipynb", as_version=4)
    first.cells.append(nbformat.v4.new_markdown_cell("[As CSV](../downloads/01-first/linked.csv)."))
    nbformat.write(first, example / "chapters" / "01-first.ipynb")
    data = {"sample": DATA | {"name": "sample", "fingerprint": "f" * 64, "drawn": True}}
    data["web"] = data["sample"] | {"name": "web"} | {"rights": "nobody knows"}  # what the first has not
    record = {"data": data, "versions": {"torch": "2"}, "hardware": {"cores": 2}}
    (example / "run.yml").write_text(yaml.safe_dump(record))
    spent = {"seconds": 61.5, "spent": {"kernel": 1.5, "opening": 9.0, "work": 50.0, "saving": 1.0}}
    (example / "chapters" / "01-first.yml").write_text(yaml.safe_dump(record | spent, sort_keys=False))
    site = render(BOOK, example, "pandoc").parent
    page = main_of(site / "run.html")
    assert page.select_one("h1").get_text() == "This run"
    seconds = "Seconds chapter kernel opening work saving all 01-first 1.5 9.0 50.0 1.0 61.5"
    for text in ("sample", "f" * 16, "torch", seconds):
        assert text in text_of(page)
    heads, _, web = page.select_one("table:-soup-contains('fingerprint')").select("tr")
    heads, web = ([cell.get_text() for cell in row.select("th, td")] for row in (heads, web))
    shown = dict(zip(heads, web, strict=True))
    assert (shown["rights"], shown["drawn"]) == ("nobody knows", "yes")
    links = {link.get_text(): site / link["href"] for link in page.select("a[download]")}
    # What a page links to keeps its name, however long it is.
    tables = ["counts.csv", "many.csv.gz", "linked.csv"]
    assert set(links) == {"01-first.ipynb", "02-second.ipynb", *tables}
    assert pd.read_csv(links["counts.csv"])["share"].tolist() == [0.33333, 0.66667]
    assert len(pd.read_csv(links["many.csv.gz"])) == 4000
    taken = nbformat.read(links["01-first.ipynb"], as_version=4)
    assert not any(cell.get("outputs") for cell in taken.cells)


def test_figures_have_their_alternative_text_and_size(first: BeautifulSoup) -> None:
    image = first.select_one("#fig-counts img")
    assert (image["alt"], image["width"]) == ('Glass has more than metal, "by far".', "800")
    assert first.select_one("#fig-vector img")["alt"] == "A black disc."


def test_cells_show_what_their_options_and_tags_say(first: BeautifulSoup) -> None:
    text = text_of(first)
    assert "photos_per_class: int = 40" in text
    for hidden in ("hidden", "#|", "draw()", "note('sample')"):
        assert hidden not in text
    for kept in ("kept", "a stream <b>", "Made of results: see Figure"):
        assert kept in text
    folded = {text_of(code) for code in first.select("details code")}
    assert "counts" in folded and "wide" not in folded


def test_callouts_and_mathematics(first: BeautifulSoup) -> None:
    kinds = {kind for box in first.select(".callout") for kind in box["class"] if kind.count("-") == 1}
    assert {"callout-note", "callout-tip", "callout-warning"} <= kinds
    titled = text_of(first.select_one(".callout-note")).removeprefix("Note")  # Quarto's, for screen readers
    assert titled.lstrip().startswith("A title of its own")
    assert len(first.select("math")) == 1


def test_old_addresses_lead_to_the_new(site: Path) -> None:
    config = yaml.safe_load((paths.PROJECT / "_quarto.yml").read_text(encoding="utf-8"))
    chapters = [name.removesuffix(".ipynb") for name in config["book"]["chapters"]]
    for old, new in config["redirects"].items():
        assert new.removesuffix(".html") in chapters and old.removesuffix(".html") not in chapters


def test_the_run_is_a_quarto_project_that_executes_nothing(example: Path) -> None:
    write_project(BOOK, example)
    config = yaml.safe_load((example / "_quarto.yml").read_text(encoding="utf-8"))
    chapters = ["chapters/01-first.ipynb", "chapters/02-second.ipynb"]
    pages = ["scores.qmd", "photos.qmd", "try.qmd", "api.qmd", "run.qmd"]
    assert config["book"]["chapters"] == ["index.qmd", *chapters, *pages]
    assert config["execute"]["enabled"] is False
    assert config["project"]["resources"] == ["/downloads/**"]


def test_the_books_own_project_lists_files_that_are_there() -> None:
    config = yaml.safe_load((paths.PROJECT / "_quarto.yml").read_text(encoding="utf-8"))
    named = [
        *config["book"]["chapters"],
        config["bibliography"],
        config["book"]["favicon"],
        config["image"].lstrip("/"),
    ]
    assert [name for name in named if not (paths.PROJECT / name).exists()] == []
    chapters = sorted(f"chapters/{file.name}" for file in (paths.PROJECT / "chapters").glob("[0-9]*.ipynb"))
    assert [name for name in config["book"]["chapters"] if name.endswith(".ipynb")] == chapters


def failing(cells: list, tmp_path: Path) -> str:
    """The message with which a site of the example with these cells in its second chapter fails."""
    second = second_chapter()
    second.cells.extend(cells)
    run = write_run(tmp_path / "broken", **{"01-first": first_chapter(), "02-second": second})
    (run / "site").mkdir()
    (run / "site" / "index.html").write_text("the last good one", encoding="utf-8")
    with pytest.raises(WastebookError) as raised:
        render(BOOK, run, "pandoc")
    assert (run / "site" / "index.html").read_text(encoding="utf-8") == "the last good one"
    assert not list(run.glob(".site*"))
    return str(raised.value)


def test_missing_things_fail_with_page_and_name_and_leave_the_last_good_site(tmp_path: Path) -> None:
    prose = "See @fig-gone, @tbl-gone, @sec-gone, @nobody1999, [this](03-third.ipynb)."
    message = failing([code("Markdown(...)", shown({"text/markdown": prose}))], tmp_path)
    page = "chapters/02-second.html: "
    for name in ("fig-gone", "tbl-gone", "sec-gone"):
        assert f"{page}reference to something missing: {name}" in message
    assert f"{page}reference to a missing source: nobody1999" in message
    assert f"{page}broken link to 03-third.html" in message


def test_a_cell_in_error_and_a_figure_without_picture_fail(tmp_path: Path) -> None:
    error = new_output("error", ename="ValueError", evalue="no such class", traceback=[])
    message = failing([code("1 / 0", [error]), code("#| label: fig-empty\npass")], tmp_path)
    assert "02-second.ipynb: cell 3 ended in ValueError: no such class" in message
    assert "02-second.ipynb: cell 4 is named fig-empty but shows nothing" in message


def test_a_label_used_twice_fails(tmp_path: Path) -> None:
    again = code("#| label: fig-counts\n#| fig-alt: Again.\nshow()", figure("#000000"))
    assert "fig-counts is also in chapters/01-first.ipynb" in failing([again], tmp_path)


def test_rendering_again_replaces_the_whole_site(example: Path) -> None:
    (example / "site").mkdir()
    (example / "site" / "old.html").write_text("stale", encoding="utf-8")
    page = render(BOOK, example, "pandoc")
    assert page == example.resolve() / "site" / "index.html"
    assert page.exists() and not (example / "site" / "old.html").exists()


def test_runs_that_cannot_be_rendered(tmp_path: Path) -> None:
    with pytest.raises(WastebookError, match="no run folder"):
        render(BOOK, tmp_path / "none", "pandoc")
    with pytest.raises(WastebookError, match="no executed chapters"):
        render(BOOK, tmp_path, "pandoc")


@pytest.mark.fault("disk and places", "a run whose path holds what addresses encode", "its site is made")
@pytest.mark.parametrize("name", ["50%20off", "100% #1"])
def test_a_run_in_an_odd_place(tmp_path: Path, name: str) -> None:
    run = write_run(tmp_path / name, **{"01-first": first_chapter(), "02-second": second_chapter()})
    assert render(BOOK, run, "pandoc").exists()


def test_which_renderer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def quarto(version: str) -> None:
        program = tmp_path / f"quarto-{version}"
        program.write_text(f"#!/bin/sh\necho {version}\n", encoding="utf-8")
        program.chmod(0o755)
        monkeypatch.setenv("QUARTO", str(program))

    quarto("1.10.2")
    assert find_renderer("auto")[:2] == ("quarto", "1.10.2")
    assert find_renderer("pandoc").name == "pandoc"
    quarto("1.7.9")
    assert find_renderer("auto").name == "pandoc"
    with pytest.raises(WastebookError, match=r"1\.7\.9.*1\.8 or newer"):
        find_renderer("quarto")
    monkeypatch.setenv("QUARTO", str(tmp_path / "nothing"))
    assert find_renderer("auto").name == "pandoc"
    beside = tmp_path / "quarto-1.10.2"  # this Python, as in an environment that is not on the path
    beside.rename(tmp_path / "quarto")
    with monkeypatch.context() as patch:
        patch.delenv("QUARTO")
        patch.setenv("PATH", "/nowhere")
        patch.setattr("sys.executable", str(tmp_path / "python"))
        assert find_renderer("auto")[:2] == ("quarto", "1.10.2")
    with pytest.raises(WastebookError, match="There is no quarto"):
        find_renderer("quarto")
    with pytest.raises(WastebookError, match="Unknown renderer latex"):
        find_renderer("latex")


@pytest.mark.parametrize("home", ["https://example.org/book", "https://example.org/book/", ""])
def test_a_link_to_the_site_shows_its_picture_where_that_has_an_address(example: Path, home: str) -> None:
    config = write_project(BOOK, example)
    config["book"] |= {"site-url": home} if home else {}
    (example / "stage").mkdir()
    pandoc.render_site(example, example / "stage", config, find_renderer("pandoc").program)
    page = BeautifulSoup((example / "stage" / "index.html").read_text(encoding="utf-8"), "html.parser")
    pictures = [str(tag["content"]) for tag in page.select("meta[property='og:image']")]
    assert pictures == ["https://example.org/book/theme/preview.png"] * bool(home)
    assert (example / "stage" / "theme" / "preview.png").exists()
