"""The front page: what the reference found, and what this copy was built from, whatever that is called."""

import json
import re

import pandas as pd
import pypandoc
import pytest
import yaml
from bs4 import BeautifulSoup
from nbformat.v4 import new_markdown_cell, new_notebook, writes

from wastebook import paths
from wastebook.report import findings, front

FACTS = {"title": "Six materials", "task": "Which is it?", "classes": "glass, metal", "licence": "MIT"}


@pytest.fixture
def run(tmp_path):
    (tmp_path / "chapters").mkdir()
    add_chapter(tmp_path, "01-exploration", "A look")
    return tmp_path


def add_chapter(run, name, title):
    notebook = new_notebook(cells=[new_markdown_cell(f"# {title} {{#sec-{name}}}\n\nProse.")])
    (run / "chapters" / f"{name}.ipynb").write_text(writes(notebook), encoding="utf-8")


def page_of(run, values, **record):
    """The front page as Pandoc shows it."""
    (run / "run.yml").write_text(yaml.safe_dump(record), encoding="utf-8")
    (run / "results").mkdir()
    for chapter, kept in values.items():
        (run / "results" / f"{chapter}.json").write_text(json.dumps(kept), encoding="utf-8")
    text = front.write_front_page(run)
    return BeautifulSoup(
        pypandoc.convert_text(text, "html5", "markdown-raw_html", extra_args=["--wrap=none"]), "html.parser"
    )


def told(found):
    return " ".join(found.get_text().split())


def test_the_figure_shows_the_kept_scores():
    kept = pd.concat([findings.read_kept("02-baseline"), findings.read_kept("04-efficientnet")])
    kept = kept.query("scheme == 'grouped' and split == 'test' and metric == 'accuracy'")
    rows = front.results()
    others = [findings.read_kept("03-augmentation"), findings.read_kept("finetuning", name="accuracy")]
    assert rows["value"].isin(pd.concat([kept, *others])["value"]).all()
    assert list(rows["network"].unique()) == ["ResNet18", "EfficientNet-B0"]
    assert list(rows.loc[rows["published"] > 0, "change"]) == ["", ""]
    best, (tuned,) = findings.best_model(), rows.loc[rows["change"] == "fine-tuned on those", "n"]
    assert rows.loc[rows["change"] != "fine-tuned on those", "value"].max() == best["value"]
    shown = front._reference()
    assert f"{tuned:,}" in shown["tested"]
    ends = [*rows["low"], *rows["high"], *rows.loc[rows["published"] > 0, "published"]]
    assert shown["low"] <= min(ends) and max(ends) <= shown["high"]


def test_a_copy_of_drawn_pictures_says_so_and_claims_nothing(run):
    values = {"01-exploration": {"headline": ["Glass leads."], "lacking": ["on drawn pictures"]}}
    page = page_of(run, values, data={"sample": FACTS | {"photos": 360, "drawn": True}})
    assert "built on drawn pictures. It shows that every step runs; its own scores" in told(page)
    assert "Glass leads" not in told(page)
    assert "Six materials, 360 photos (glass, metal)" in told(page)
    assert all(" ".join(card.number.split()) in told(page) for card in findings.findings().values())


def test_random_weights_are_named(run):
    values = {"02-baseline": {"lacking": ["with networks that never learned to see"]}}
    page = page_of(run, values, data={"mine": FACTS | {"photos": 90, "drawn": False}})
    assert "built with networks that never learned to see." in told(page)


def test_what_one_chapter_lacks_says_nothing_of_the_others(run):
    """A chapter that had to do with drawings, or with random weights, is named; the others speak."""
    titles = {"06-trust": "Worth", "08-new-photos": "Ask it, and see", "10-leaks": "Leaks"}
    for name, title in titles.items():
        add_chapter(run, name, title)
    drawn, random = "on drawn pictures", "with networks that never learned to see"
    values = {"01-exploration": {"headline": ["Glass leads."]}, "06-trust": {"headline": ["It is so."]}}
    values |= {
        "10-leaks": {"headline": ["It leaks."], "lacking": [drawn]},
        "08-new-photos": {"lacking": [drawn]},
    }
    page = told(page_of(run, values, data={"mine": FACTS | {"photos": 30, "drawn": False}}))
    assert "This copy was built from: Six materials, 30 photos" in page
    assert "A look: Glass leads. Worth: It is so." in page and "It leaks" not in page
    named = "“Ask it, and see”, “Leaks”. What is scored there says nothing about waste."
    assert f"Built {drawn}: {named}" in page and "This copy was built on" not in page
    (run / "results" / "06-trust.json").write_text(json.dumps({"lacking": [random]}), encoding="utf-8")
    assert front.describe_copy(run) == f"Built {random}: “Worth”. Built {drawn}: {named}"
    (run / "results" / "01-exploration.json").write_text(json.dumps({"lacking": [random]}), encoding="utf-8")
    assert front.describe_copy(run).startswith(f"This copy was built {drawn}, {random}. It shows")


@pytest.mark.parametrize("headline", ["Glass leads.", ["Glass leads.", "Paper follows."]])
def test_a_copy_of_real_photos_tells_what_its_chapters_found(run, headline):
    values = {"01-exploration": {"headline": headline, "weights": "imagenet"}}
    page = page_of(
        run,
        values,
        data={"mine": FACTS | {"photos": 1, "drawn": False, "licence": ""}},
        left_out={"05-xception": "it takes exactly two classes, and mine has 3"},
        written="2026-11-05T10:00:00+00:00",
    )
    assert "A look: Glass leads." in told(page)
    assert "05-xception is left out: it takes exactly two classes, and mine has 3." in told(page)
    assert "built 5 November 2026" in told(page) and "Licence" not in told(page)


def test_cards_lead_to_the_chapters_that_are_there(run):
    page = page_of(run, {})
    assert [card["href"] for card in page.select("a.card")] == [
        "chapters/01-exploration.html#sec-exploration"
    ]
    assert len(page.select(".card")) == len(findings.CARDS)


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", "a\n```\n\n# Mine\n\n```{=html}\n<b id=x>", "{{ 7*7 }} & \"'"]
)
@pytest.mark.fault(
    "hostile names", "a data set's title with markup, a fence, a template", "shown as it is written"
)
def test_what_a_data_set_is_called_is_text(run, name):
    facts = {"title": name, "task": name, "classes": name, "licence": name, "photos": 3, "drawn": False}
    page = page_of(run, {"01-exploration": {"headline": [name]}}, data={"mine": facts}, left_out={"05": name})
    assert not page.select("script, #x, h1")
    assert told(page).count(" ".join(name.split())) == 6


def test_the_readme_tells_what_the_reference_found(tmp_path):
    (tmp_path / "README.md").write_bytes((paths.PROJECT / "README.md").read_bytes())
    renew = "out of date: run `wastebook reference RUN`, or wastebook.report.front.write_summary"
    for file in front.write_summary(tmp_path):
        kept = paths.PROJECT / file.relative_to(tmp_path)
        assert file.read_text(encoding="utf-8") == kept.read_text(encoding="utf-8"), f"{kept} is {renew}"
    numbers = re.findall(r"\| \*\*(.+?)\*\* \|", (tmp_path / "README.md").read_text(encoding="utf-8"))
    assert numbers == [findings.findings()[chapter].number for chapter in findings.CARDS]


def test_the_readme_tells_the_speeds_that_were_measured():
    """Each share and number of times of its section stands in the table that the benchmarks write."""
    readme, measured = (
        (paths.PROJECT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/speed.md")
    )
    section = readme.partition("## How fast")[2].partition("\n## ")[0]
    told = {f"{number}%" for number in re.findall(r"(\d+) %", section)}
    told |= set(re.findall(r"\d+ times", section))
    assert len(told) == 11 and told <= set(re.findall(r"\| (\d+(?:%| times)) \|", measured))
