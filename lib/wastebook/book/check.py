"""What must not reach a reader: problems of an executed chapter, and of a site by either renderer."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup
from nbformat import NotebookNode

from wastebook.book.plan import cell_options
from wastebook.files import DATA

MISSING_REFERENCE = re.compile(r"\?@?(?:fig|tbl|sec|eq)-[\w-]+|\?(?:var|meta):\S+")
LEFT_OVER = re.compile(r"\{\{<.*?>\}\}|^:::+.*$|^#\| .*$", re.MULTILINE)
EXTERNAL = re.compile(r"^\s*(?:https?:)?[/\\]{2}", re.IGNORECASE)  # browsers take either slash
EXTERNAL_STYLE = re.compile(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//[^'\")\s;]+", re.IGNORECASE)
LOADED = "[src], object[data], link[href]:not([rel~=canonical], [rel~=prev], [rel~=next], [rel~=license])"
SCRIPT = re.compile(r"\s*javascript:", re.IGNORECASE)
SHOWN = {"fig": ("image/",), "tbl": ("text/html", "text/markdown")}  # what a labelled cell has to show


class Problem(NamedTuple):
    page: str
    what: str


def check_notebook(notebook: NotebookNode) -> Iterator[str]:
    """The problems of an executed chapter: cells in error, figures and tables named but not there."""
    for number, cell in enumerate(notebook.cells, 1):
        outputs = cell.get("outputs", [])
        for output in outputs:
            if output.output_type == "error":
                yield f"cell {number} ended in {output.ename}: {output.evalue[:200]}"
        label = str(cell_options(cell.source)[0].get("label", "")) if cell.cell_type == "code" else ""
        wanted = SHOWN.get(label.partition("-")[0])
        shown = [mime for output in outputs for mime in output.get("data", {})]
        if wanted and not any(mime.startswith(wanted) for mime in shown):
            yield f"cell {number} is named {label} but shows nothing: expected {' or '.join(wanted)}"


def check_site(site: Path) -> list[Problem]:
    """The problems of a site, each with its page: references to what is missing (figures, tables, sections,
    citations, values), pictures without alternative text, broken links and anchors within the site, cells in
    error, markup left over, and anything that would be loaded from another host."""
    site = site.resolve()  # a run may lie behind a link
    files = sorted(site.rglob("*.html"))
    pages = {file: BeautifulSoup(file.read_text(encoding="utf-8"), "html.parser") for file in files}
    anchors = {file: {str(tag["id"]) for tag in soup.select("[id]")} for file, soup in pages.items()}
    found = [
        (file, what)
        for file, soup in pages.items()
        for what in [*_loads(soup), *_links(file, site, soup, anchors), *_content(soup)]
    ]
    for file in sorted(site.rglob("*.css")):
        styles = EXTERNAL_STYLE.findall(file.read_text(encoding="utf-8"))
        found += [(file, f"loads from another host: {address}") for address in styles]
    return list(dict.fromkeys(Problem(file.relative_to(site).as_posix(), what) for file, what in found))


def _loads(soup: BeautifulSoup) -> Iterator[str]:
    loaded = [str(tag.get("src") or tag.get("data") or tag.get("href")) for tag in soup.select(LOADED)]
    styles = "".join(style.get_text() for style in soup.select("style"))
    for address in [*filter(EXTERNAL.match, loaded), *EXTERNAL_STYLE.findall(styles)]:
        yield f"loads from another host: {address}"


def _links(file: Path, site: Path, soup: BeautifulSoup, anchors: dict[Path, set[str]]) -> Iterator[str]:
    for tag in soup.select("a[href], img[src], script[src], link[href]"):
        address = urlsplit(str(tag.get("href") or tag.get("src") or ""))
        if address.scheme or address.netloc or tag.get("href") == "#":
            continue
        target = (file.parent / unquote(address.path)).resolve() if address.path else file
        target = target / "index.html" if target.is_dir() else target
        if not target.exists() or not target.is_relative_to(site):
            yield f"broken link to {address.geturl()}"
        elif "=" in address.fragment:
            continue  # what is chosen on a page, not a place on it
        elif address.fragment and target in anchors and unquote(address.fragment) not in anchors[target]:
            yield f"broken link: {target.name} has no place {address.fragment}"


def _content(soup: BeautifulSoup) -> Iterator[str]:
    main = soup.select_one("main") or soup
    for image in main.select("img:not([role=presentation])"):
        if not str(image.get("alt") or "").strip():
            yield f"picture without alternative text: {str(image.get('src'))[:80]}"
    if main.select(".cell-output-error"):
        yield "a cell in error"
    for tag in main.select(":not(script)"):
        if any(name.startswith("on") or SCRIPT.match(str(value)) for name, value in tag.attrs.items()):
            yield f"a script in an attribute: {str(tag)[:80]}"
    for citation in main.select("[data-cites]"):
        for key in str(citation["data-cites"]).split():
            if not main.find(id=f"ref-{key}"):
                yield f"reference to a missing source: {key}"
    as_written = "code, pre, script, style, annotation, .gt_table, .subtitle, .reveal h2"
    for part in main.select(f"{as_written}, .{DATA}"):
        part.extract()
    for found in MISSING_REFERENCE.findall(main.get_text()):
        yield f"reference to something missing: {found.lstrip('?@')}"
    for found in LEFT_OVER.findall(main.get_text()):
        yield f"markup left over: {found[:80]}"
