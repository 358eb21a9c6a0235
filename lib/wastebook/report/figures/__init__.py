"""Figures that two chapters share, or that no library draws: each takes a tidy table and returns a Figure."""

from importlib import import_module
from typing import Any

_PLACES = {
    "style": "class_styles enlarged line_styles make_room network_colours scheme_markers set_up shorten wrap",
    "photos": "draw_box mistakes photo_grid photo_pairs",
    "models": "confusion_matrices network_stages recall_changes reliability_diagram search_figure "
    "training_curves",
    "comparison": "cost_fronts curves intervals recall_by_number",
}
_MODULE_OF = {name: module for module, names in _PLACES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"No figure is called {name!r}: there are {', '.join(_MODULE_OF)}.")
