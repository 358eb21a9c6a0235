"""Titles of findings: right for better, worse and undecided, for none, one and many."""

import pandas as pd
import pytest

from wastebook.report import sentences


@pytest.mark.parametrize(
    ("judged", "title"),
    [
        ([], "none helps"),
        (["undecided"] * 10, "none helps"),
        (["better", "undecided"], "1 helps"),
        (["better"] * 3, "3 help"),
        (["worse", "undecided"], "none helps, 1 harms"),
        (["better", "worse", "worse"], "1 helps, 2 harm"),
    ],
)
def test_what_helps_and_what_harms_are_counted(judged, title):
    assert sentences.count_clear(pd.Series(judged, dtype=object)) == title


@pytest.mark.parametrize(
    ("judged", "title"),
    [
        ("bb x x", "The network matters; no clear gain from search or augmentation"),
        ("bx x x", "By one recipe the network matters; no clear gain from search or augmentation"),
        ("ww xx xw", "The network matters; no clear gain from search or augmentation"),
        ("b b xwb", "The network matters; a clear gain from search and augmentation"),
        ("xb x x", "By one recipe the network does not matter; no clear gain from search or augmentation"),
        ("x x xb", "The network does not matter; a clear gain from augmentation"),
        ("x w xxx", "No clear gain from anything tried"),
    ],
)
def test_what_matters_is_what_is_clear(judged, title):
    words = {"b": "better", "w": "worse", "x": "undecided"}
    assert sentences.weigh(*([words[each] for each in some] for some in judged.split())) == title
