"""A small run folder whose two chapters use all that a chapter may use, and the book that it is of."""

import base64
import json
from io import BytesIO
from pathlib import Path

import nbformat
import pandas as pd
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from wastebook.report.chapter import callout
from wastebook.report.tables import table

FIRST = """# Looking at photos {#sec-first}

What is in the photos, and is @sec-second right about them? Residual networks [@he2016] come later."""

PROSE = """## How many there are {#sec-counts}

@fig-counts and @tbl-counts say so, @fig-second and @fig-pair agree; see also [@fig-counts; @fig-vector],
@tbl-house and @sec-details. The mean is $\\bar{x} = \\frac{1}{n} \\sum_i x_i$.

::: {.callout-note}
## A title of its own
With `code` and a [link](02-second.ipynb).
:::

::: {.callout-tip}
A tip without a title.
:::

### In detail {#sec-details}

A *hippopotamus* hides here for the search.

| class | photos |
| ----- | -----: |
| glass | 501    |
| metal | 410    |

1. One
2. Two, with <https://example.org>

> A quotation.
"""

SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="120" height="40"><circle cx="20" cy="20" r="15"/></svg>'


def picture(colour: str, size: tuple[int, int] = (1600, 900)) -> str:
    """A PNG of one colour on white, in base64."""
    image = Image.new("RGB", size, "white")
    image.paste(colour, (80, 120, size[0] // 2, size[1] - 80))
    file = BytesIO()
    image.save(file, "png")
    return base64.b64encode(file.getvalue()).decode()


def shown(data: dict[str, str], **metadata: object) -> list[nbformat.NotebookNode]:
    return [new_output("display_data", data=data, metadata=metadata)]


def figure(colour: str) -> list[nbformat.NotebookNode]:
    size = {"width": 800, "height": 450}
    return shown({"image/png": picture(colour), "text/plain": "<Figure>"}, **{"image/png": size})


def code(
    source: str, outputs: list[nbformat.NotebookNode] | None = None, tags: str = ""
) -> nbformat.NotebookNode:
    metadata = {"tags": tags.split()} if tags else {}
    return new_code_cell(source, outputs=outputs or [], metadata=metadata, execution_count=1)


def first_chapter() -> nbformat.NotebookNode:
    frame = pd.DataFrame({"class": ["glass", "metal"], "photos": [1501, 410], "share": [0.785, 0.215]})
    wide = pd.DataFrame({f"a long column name {number}": [number] * 3 for number in range(12)})
    labelled = "#| label: {0}\n#| {1}-cap: {2}\n"
    return new_notebook(
        cells=[
            new_markdown_cell(FIRST),
            code("photos_per_class: int = 40  # how many photos of each class", tags="parameters"),
            code(
                "#| echo: false\nnotice('sample')",
                shown({"text/html": callout("The *sample*, drawn by `wastebook`, not photos.", "warning")}),
            ),
            new_markdown_cell(PROSE),
            code(
                labelled.format("fig-counts", "fig", "Photos a **class**")
                + "#| fig-alt: Glass has more than metal, \"by far\".\nshow(draw(counts), alt='Glass leads')",
                figure("#0072B2"),
            ),
            code(
                labelled.format("tbl-counts", "tbl", "Counts from pandas") + "counts",
                [new_output("execute_result", data={"text/html": frame.to_html(), "text/plain": "counts"})],
            ),
            code(
                labelled.format("tbl-house", "tbl", "The house style") + "table(counts)",
                shown({"text/html": table(frame).as_raw_html(), "text/plain": "GT"}),
            ),
            code("#| code-fold: false\nwide", shown({"text/html": wide.to_html(), "text/plain": "wide"})),
            code(
                labelled.format("fig-vector", "fig", "A vector picture")
                + "#| echo: false\n#| fig-alt: A black disc.\ndraw()",
                shown({"image/svg+xml": SVG, "text/plain": "svg"}),
            ),
            code(
                "print('a stream')", [new_output("stream", name="stdout", text="a stream <b>\n" + "x" * 200)]
            ),
            code(
                "Markdown(f'...')",
                shown({"text/markdown": "Made of **results**: see @fig-counts.", "text/plain": "..."}),
            ),
            code("#| include: false\nhidden_by_include = 1"),
            code(
                labelled.format("fig-pair", "fig", "Two pictures of one cell")
                + '#| fig-alt: ["A blue bar.", "An orange bar."]\n#| fig-subcap: true\nshow_both()',
                figure("#0072B2") + figure("#D55E00"),
            ),
            code("#| echo: false\nhidden_code = 1", [new_output("stream", name="stdout", text="kept")]),
            code("tqdm()", [new_output("stream", name="stderr", text="hidden_warning")]),
        ]
    )


def second_chapter() -> nbformat.NotebookNode:
    prose = "# The second look {#sec-second}\n\nAfter @sec-first, @sec-counts and @fig-counts;"
    prose += " @chollet2017 again [@he2016]."
    return new_notebook(
        cells=[
            new_markdown_cell(prose),
            code(
                "#| label: fig-second\n#| fig-cap: Another picture\n#| fig-alt: Orange on white.\n"
                f"show(draw({', '.join(f'argument_{number}=1' for number in range(12))}), alt='A long line')",
                figure("#D55E00"),
            ),
        ]
    )


def write_run(run: Path, **chapters: nbformat.NotebookNode) -> Path:
    """A run folder with these executed notebooks (by file stem) and the example's results."""
    (run / "chapters").mkdir(parents=True)
    (run / "results").mkdir()
    for name, notebook in chapters.items():
        notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, run / "chapters" / f"{name}.ipynb")
    values = {"photos": 1911, "headline": "Glass leads with 1,501 of 1,911 photos, as *they* | <b>say</b>."}
    (run / "results" / "01-first.json").write_text(json.dumps(values), encoding="utf-8")
    return run
