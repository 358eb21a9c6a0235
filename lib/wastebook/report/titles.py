"""Titles that say what was found: the same for the reference, and on the deck for an informative run."""

import pandas as pd

from wastebook.data.cards import load_cards
from wastebook.evaluation.comparison import judge_difference
from wastebook.report.sentences import format_points

TITLES = {  # by chapter
    "01-exploration": "{share} of the photos of {title} show, as found, what others show",
    "02-baseline": "{network}, frozen, names {share} of {asked}",
    "03-augmentation": "Of {tried} ways to vary photos {helps} beyond luck",
    "04-efficientnet": "{verdict}",
    "05-xception": "{classes}: {worst} to {best} right, by network",
    "06-trust": "Test photos that have a copy outside test: {copies} of {tested}",
    "07-comparison": "The {model} that validation chose is right for {share}",
    "08-new-photos": "Under the worst damage tried, {worst}, {share} are named rightly",
    "10-leaks": "Lines that clearly rise as more test objects are known: {rising} of {lines}",
}


def weigh(network: list[str], search: list[str] | pd.Series, views: pd.Series) -> str:
    """What makes a clear difference: the network, by one recipe and fairly; searches; ways to augment."""
    helps = [name for name, found in (("search", search), ("augmentation", views)) if "better" in [*found]]
    if {*network} == {"undecided"} and not helps:
        return "No clear gain from anything tried"
    whose = "The" if len({*network}) == 1 else "By one recipe the"
    matters = "does not matter" if network[0] == "undecided" else "matters"
    told = f"{whose} network {matters}; {'a' if helps else 'no'} clear gain from"
    return f"{told} {' and '.join(helps) or 'search or augmentation'}"


def count_clear(judged: pd.Series) -> str:
    """How many of some changes, as `judge_difference` has them, help and harm: `1 helps, 2 harm`."""
    harmful, helpful = (int(judged.eq(what).sum()) for what in ("worse", "better"))
    helps = f"{helpful or 'none'} help{'s' * (helpful < 2)}"
    return f"{helps}, {harmful} harm{'s' * (harmful < 2)}" if harmful else helps


def tell_leaks(slopes: pd.DataFrame) -> tuple[str, str]:
    """What it is worth to know objects of the test, by the `slopes` of lines: a title, and a sentence."""
    lines = photographed(slopes.query("of == 'line'")).sort_values("difference")
    rising = lines.apply(judge_difference, axis=1).eq("better").sum()
    worth = dict.fromkeys((lines["line"] + " " + lines.apply(format_points, axis=1)).iloc[[0, -1]])
    told = f"What it is worth to know all objects of the test and not none: {' to '.join(worth)}."
    return TITLES["10-leaks"].format(rising=rising, lines=len(lines)), told


def photographed(table: pd.DataFrame) -> pd.DataFrame:
    """The rows whose `set` is of photos; where all are of drawings, these."""
    drawn = table["set"].isin([name for name, card in load_cards().items() if card.get("drawn")])
    return table[~drawn | drawn.all()]
