"""What a reader may take along from a site, and the page that says how the run was made."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd

from wastebook.book.plan import read_record
from wastebook.files import write_text

FOLDER, PAGE = "downloads", "run.qmd"
PACKED_FROM = 2000  # rows: longer tables are compressed


def write_downloads(run: Path, chapters: list[Path]) -> None:
    """Write in the run's folder `downloads/` (each table of the results as CSV, each chapter as a notebook
    with the run's parameters and without outputs, the cards of models and data sets) and the page `run.qmd`
    that lists them below the data, the machine and the versions."""
    folder = run / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    for chapter in chapters:
        (folder / chapter.stem).mkdir(parents=True)
        nbformat.write(_without_outputs(chapter), folder / chapter.stem / chapter.name)
        for file in sorted((run / "results" / chapter.stem).glob("*.parquet")):
            table = pd.read_parquet(file)
            suffix = ".csv.gz" if len(table) > PACKED_FROM else ".csv"
            table.to_csv(folder / chapter.stem / f"{file.stem}{suffix}", index=False, float_format="%.5g")
    for card in sorted((run / "models").glob("*/*.md")):
        (folder / "cards").mkdir(exist_ok=True)
        shutil.copyfile(card, folder / "cards" / card.name)
    write_text(run / PAGE, "\n".join(_page(read_record(run), folder)) + "\n")


def _without_outputs(file: Path) -> nbformat.NotebookNode:
    notebook = nbformat.read(file, as_version=4)
    notebook.cells = [
        cell for cell in notebook.cells if "injected-parameters" not in cell.metadata.get("tags", [])
    ]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


def _page(record: dict[str, Any], folder: Path) -> Iterator[str]:
    yield "# This run {.unnumbered}\n\nHow this copy of the book was made, and what you can take along.\n"
    hardware = record.get("hardware", {})
    facts = {
        "written": record.get("written"),
        "commit": record.get("commit"),
        "processor": hardware.get("processor"),
        "cores": hardware.get("cores"),
        "memory": f"{hardware['memory_gb']} GB" if "memory_gb" in hardware else None,
        "accelerator": hardware.get("accelerator") or "none",
    }
    yield from _rows("Environment", ("what", "value"), facts.items())
    data = record.get("data", {}).values()
    photos = [(each["name"], f"{each['photos']:,}", f"`{each['fingerprint'][:16]}`") for each in data]
    yield from _rows("Data", ("set", "photos", "fingerprint"), photos)
    yield from _rows("Versions", ("package", "version"), record.get("versions", {}).items())
    yield "## Downloads\n"
    for part in sorted(path for path in folder.iterdir()):
        links = [
            # Raw HTML: renderers take a Markdown link to a notebook for one to its page.
            f'<a href="{FOLDER}/{part.name}/{file.name}" download>{file.name}</a> ({_size(file)})'
            for file in sorted(part.iterdir())
        ]
        yield f"- **{part.name}**: {', '.join(links)}"


def _rows(title: str, names: tuple[str, ...], rows: Any) -> Iterator[str]:
    """A section with a table, or nothing where it would be empty."""
    lines = [f"| {' | '.join(str(value or '—') for value in row)} |" for row in rows]
    if lines:
        yield f"## {title}\n\n| {' | '.join(names)} |\n|{' --- |' * len(names)}"
        yield "\n".join(lines) + "\n"


def _size(file: Path) -> str:
    size = file.stat().st_size
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{max(1, round(size / 1e3))} KB"
