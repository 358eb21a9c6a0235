"""Each kind of problem that the check of a site must find, and the clean page it must let pass."""

from pathlib import Path

import pytest

from wastebook.book.check import Problem, check_site

PROBLEMS = {
    "<p><strong>?@fig-x</strong></p>": "reference to something missing: fig-x",
    "<p>?tbl-y</p>": "reference to something missing: tbl-y",
    "<p>?var:01-first.gone</p>": "reference to something missing: var:01-first.gone",
    '<p><span class="citation" data-cites="he2016">x</span></p>': "reference to a missing source: he2016",
    '<p><a href="gone.html">x</a></p>': "broken link to gone.html",
    '<p><a href="#gone">x</a></p>': "broken link: index.html has no place gone",
    '<p><a href="sub/other.html#gone">x</a></p>': "broken link: other.html has no place gone",
    '<img src="gone.png" alt="x">': "broken link to gone.png",
    '<img src="here.png">': "picture without alternative text: here.png",
    '<img src="here.png" alt=" ">': "picture without alternative text: here.png",
    '<div class="cell-output-error"><pre>x</pre></div>': "a cell in error",
    "<p>{{< meta title >}}</p>": "markup left over: {{< meta title >}}",
    "<p>\n::: {.callout-note}\n</p>": "markup left over: ::: {.callout-note}",
    "<p>\n#| label: fig-x\n</p>": "markup left over: #| label: fig-x",
    '<script src="https://cdn.example/x.js"></script>': "loads from another host: https://cdn.example/x.js",
    '<link rel="stylesheet" href="//cdn.example/x.css">': "loads from another host: //cdn.example/x.css",
    '<img src="https://x.example/y.png" alt="y">': "loads from another host: https://x.example/y.png",
    '<p onclick="x()">x</p>': 'a script in an attribute: <p onclick="x()">x</p>',
    '<a href="javascript:x()">x</a>': 'a script in an attribute: <a href="javascript:x()">x</a>',
    "<style>p { background: url(//x.example/y) }</style>": "loads from another host: url(//x.example/y",
}


def site_with(content: str, folder: Path) -> Path:
    (folder / "sub").mkdir()
    (folder / "here.png").write_bytes(b"")
    (folder / "sub" / "other.html").write_text('<main id="place">x</main>', encoding="utf-8")
    (folder / "index.html").write_text(f"<html><main>{content}</main></html>", encoding="utf-8")
    return folder


@pytest.mark.parametrize("content", PROBLEMS)
def test_a_problem_is_found_once_and_named(content: str, tmp_path: Path) -> None:
    assert check_site(site_with(content, tmp_path)) == [Problem("index.html", PROBLEMS[content])]


def test_a_style_sheet_that_loads_from_another_host(tmp_path: Path) -> None:
    site = site_with("", tmp_path)
    (site / "x.css").write_text('@import "https://fonts.example/x.css";', encoding="utf-8")
    assert [problem.page for problem in check_site(site)] == ["x.css"]


@pytest.mark.fault("disk and places", "runs behind a link, as on a scratch disk", "their sites pass")
def test_a_site_behind_a_link(tmp_path: Path) -> None:
    site = site_with('<p id="a"><a href="#a">x</a> <a href="sub/other.html#place">x</a></p>', tmp_path)
    (tmp_path / "link").symlink_to(site, target_is_directory=True)
    assert check_site(tmp_path / "link") == []


@pytest.mark.fault("hostile names", "a title with a template, on a slide", "it is shown as it is written")
def test_a_title_on_a_slide_is_no_markup(tmp_path: Path) -> None:
    slide = '<div class="reveal"><section><h2>24 % of {{&lt; include x &gt;}}</h2></section></div>'
    assert check_site(site_with(slide, tmp_path)) == []


def test_a_clean_page_passes(tmp_path: Path) -> None:
    content = (
        '<p id="a"><a href="#a">x</a> <a href="sub/other.html#place">x</a> '
        '<a href="https://example.org">x</a> '
        '<a href="mailto:a@b.example">x</a> <img src="here.png" alt="A thing"> Why?</p>'
        "<pre><code>::: {{< var x >}} ?@fig-x</code></pre>"
        '<span class="citation" data-cites="he2016">x</span><p id="ref-he2016">He</p>'
    )
    assert check_site(site_with(content, tmp_path)) == []
