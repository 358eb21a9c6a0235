"""The page on the library itself: each name that a chapter uses, from its docstring."""

from pathlib import Path

import griffe

import wastebook
from wastebook.files import write_text

HEAD = "# The library, name by name {.unnumbered}\n\nWhat `import wastebook as wb` gives a chapter.\n\n"


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
