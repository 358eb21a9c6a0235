"""Wastebook: a report book on telling waste apart in photos, and the library its chapters stand on.

`import wastebook as wb` gives a chapter the names below; each is brought in when it is first used, so that
torch and pandas are loaded only where they are wanted."""

import importlib.metadata
from typing import Any

_NAMES = {  # what a chapter uses, by module
    "report.chapter": "open_chapter show note text",
    "photos.collection": "load_photos",
    "photos.decode": "read_photo",
    "report.tables": "table tabulate_scores",
    "learning.predictions": "Model",
    "learning.backbones": "load_backbone",
    "learning.features": "extract_features",
    "learning.study": "deal_photos train_heads solve_heads",
    "learning.search": "search_heads",
    "learning.finetune": "finetune_heads",
    "evaluation.metrics": "score score_classes",
    "evaluation.comparison": "compare_models",
    "report.sentences": "select_row format_score format_share format_points format_percent format_number "
    "format_count join_names describe_difference name_models caveats",
    "answers.predictor": "predict",
}
# What it calls by its module: `wb.study.describe_deals`.
_MODULES = """paths data.datasets data.sample data.splits photos.augment photos.decode learning.anatomy
learning.export learning.keras_networks learning.keras_training learning.predictions learning.search
learning.sessions learning.study evaluation.audit evaluation.comparison evaluation.trust report.cards
report.figures report.findings report.gallery report.overview report.published report.reference
report.sentences report.tables errors"""
HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}
MODULES = {module.rpartition(".")[2]: module for module in _MODULES.split()}
__all__ = [*HOMES, "figures"]


def __getattr__(name: str) -> Any:
    """A name of `HOMES`, from the module where it lives, or one of `MODULES`; and `__version__`."""
    if name == "__version__":
        return importlib.metadata.version("wastebook")
    if name in MODULES:
        return importlib.import_module(f"wastebook.{MODULES[name]}")
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"wastebook.{HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
