"""Wastebook: a report book on telling waste apart in photos, and the library its chapters stand on."""

import importlib
from importlib.metadata import version
from typing import Any

__version__ = version("wastebook")


def __getattr__(name: str) -> Any:
    """`wastebook.predict`, brought in when it is first asked for."""
    if name == "predict":
        return importlib.import_module("wastebook.answers.predictor").predict
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
