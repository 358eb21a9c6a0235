"""The embedded renderer: the pages by Pandoc, with our filter for the part of Quarto that chapters use:
numbered sections, figures and tables with references between chapters, callouts, folded code, includes and
some `#|` options (echo, include, label, code-fold, captions and alternative texts)."""

import base64
import html
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from bs4 import BeautifulSoup, Tag
from jinja2 import Environment, FileSystemLoader

from wastebook.book.plan import cell_options
from wastebook.errors import WastebookError

PARTS = Path(__file__).with_name("site")
PICTURES = {"image/svg+xml": "svg", "image/png": "png", "image/jpeg": "jpg"}
INCLUDE = re.compile(r"\{\{< include (\S+) >\}\}")
REFERRED = ("fig-", "tbl-", "sec-")  # how the labels begin of what is referred to across pages
HEADING = re.compile("^h[1-6]$")
TEMPLATES = Environment(loader=FileSystemLoader(PARTS), autoescape=True, trim_blocks=True, lstrip_blocks=True)


class Page(NamedTuple):
    source: str  # as _quarto.yml names it
    address: str  # within the site
    number: str  # of the chapter, empty for other pages
    root: str  # the way from the page to the site's own folder: "" or "../"
    title: str
    soup: BeautifulSoup  # its content, in which references are open at first


def render_site(run: Path, stage: Path, config: dict[str, Any], pandoc: str) -> None:
    """Make the site of the project `run` in the folder `stage`, two pages at a time."""
    with ThreadPoolExecutor(2) as pool:
        sources = config["book"]["chapters"]
        pages = list(pool.map(lambda source: _page(source, run, stage, config, pandoc), sources))
    targets = _targets(pages)
    index: list[dict[str, str]] = []
    for at, page in enumerate(pages):
        for cite in page.soup.select("[data-cites]"):
            _refer(cite, page, targets)
        sections = page.soup.select("section.level2[id], section.level3[id]")
        facts = {"pages": pages, "page": page, "at": at, "sections": sections, "heading": _heading}
        text = TEMPLATES.get_template("template.html").render(config | facts)
        (stage / page.address).write_text(text, encoding="utf-8")
        index += _entries(page)
    assets = shutil.copytree(PARTS, stage / "assets", ignore=shutil.ignore_patterns("*.html", "*.lua"))
    style, picture = config["format"]["html"].get("css"), config.get("image", "").lstrip("/")
    for own in filter(None, [config["book"]["favicon"], style, picture]):
        (stage / own).parent.mkdir(exist_ok=True)
        shutil.copyfile(run / own, stage / own)
    (assets / "search.js").write_text(f"window.searchIndex = {json.dumps(index)};\n", encoding="utf-8")


def _page(source: str, run: Path, stage: Path, config: dict[str, Any], pandoc: str) -> Page:
    file, address = run / source, Path(source).with_suffix(".html").as_posix()
    chapters = [each for each in config["book"]["chapters"] if each.startswith("chapters/")]
    number = str(chapters.index(source) + 1) if source in chapters else ""
    (stage / address).parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".ipynb":
        text = cells_as_markdown(file, stage / address, config["execute"] | config["format"]["html"])
    else:
        text = file.read_text(encoding="utf-8")

    def included(match: re.Match[str]) -> str:
        if not (file.parent / match[1]).is_file():
            raise WastebookError(f"There is no {file.parent / match[1]} to include.")
        return (file.parent / match[1]).read_text(encoding="utf-8")

    filters = [PARTS / "filter.lua", *(run / name for name in config.get("filters", []))]
    options = ["--to=html5", "--section-divs", *(f"--lua-filter={name}" for name in filters), "--citeproc"]
    options += [f"--metadata=lang:{config.get('lang', 'en')}", "--metadata=link-citations"]
    options.append(f"--bibliography={run / config['bibliography']}".replace("%", "%25"))  # it is an address
    if number:
        options += ["--number-sections", f"--number-offset={int(number) - 1}"]
    soup = BeautifulSoup(run_pandoc(pandoc, options, INCLUDE.sub(included, text), file), "html.parser")
    for figure in soup.select("figure.tbl"):
        figure.insert(0, *figure.select("figcaption"))  # a table has its caption above it
    for table in soup.select("table"):
        table.wrap(soup.new_tag("div", attrs={"class": "scroll"}))
    first = soup.select_one("section.level1")
    if first is None:
        raise WastebookError(f"{source} has no title: it must open with `# Title {{#sec-name}}`.")
    return Page(source, address, number, "../" * source.count("/"), _heading(first), soup)


def run_pandoc(program: str, options: list[str], text: str, file: Path) -> str:
    """What Pandoc makes of `text`, the Markdown of a `file`, in which HTML is text unless marked as raw;
    WastebookError, naming the file, where it cannot."""
    command = [program, "--from=markdown-raw_html", "--wrap=none", "--mathml", *options]
    done = subprocess.run(command, input=text, capture_output=True, text=True, encoding="utf-8")
    if done.returncode:
        raise WastebookError(f"Pandoc could not render {file}: {done.stderr.strip()[:500]}")
    return done.stdout


def cells_as_markdown(file: Path, address: Path, defaults: dict[str, Any]) -> str:
    """An executed notebook for Pandoc to read, its pictures written to a folder beside the page's `address`;
    `defaults` are the project's options for every cell."""
    parts: list[str] = []
    for number, cell in enumerate(nbformat.read(file, as_version=4).cells, 1):
        if cell.cell_type != "code":
            parts.append(cell.source)
        else:
            options, code = cell_options(cell.source)
            options = defaults | options
            name = options.get("label") or f"cell-{number}"
            if options.get("include", True):
                parts += _code_cell(cell, options, code, address.with_name(f"{address.stem}_files") / name)
    return "\n\n".join(parts)


def _code_cell(cell: nbformat.NotebookNode, options: dict[str, Any], code: str, file: Path) -> Iterator[str]:
    if code and options.get("echo", True):
        folded = options.get("code-fold")
        opening = _fence('<details class="code"><summary>Code</summary>') if folded else ""
        yield opening + _fence(code, ".python") + (_fence("</details>") if folded else "")
    for output in cell.outputs:
        if output.get("name") == "stdout":
            yield _fence(output.text, ".output")
    displayed = [output for output in cell.outputs if output.output_type != "stream"]
    label = str(options.get("label", ""))
    shown = [_output(output, options, at, file) for at, output in enumerate(displayed)]
    if shown and label.startswith(("fig-", "tbl-")):
        shown = [f"::: {{#{label}}}", *shown, f"{options.get(f'{label[:3]}-cap', '')}\n\n:::"]
    yield from shown


def _output(output: nbformat.NotebookNode, options: dict[str, Any], at: int, file: Path) -> str:
    """The output in the form that Quarto would choose: HTML before Markdown before a picture before text."""
    data = output.get("data", {})
    if "text/html" in data:
        return _fence(data["text/html"].replace("<th></th>", "<td></td>"))  # pandas' corner heads nothing
    if "text/markdown" in data:
        return str(data["text/markdown"])
    for kind in PICTURES.keys() & data.keys():
        return _fence(_picture(data[kind], kind, output.metadata.get(kind, {}), options, at, file))
    return _fence(data.get("text/plain", ""), ".output")


def _picture(content: str, kind: str, about: dict, options: dict[str, Any], at: int, file: Path) -> str:
    """A picture written to a file, as an image that opens large; one of several with its letter."""
    file.parent.mkdir(exist_ok=True)
    file = file.with_name(f"{file.name}-{at + 1}.{PICTURES[kind]}")
    file.write_bytes(content.encode() if kind.endswith("xml") else base64.b64decode(content))
    given = options.get("fig-alt") or options.get("fig-cap") or ""
    alt = " ".join((given[at] if isinstance(given, list) else given).split())
    size = "".join(f' {side}="{about[side]}"' for side in ("width", "height") if side in about)
    source = html.escape(f"{file.parent.name}/{file.name}")
    image = f'<img src="{source}" alt="{html.escape(alt)}"{size}>'
    image = f'<a class="lightbox" href="{source}">{image}</a>' if options.get("lightbox") else image
    return f'{image}<p class="subcaption">({chr(97 + at)})</p>' if options.get("fig-subcap") else image


def _fence(text: str, kind: str = "=html") -> str:
    ticks = "`" * max([3, *(len(run) + 1 for run in re.findall("`+", text))])
    return f"\n{ticks} {{{kind}}}\n{text.rstrip()}\n{ticks}\n"


def _targets(pages: list[Page]) -> dict[str, Any]:
    """The figures, tables and sections of all pages by label: their page, number and title."""
    targets: dict[str, Any] = {}
    for page in pages:
        for element in page.soup.select("section[id], figure[id]"):
            label, number = str(element["id"]), str(element.get("data-number", ""))
            if label in targets:
                first = targets[label][0].source
                raise WastebookError(f"{page.source}: the label {label} is also in {first}.")
            if label.startswith(REFERRED):
                targets[label] = page, number, _heading(element)
    return targets


def _refer(cite: Tag, page: Page, targets: dict[str, Any]) -> None:
    """Have a reference, to Pandoc a citation, name its places and lead there; one to literature stays."""
    labels = str(cite["data-cites"]).split()
    if not all(label.startswith(REFERRED) for label in labels):
        return
    shown = []
    for label in labels:
        if label in targets:
            there, number, title = targets[label]
            kind = {"fig": "Figure", "tbl": "Table"}.get(label[:3], "Section" if "." in number else "Chapter")
            told = html.escape(f"{kind}\u00a0{number}" if number else title)
            address = f"{'' if there is page else page.root + there.address}#{label}"
            shown.append(f'<a href="{html.escape(address)}">{told}</a>')
        else:
            shown.append(f"?@{html.escape(label)}")  # as Quarto has it; the check of the site finds both
    cite.replace_with(BeautifulSoup(", ".join(shown), "html.parser"))


def _heading(section: Tag) -> str:
    """The text of a section's heading without its number."""
    heading = section.find(HEADING)
    text = " ".join(heading.get_text().split()) if heading else ""
    return text.removeprefix(str(section.get("data-number", ""))).lstrip()


def _entries(page: Page) -> Iterator[dict[str, str]]:
    """What the search knows: an entry per section, its text without code or that of the sections within."""
    for hidden in page.soup.select(".sourceCode, .code > summary, style, script, annotation"):
        hidden.extract()
    for section in reversed(page.soup.select("section[class^=level]")):
        heading = " ".join(filter(None, [str(section.get("data-number", "")), _heading(section)]))
        if top := section.find(HEADING):
            top.extract()
        text = re.sub(r" (?=[.,;:)])|(?<=\() ", "", " ".join(section.extract().get_text(" ").split()))
        where = {"page": f"{page.number} {page.title}".strip(), "address": f"{page.address}#{section['id']}"}
        yield where | {"title": heading, "text": text}
