"""Wastebook: a report book on telling waste apart in photos, and the library its chapters stand on.

`import wastebook as wb` gives a chapter the names below; each is brought in when it is first used, so that
torch and pandas are loaded only where they are wanted.
"""

import importlib
from importlib.metadata import version
from typing import Any

HOMES = {  # the module of each name that a chapter uses
    "open_chapter": "report.chapter",
    "load_photos": "photos.collection",
    "read_photo": "photos.decode",
    "show": "report.chapter",
    "table": "report.tables",
    "tabulate_scores": "report.tables",
    "note": "report.chapter",
    "text": "report.chapter",
    "caveats": "report.sentences",
    "Model": "learning.predictions",
    "load_backbone": "learning.backbones",
    "extract_features": "learning.features",
    "deal_photos": "learning.study",
    "train_heads": "learning.study",
    "solve_heads": "learning.study",
    "search_heads": "learning.search",
    "finetune_heads": "learning.finetune",
    "score": "evaluation.metrics",
    "score_classes": "evaluation.metrics",
    "compare_models": "evaluation.comparison",
    "select_row": "report.sentences",
    "format_score": "report.sentences",
    "format_share": "report.sentences",
    "format_points": "report.sentences",
    "format_percent": "report.sentences",
    "format_number": "report.sentences",
    "format_count": "report.sentences",
    "join_names": "report.sentences",
    "describe_difference": "report.sentences",
    "name_models": "report.sentences",
    "predict": "answers.predictor",
}
MODULES = {  # those that a chapter calls by their own name: `wb.study.describe_deals`
    "data": "data",
    "paths": "paths",
    "decode": "photos.decode",
    "anatomy": "learning.anatomy",
    "export": "learning.export",
    "keras_networks": "learning.keras_networks",
    "keras_training": "learning.keras_training",
    "predictions": "learning.predictions",
    "sessions": "learning.sessions",
    "study": "learning.study",
    "audit": "evaluation.audit",
    "comparison": "evaluation.comparison",
    "trust": "evaluation.trust",
    "cards": "report.cards",
    "figures": "report.figures",
    "overview": "report.overview",
    "published": "report.published",
    "reference": "report.reference",
    "sentences": "report.sentences",
    "tables": "report.tables",
}
__all__ = [*HOMES, "figures"]


def __getattr__(name: str) -> Any:
    """A name of `HOMES`, from the room where it lives, or one of `MODULES`; and `__version__`."""
    if name == "__version__":
        return version("wastebook")
    if name in MODULES:
        return importlib.import_module(f"wastebook.{MODULES[name]}")
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"wastebook.{HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
