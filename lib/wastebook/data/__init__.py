"""The data room: which photos there are, where they come from, how they are split."""

from wastebook.data.cards import load_cards
from wastebook.data.datasets import (
    Dataset,
    describe_datasets,
    draw_per_class,
    fingerprint,
    how_many,
    open_dataset,
)
from wastebook.data.sample import draw_sample, true_boxes
from wastebook.data.splits import split_photos

__all__ = [
    "Dataset",
    "describe_datasets",
    "draw_per_class",
    "draw_sample",
    "fingerprint",
    "how_many",
    "load_cards",
    "open_dataset",
    "split_photos",
    "true_boxes",
]
