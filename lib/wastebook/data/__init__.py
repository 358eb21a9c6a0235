"""The data room: which photos there are, where they come from, how they are split."""

import importlib
from typing import Any

HOMES = {
    **dict.fromkeys(("describe_datasets", "draw_per_class", "fingerprint", "open_dataset"), "datasets"),
    **{"Dataset": "datasets", "draw_sample": "sample", "true_boxes": "sample", "examine": "checkup"},
    **{"load_cards": "cards", "split_photos": "splits"},
}
__all__ = list(HOMES)


def __getattr__(name: str) -> Any:
    """A name of `HOMES`, brought in from its module when it is first used: one photo needs no tables."""
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{HOMES[name]}"), name)
