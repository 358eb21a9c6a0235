"""The house style of tables."""

import re

import pandas as pd
import pytest
from bs4 import BeautifulSoup

from wastebook.learning.predictions import Model
from wastebook.report.sentences import format_points
from wastebook.report.tables import add_weighted_average, list_scores, table, tabulate_scores

FRAME = pd.DataFrame(
    {
        "class_name": ["glass", None],
        "photos": [1501, 410],
        "f1": [0.5, None],
        "seeds": pd.array([3, None], dtype="Int64"),
        "tuned": [True, False],
    }
)


def test_numbers_are_set_right_and_rounded_and_the_missing_is_a_dash() -> None:
    soup = BeautifulSoup(table(FRAME, decimals=3, names={"f1": "F1"}).as_raw_html(), "html.parser")
    assert [head.get_text() for head in soup.select("th")] == ["class name", "photos", "F1", "seeds", "tuned"]
    rows = [[cell.get_text() for cell in row.select("td")] for row in soup.select("tbody tr")]
    assert rows == [["glass", "1,501", "0.500", "3", "True"], ["—", "410", "—", "—", "False"]]
    sides = ["gt_right" in cell["class"] for cell in soup.select("tbody tr:first-child td")]
    assert sides == [False, True, True, True, False]


def test_figures_told_as_text_are_set_right_too() -> None:
    told = pd.DataFrame({"model": ["a", "1"], "s": ["1,783", "−0.12"], "accuracy": ["9 [8, 10]", None]})
    soup = BeautifulSoup(table(told).as_raw_html(), "html.parser")
    sides = ["gt_right" in cell["class"] for cell in soup.select("tbody tr:first-child td")]
    assert sides == [False, True, False]


@pytest.mark.parametrize("name", ["p", "corrected p", "McNemar's p"])
def test_a_small_p_is_not_told_as_none(name: str) -> None:
    page = table(pd.DataFrame({name: [0.0, 0.0001, 0.0005, 0.2]}), decimals=3).as_raw_html()
    cells = BeautifulSoup(page, "html.parser").select("td")
    assert [cell.get_text() for cell in cells] == ["0.000", "<0.001", "<0.001", "0.200"]


def test_the_average_over_classes_is_weighted_by_their_photos_and_passes_over_what_is_missing() -> None:
    rows = [("a", "f1", 1.0, 30), ("b", "f1", 0.5, 10), ("a", "recall", 0.2, 30), ("b", "recall", None, 10)]
    by_class = pd.DataFrame(rows, columns=["label", "metric", "value", "support"])
    means = add_weighted_average(by_class).tail(2)
    assert means["label"].tolist() == ["weighted average"] * 2 and means["support"].tolist() == [40, 30]
    assert means["value"].tolist() == [0.875, 0.2]


def test_no_colour_is_laid_over_the_page() -> None:
    page = table(FRAME).as_raw_html()
    style = re.sub(r"\.gt_striped \{[^}]*\}", "", page[page.index("<style>") : page.index("</style>")])
    assert set(re.findall(r"background-color: ([^;]+);", style)) == {"transparent"}
    assert "[class^=gt_] { color: inherit; border-color: rgba(128, 128, 128, 0.45); }" in style


def test_the_same_table_gives_the_same_page() -> None:
    assert table(FRAME).as_raw_html() == table(FRAME.copy()).as_raw_html()
    assert table(FRAME).as_raw_html() != table(FRAME, decimals=1).as_raw_html()


def test_scores_are_told_a_column_per_metric_in_their_order() -> None:
    rows = [("b", "recall", 0.5), ("b", "f1", 0.6), ("a", "recall", 0.7)]
    scores = pd.DataFrame(rows, columns=["label", "metric", "value"]).assign(low=0.4, high=0.8)
    told = tabulate_scores(scores, ["label"])
    assert list(told) == ["label", "recall", "f1"] and list(told["label"]) == ["b", "a"]
    assert told["recall"].tolist() == ["0.50 [0.40,\u202f0.80]", "0.70 [0.40,\u202f0.80]"]
    assert told["f1"].isna().tolist() == [False, True]
    differences = scores.rename(columns={"value": "difference"})
    assert tabulate_scores(differences, ["label"], form=format_points)["f1"][0].startswith("+60.0 points")


def test_scores_of_models_are_listed_in_a_sentence() -> None:
    models = [Model("resnet18", "64x64").columns, Model("resnet18", "64x64", head="exact").columns]
    scores = pd.DataFrame(models).assign(value=[0.5, 0.75], low=0.4, high=0.8)
    assert (
        list_scores(scores, lambda row: f"{row['value']:.2f}")
        == "ResNet18 0.50 and ResNet18, exact head 0.75"
    )
    assert list_scores(scores.head(1)) == "ResNet18 0.50 [0.40,\u202f0.80]"


@pytest.mark.parametrize(("decimals", "told"), [(1, "88"), (2, "88"), (3, "87.7")])
def test_shares_are_told_in_percent(decimals, told):
    frame = pd.DataFrame({"accuracy": [0.877, None], "F1": [0.5, 0.6]})
    text = table(frame, decimals=decimals, shares=["accuracy"]).as_raw_html()
    assert f">{told}\u202f%<" in text and ">—<" in text and ">0.5" in text
