"""Titles of findings: right for better, worse and undecided, for none, one and many."""

import pandas as pd
import pytest

from wastebook.report import titles


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
    assert titles.count_clear(pd.Series(judged, dtype=object)) == title


@pytest.mark.parametrize(
    ("network", "tuning", "title"),
    [
        (True, (False, False), "By one recipe the network matters; search and augmentation do not"),
        (True, (False, True), "Search or augmentation matters; by one recipe the network does too"),
        (False, (True,), "Search or augmentation matters; by one recipe the network does not"),
        (False, (), "Nothing tried matters"),
    ],
)
def test_what_matters_is_what_is_clear(network, tuning, title):
    assert titles.weigh(network, *tuning) == title
