"""Titles that say what was found: the same for the reference, and on the deck for an informative run."""

import pandas as pd

TITLES = {  # by chapter
    "01-exploration": "{share} of the photos of {title} show, as found, what others show",
    "02-baseline": "{network}, frozen, names {share} of {asked}",
    "03-augmentation": "Of {tried} ways to vary photos {helps} beyond luck",
    "05-xception": "{classes}: {worst} to {best} right, by network",
    "06-trust": "Test photos that have a copy outside test: {copies} of {tested}",
    "07-comparison": "The {model} that validation chose is right for {share}",
    "08-new-photos": "Under the worst damage tried, {worst}, {share} are named rightly",
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
