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
    assert titles.weigh(*([words[each] for each in some] for some in judged.split())) == title


@pytest.mark.parametrize(
    ("judged", "drawn", "title", "worth"),
    [
        (
            "bbx",
            "b",
            "2 of 3",
            "mine, a +1.0 points [+0.5,\u202f+1.5] to mine, c +3.0 points [−1.0,\u202f+7.0].",
        ),
        ("w", "", "0 of 1", "none: mine, a −1.0 points [−1.5,\u202f−0.5]."),
        ("", "b", "1 of 1", "none: sample, a +1.0 points [+0.5,\u202f+1.5]."),
    ],
)
def test_lines_of_photos_are_counted_and_of_drawings_where_there_are_no_others(judged, drawn, title, worth):
    kinds = {
        "b": (0.01, 0.005, 0.015, 0.01),
        "w": (-0.01, -0.015, -0.005, 0.01),
        "x": (0.03, -0.01, 0.07, 0.4),
    }
    rows = [
        (each, f"{each}, {letter}", "line", *kinds[kind])
        for each, kept in (("mine", judged), ("sample", drawn))
        for letter, kind in zip("abc", kept, strict=False)
    ]
    columns = ["set", "line", "of", "difference", "low", "high", "p_holm"]
    told = titles.tell_leaks(pd.DataFrame([*rows, ("mine", "", "bend", *kinds["b"])], columns=columns))
    assert told[0].endswith(f"objects are known: {title}") and told[1].endswith(worth)
