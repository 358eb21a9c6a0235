"""The embedded renderer: the book's pages by Pandoc, with our filter for what Quarto adds, in a page of our
own.

It honours the part of Quarto that chapters may use: numbered sections, figures and tables with references
between chapters, citations, callouts, tabsets, folded code, `#|` options, tags, and the shortcodes `var` and
`include`.
"""

import base64
import html
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import yaml
from bs4 import BeautifulSoup, Tag
from jinja2 import Environment, FileSystemLoader

from wastebook.book.downloads import FOLDER
from wastebook.book.execute import ANSI, cell_options
from wastebook.errors import WastebookError

PARTS = Path(str(files("wastebook.book"))) / "site"
TAGS: dict[str, dict[str, Any]] = {  # those that Quarto knows
    "remove-cell": {"include": False},
    "hide-cell": {"include": False},
    "hide-code": {"echo": False},
    "hide-output": {"output": False},
}
PICTURES = {"image/svg+xml": "svg", "image/png": "png", "image/jpeg": "jpg"}
REFERENCE = re.compile(r'<a class="reference" data-form="(\w+)">([^<]+)</a>')
TEMPLATES = Environment(loader=FileSystemLoader(PARTS), autoescape=True, trim_blocks=True, lstrip_blocks=True)


class Page(NamedTuple):
    source: str  # as _quarto.yml names it
    address: str  # within the site
    number: str  # of the chapter, empty for other pages
    root: str  # the way from the page to the site's own folder: "" or "../"


class Target(NamedTuple):
    page: Page
    number: str
    title: str


def render_site(run: Path, stage: Path, config: dict[str, Any], pandoc: str) -> None:
    """Make the site of the project `run` in the folder `stage`, two pages at a time."""
    stage.mkdir(parents=True, exist_ok=True)
    pages = list(_pages(config))
    with ThreadPoolExecutor(2) as pool:
        bodies = list(pool.map(lambda page: _body(page, run, stage, config, pandoc), pages))
    soups = [BeautifulSoup(body, "html.parser") for body in bodies]
    targets: dict[str, Target] = {}
    for page, soup in zip(pages, soups, strict=True):
        for label, target in _targets(page, soup):
            if label in targets:
                raise WastebookError(
                    f"{page.source}: the label {label} is also in {targets[label].page.source}."
                )
            targets[label] = target
    titles = [_title(page, soup) for page, soup in zip(pages, soups, strict=True)]
    index: list[dict[str, str]] = []
    for at, (page, body) in enumerate(zip(pages, bodies, strict=True)):
        body = REFERENCE.sub(partial(_reference, page, targets), body)
        soup = BeautifulSoup(body, "html.parser")
        text = TEMPLATES.get_template("template.html").render(
            book=config["book"],
            language=config.get("lang", "en"),
            body=body,
            contents=_contents(soup),
            page=page,
            pages=list(zip(pages, titles, strict=True)),
            at=at,
        )
        (stage / page.address).write_text(text, encoding="utf-8")
        index += _entries(page, titles[at], soup)
    if (run / FOLDER).is_dir():
        shutil.copytree(run / FOLDER, stage / FOLDER)
    assets = stage / "assets"
    assets.mkdir()
    for name in ("style.css", "book.js"):
        shutil.copyfile(PARTS / name, assets / name)
    shutil.copyfile(run / config["book"]["favicon"], assets / "favicon.svg")
    (assets / "search.js").write_text(f"window.searchIndex = {json.dumps(index)};\n", encoding="utf-8")


def _pages(config: dict[str, Any]) -> Iterator[Page]:
    number = 0
    for source in config["book"]["chapters"]:
        chapter = source.endswith(".ipynb")
        number += chapter
        address = Path(source).with_suffix(".html").as_posix()
        yield Page(source, address, str(number) if chapter else "", "../" * source.count("/"))


def _body(page: Page, run: Path, stage: Path, config: dict[str, Any], pandoc: str) -> str:
    """The page's HTML, its references to other places still open."""
    file = run / page.source
    (stage / page.address).parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".ipynb":
        text = cells_as_markdown(file, stage / page.address, config["execute"] | config["format"]["html"])
    else:
        text = file.read_text(encoding="utf-8")
    options = ["--to=html5", "--section-divs", f"--lua-filter={PARTS / 'filter.lua'}", "--citeproc"]
    options += [f"--bibliography={run / config['bibliography']}", "--metadata=link-citations"]
    options += [f"--metadata=lang:{config.get('lang', 'en')}", f"--metadata=chapter:{page.number}"]
    return run_pandoc(pandoc, options, _shortcodes(text, file.parent, run), file)


def run_pandoc(program: str, options: list[str], text: str, file: Path) -> str:
    """What Pandoc makes of `text`, the Markdown of a `file`; WastebookError, naming it, where it cannot."""
    command = [program, "--from=markdown", "--wrap=none", "--mathml", *options]
    done = subprocess.run(command, input=text, capture_output=True, text=True, encoding="utf-8")
    if done.returncode:
        raise WastebookError(f"Pandoc could not render {file}: {done.stderr.strip()[-500:]}")
    return done.stdout


def _shortcodes(text: str, folder: Path, run: Path) -> str:
    """The text with Quarto's `{{< include file >}}` and `{{< var chapter.name >}}` filled in."""
    values = yaml.safe_load((run / "_variables.yml").read_text(encoding="utf-8"))

    def value(match: re.Match[str]) -> str:
        found: Any = values
        for part in match[1].split("."):
            found = found.get(part) if isinstance(found, dict) else None
        return f"?var:{match[1]}" if found is None else str(found)

    def included(match: re.Match[str]) -> str:
        if not (folder / match[1]).is_file():
            raise WastebookError(f"There is no {folder / match[1]} to include.")
        return (folder / match[1]).read_text(encoding="utf-8")

    text = re.sub(r"\{\{< include (\S+) >\}\}", included, text)
    return re.sub(r"\{\{< var (\S+) >\}\}", value, text)


# From a notebook's cells to Markdown ------------------------------------------------------------------------


def cells_as_markdown(file: Path, address: Path, defaults: dict[str, Any]) -> str:
    """An executed notebook for Pandoc to read, its pictures written to a folder beside the page's `address`;
    `defaults` are the project's options for every cell."""
    parts: list[str] = []
    for number, cell in enumerate(nbformat.read(file, as_version=4).cells, 1):
        if cell.cell_type == "markdown":
            parts.append(cell.source)
        elif cell.cell_type == "code":
            parts += _code_cell(cell, number, address, defaults)
    return "\n\n".join(parts)


def _code_cell(
    cell: nbformat.NotebookNode, number: int, address: Path, defaults: dict[str, Any]
) -> Iterator[str]:
    options, code = cell_options(cell.source)
    for tag in cell.metadata.get("tags", []):
        options = TAGS.get(tag, {}) | options
    options = defaults | options
    if not options.get("include", True):
        return
    if code and options.get("echo", True):
        folded = options.get("code-fold")
        yield (_raw('<details class="code"><summary>Code</summary>') if folded else "") + _fence(
            code, ".python"
        )
        if folded:
            yield _raw("</details>")
    if not options.get("output", True):
        return
    label = str(options.get("label", ""))
    numbered = label.startswith(("fig-", "tbl-"))
    displayed = [output for output in cell.outputs if output.output_type != "stream"]
    pictures = enumerate(displayed)
    for output in cell.outputs:
        if output.output_type == "stream" and output.name == "stdout":
            yield _fence(ANSI.sub("", output.text), ".output")
    if displayed and numbered:
        yield f"::: {{#{label}}}"
    for at, output in pictures:
        name = f"{label or f'cell-{number}'}-{at + 1}"
        yield _output(output, options, at, address.with_name(f"{address.stem}_files") / name)
    if displayed and numbered:
        yield str(options.get(f"{label[:3]}-cap", "")).strip()
        yield ":::"


def _output(output: nbformat.NotebookNode, options: dict[str, Any], at: int, file: Path) -> str:
    """The output in the form that Quarto would choose: HTML before Markdown before a picture before text."""
    data = output.get("data", {})
    if "text/html" in data:
        shown = _raw(data["text/html"].replace("<th></th>", "<td></td>"))  # pandas' corner heads nothing
        return f"::: {{.scroll}}\n{shown}\n:::" if "<table" in shown else shown
    if "text/markdown" in data:
        return str(data["text/markdown"])
    for kind, suffix in PICTURES.items():
        if kind in data:
            file.parent.mkdir(exist_ok=True)
            file = file.with_name(f"{file.name}.{suffix}")
            file.write_bytes(data[kind].encode() if suffix == "svg" else base64.b64decode(data[kind]))
            about = output.metadata.get(kind, {})
            given = options.get("fig-alt") or options.get("fig-cap") or ""
            alt = about.get("alt") or (given[at] if isinstance(given, list) else given)
            size = "".join(f' {side}="{about[side]}"' for side in ("width", "height") if side in about)
            source = html.escape(f"{file.parent.name}/{file.name}")
            image = f'<img src="{source}" alt="{html.escape(" ".join(alt.split()))}"{size}>'
            return _raw(
                f'<a class="lightbox" href="{source}">{image}</a>' if options.get("lightbox") else image
            )
    return _fence(ANSI.sub("", data.get("text/plain", "")), ".output")


def _fence(text: str, kind: str) -> str:
    ticks = "`" * max([3, *(len(run) + 1 for run in re.findall("`+", text))])
    return f"\n{ticks} {{{kind}}}\n{text.rstrip()}\n{ticks}\n"


def _raw(text: str) -> str:
    return _fence(text, "=html")


# What a page holds ------------------------------------------------------------------------------------------


def _targets(page: Page, soup: BeautifulSoup) -> Iterator[tuple[str, Target]]:
    for element in soup.select("section[data-label], figure[data-label]"):
        label = str(element["data-label"])
        if label.startswith(("fig-", "tbl-", "sec-")):
            yield label, Target(page, str(element.get("data-number", "")), _heading(element))


def _reference(page: Page, targets: dict[str, Target], match: re.Match[str]) -> str:
    form, label = match.groups()
    if label not in targets:
        return f"<strong>?@{label}</strong>"  # as Quarto has it; the check of the site finds both
    target = targets[label]
    kind = {"fig": "Figure", "tbl": "Table"}.get(label[:3]) or (
        "Section" if "." in target.number else "Chapter"
    )
    text = f"{kind}\u00a0{target.number}" if form == "full" else target.number
    text = text if target.number else html.escape(target.title)
    address = "" if target.page == page else page.root + target.page.address
    return f'<a class="reference" href="{address}#{label}">{text}</a>'


def _heading(section: Tag) -> str:
    """The text of a section's heading without its number."""
    heading = section.find(re.compile("^h[1-6]$"))
    if not isinstance(heading, Tag):
        return ""
    parts = [part for part in heading.children if "header-section-number" not in _classes(part)]
    return " ".join("".join(part.get_text() for part in parts).split())


def _classes(element: Any) -> list[str]:
    return list(element.get("class") or []) if isinstance(element, Tag) else []


def _title(page: Page, soup: BeautifulSoup) -> str:
    first = soup.select_one("section.level1")
    if first is None:
        raise WastebookError(
            f"{page.source} has no title: its first cell must open with `# Title {{#sec-name}}`."
        )
    return _heading(first)


def _contents(soup: BeautifulSoup) -> list[tuple[int, str, str, str]]:
    """The page's sections: level (2 or 3), number, title, identifier."""
    return [
        (
            int(section.name == "section" and _classes(section)[0][-1]),
            str(section.get("data-number", "")),
            _heading(section),
            str(section["id"]),
        )
        for section in soup.select("section.level2[id], section.level3[id]")
    ]


def _entries(page: Page, title: str, soup: BeautifulSoup) -> Iterator[dict[str, str]]:
    """What the search knows: an entry a section, its own text without code or that of the sections within."""
    for hidden in soup.select(".sourceCode, .code > summary, style, script, annotation"):
        hidden.extract()
    for section in reversed(soup.select("section[class^=level]")):
        heading = " ".join(filter(None, [str(section.get("data-number", "")), _heading(section)]))
        if isinstance(top := section.find(re.compile("^h[1-6]$")), Tag):
            top.extract()
        text = re.sub(r" (?=[.,;:)])|(?<=\() ", "", " ".join(section.extract().get_text(" ").split()))
        yield {
            "page": f"{page.number} {title}".strip(),
            "title": heading,
            "text": text,
            "address": f"{page.address}#{section['id']}",
        }
