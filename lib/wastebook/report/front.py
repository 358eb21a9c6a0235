"""The pages that are no chapters: the front page, which tells what the reference found and what this copy of
the book was built from, and that on the library itself, each name that a chapter uses, from its docstring."""

from datetime import date
from itertools import product
from pathlib import Path
from typing import Any

import griffe
import jinja2
import nbformat
import numpy as np
import pandas as pd

import wastebook
from wastebook import paths
from wastebook.files import as_written, write_text
from wastebook.report import findings
from wastebook.report.chapter import read_values
from wastebook.report.figures.style import network_colours
from wastebook.report.gallery import pick_examples
from wastebook.report.published import published_for
from wastebook.report.sentences import format_count, name_network, plain_name

TICK = 0.05  # of accuracy, on the figure's axis
MARK = "<!-- What the reference found, by `wastebook reference`. -->"  # before and after it in the README

HEAD = "# The library, name by name {.unnumbered}\n\nWhat `import wastebook as wb` gives a chapter.\n\n"


def write_front_page(run: Path) -> str:
    """The Markdown of the front page of a run, below its title."""
    record, values = paths.read_record(run), read_values(run)
    gone = {file.stem for file in (run / "chapters").glob("*.qmd")}  # a page that says why
    there = sorted({file.stem for file in run.glob("chapters/[!._]*.ipynb")} - gone)
    mute = {name for name, kept in values.items() if kept.get("lacking")}
    told = [name for name in there if name not in mute] if not mute or mute < values.keys() else []
    written = record.get("written", "")[:10]
    page = {
        "version": wastebook.__version__,
        "written": f"{date.fromisoformat(written):%-d %B %Y}" if written else "",
        "pictures": pick_examples(run),
        "chapters": there,
        "slides": (run / "slides").is_dir(),
        "status": describe_copy(run),
        "data": list(record.get("data", {}).values()),
        "left_out": record.get("left_out", {}),
        "not_made": sorted(gone),
        "found": [(name, _title(run, name), values.get(name, {}).get("headline", "")) for name in told],
    }
    return _templates().get_template("front.jinja").render(page | _reference())


def write_summary(project: Path) -> list[Path]:
    """Put what the reference found into the project's `README.md`, between its two marks, and its figure into
    `docs/results.svg`; gives the files."""
    readme, figure = project / "README.md", project / "docs" / "results.svg"
    found = _reference()
    rows = [f"| **{card.number}** | {card.words} |" for _, card in found["cards"]]
    lines = [MARK, "", " ".join(found["lead"]), "", f"![{found['verdict']}](docs/results.svg)", ""]
    before, _, after = readme.read_text(encoding="utf-8").split(MARK)
    write_text(readme, before + "\n".join([*lines, "| | |", "| --- | --- |", *rows, "", MARK]) + after)
    plot = '{% from "results.jinja" import plot with context %}{{ plot(680, alone=True) }}'
    write_text(figure, _templates().from_string(plot).render(found) + "\n")
    return [readme, figure]


def results() -> pd.DataFrame:
    """The figure of results: a row for each network as the recipe trains it, and for each `change` that was
    tried on it: accuracy on photos of unseen objects (`value, low, high`) and what was `published` for it."""
    chapters = ("02-baseline", "03-augmentation", "04-efficientnet")
    kept = [*map(findings.read_kept, chapters), findings.read_kept("finetuning", name="accuracy")]
    rows = pd.concat(kept).query("scheme == 'grouped' and split == 'test' and metric == 'accuracy'")
    rows = rows.drop_duplicates("model")
    base, larger = rows["image_size"].unique()[:2]
    transform = findings.read_values(findings.MATERIALS, "03-augmentation")["best_transform"]
    changes = {
        (base, "none", "recipe"): "",
        (base, "none", "searched"): "search",
        (base, transform, "recipe"): plain_name(transform),
        (larger, "none", "recipe"): f"photos of {larger.replace('x', ' × ')}",
        (larger, "none", "exact"): "exact last layer on those",
        (larger, "none", "finetuned"): "fine-tuned on those",
    }
    networks = [findings.OLD, findings.NEW]
    rows["change"] = rows.set_index(["image_size", "transform", "head"]).index.map(changes)
    rows = rows.dropna(subset="change").set_index(["network", "change"])
    rows = rows.loc[[key for key in product(networks, changes.values()) if key in rows.index]].reset_index()
    published = published_for(findings.MATERIALS).query("statistic == 'accuracy' and head == 'recipe'")
    theirs = rows["network"].map(published.set_index("network")["value"]).where(rows["change"] == "")
    colours = rows["network"].map(network_colours(networks))
    return rows.assign(published=theirs.fillna(0), colour=colours, network=rows["network"].map(name_network))


def describe_copy(run: Path) -> str:
    """What of a run says nothing about waste, of drawings or by networks that never learned to see, in HTML:
    all of it, or some chapters; empty where none does."""
    lacking = {_title(run, name): kept.get("lacking", []) for name, kept in read_values(run).items()}
    return _templates().get_template("copy.jinja").render(lacking=lacking)


def _title(run: Path, chapter: str) -> str:
    """The title of an executed chapter; its name where it has no page."""
    if not (file := run / "chapters" / f"{chapter}.ipynb").exists():
        return chapter
    return nbformat.read(file, as_version=4).cells[0].source.partition("\n")[0].strip("# ").partition(" {")[0]


def _reference() -> dict[str, Any]:
    """What the templates show of the reference."""
    rows, best = results(), findings.best_model()
    least = min([*rows["low"], *rows.loc[rows["published"] > 0, "published"]])  # 0 where nothing is
    low, high = np.floor(least / TICK) * TICK, np.ceil(rows["high"].max() / TICK) * TICK
    cards = [(name, findings.findings()[name]) for name in findings.CARDS]
    tested = f"{format_count(best['n'])} test photos, {best['seeds']} splits"
    apart = rows[rows["n"] != best["n"]].itertuples()
    tested += "".join(f"; {row.change}: apart, in another run, on {format_count(row.n)}" for row in apart)
    told: dict[str, Any] = {"lead": findings.lead(), "verdict": findings.verdict(), "tested": tested}
    drawn = {"rows": rows.to_dict("records"), "ticks": np.arange(low, high + TICK / 2, TICK)}
    return told | drawn | {"cards": cards, "low": low, "high": high}


def _templates() -> jinja2.Environment:
    """The page's templates, in which what a run or a data set names is shown as it is `written`."""
    loader = jinja2.FileSystemLoader(paths.PROJECT / "theme")
    templates = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    templates.filters["written"] = as_written
    return templates


def write_api_page(file: Path) -> None:
    """Write the page, Quarto Markdown, to `file`. The library is read, not imported: no network is loaded."""
    places = [Path(__file__).parents[2]]
    quiet: griffe.DocstringOptions = {"warnings": False}
    package = griffe.load("wastebook", search_paths=places, docstring_parser="numpy", docstring_options=quiet)
    homes = {name: wastebook.HOMES.get(name, f"report.{name}") for name in wastebook.__all__}
    write_text(file, HEAD + "\n".join(_describe(name, package[home]) for name, home in homes.items()))


def _describe(name: str, module: griffe.Object) -> str:
    thing, call = module.members.get(name, module), f"wb.{name}"  # no member of its module: the module itself
    if isinstance(thing, griffe.Function):
        call = thing.signature(name=call)
    elif thing.is_class:
        fields = [field for field in thing.attributes.values() if "property" not in field.labels]
        call += f"({', '.join(f'{field.name}: {field.annotation}' for field in fields)})"
    head = f"## `{name}` {{#api-{name.replace('_', '-').lower()} .unnumbered}}\n\n```python\n{call}\n```"
    return "\n\n".join([head, *map(_section, thing.docstring.parsed if thing.docstring else []), ""])


def _section(section: griffe.DocstringSection) -> str:
    """A section of a docstring as Markdown: prose, code, or a list of definitions."""
    kind, value = section.kind.value, section.value
    if kind in ("text", "admonition"):
        return value if kind == "text" else f"**{section.title}.** {value.description}"
    if kind == "examples":
        return "\n\n".join(f"```pycon\n{text}\n```" if ">>>" in text else text for _, text in value)
    items = [(getattr(item, "name", ""), str(item.annotation or ""), item.description) for item in value]
    parts = [f"**{kind.title()}**\n"]
    for name, annotation, text in items:  # text stands beside the name where the docstring gives no type
        term = " ".join(f"`{word}`" for word in (name, annotation if text else "") if word)
        parts.append(f"\n{term}\n:   {text or annotation}\n" if term else text or annotation)
    return "\n".join(parts)
