"""The page on the library: each name has its section, made from its docstring."""

import inspect
import re
import subprocess
import sys

import pytest

import wastebook
from wastebook.report.front import write_api_page


@pytest.fixture(scope="module")
def sections(tmp_path_factory):
    """The page's sections, by name."""
    file = tmp_path_factory.mktemp("site") / "api.qmd"
    write_api_page(file)
    head, *parts = re.split(r"^## ", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert head.startswith("# The library, name by name {.unnumbered}\n")
    return {re.match(r"`(\w+)` \{#api-[\w-]+ \.unnumbered\}\n", part)[1]: part for part in parts}


def test_each_name_has_its_section(sections):
    assert set(sections) == set(wastebook.__all__)


@pytest.mark.parametrize("name", wastebook.__all__)
def test_a_section_names_the_parameters_and_shows_an_example(name, sections):
    thing = getattr(wastebook, name)
    assert f"```python\nwb.{name}" in sections[name]
    if inspect.ismodule(thing):
        return
    assert "```pycon\n>>> " in sections[name]
    if name.startswith(("format_", "join_")):
        return  # one line each: the signature says what they take
    for parameter in set(inspect.signature(thing).parameters) - {"self"}:
        assert re.search(rf"^`\*{{0,2}}{parameter}`.*\n:   \S", sections[name], re.MULTILINE), parameter


def test_the_page_is_made_without_loading_a_network(tmp_path):
    code = f"""if True:
        import pathlib, sys
        from wastebook.report.front import write_api_page
        write_api_page(pathlib.Path({str(tmp_path / "api.qmd")!r}))
        print(*sys.modules)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"torch", "tensorflow", "keras"}.isdisjoint(done.stdout.split())
