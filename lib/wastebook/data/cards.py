"""The data-set cards in `data/*.yml`: what each set is, whose it is and how to know it."""

from functools import cache
from typing import Any

import yaml

from wastebook import paths

Card = dict[str, Any]


@cache
def load_cards() -> dict[str, Card]:
    """Every card by its name. Fields of all: `name`, `title`, `task`, `classes` (each `name` in English,
    `spanish`, and `folder` where that differs), `source`, `homepage`, `licence`, `citation`, and `photos`
    (how many there are). Those of the sets that the library draws also have `drawn`, true, and `seed`.
    """
    files = sorted(paths.CARDS.glob("*.yml"), key=lambda file: file.stem)
    cards = [yaml.safe_load(file.read_text(encoding="utf-8")) for file in files]
    return {card["name"]: card for card in cards}


def class_folders(card: Card) -> dict[str, str]:
    """The class of each folder name (case-folded) in which the set keeps its photos."""
    return {entry.get("folder", entry["name"]).casefold(): entry["name"] for entry in card["classes"]}
