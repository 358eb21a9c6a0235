"""The figures that hold models against one another draw what their tables say."""

import numpy as np
import pandas as pd
import pytest

from wastebook.learning.predictions import MODEL, Model
from wastebook.report import figures

ONE, OTHER = Model("resnet18", "64x64"), Model("xception", "64x64", head="exact")

pytestmark = [pytest.mark.filterwarnings("error"), pytest.mark.usefixtures("drawn")]


def faces(axes) -> list[str]:
    return [dot[0].get_markerfacecolor() for dot in axes.containers]


def test_scores_without_an_interval_are_hollow():
    rows = [("grouped", 0.8, 0.75, 0.85), ("published", 0.76, np.nan, np.nan)]
    scores = pd.DataFrame(rows, columns=["scheme", "value", "low", "high"])
    axes = figures.intervals(scores.assign(**ONE.columns, metric="accuracy")).axes[0]
    assert faces(axes)[1] == "white" != faces(axes)[0]
    assert [dot.has_xerr for dot in axes.containers] == [True, False]
    assert [label.get_text()[:8] for label in axes.get_yticklabels()] == ["ResNet18"]


def test_scores_have_a_panel_per_metric_and_models_their_networks_colour():
    rows = [
        {**model.columns, "scheme": "grouped", "metric": metric, "value": 0.5, "low": 0.4, "high": 0.6}
        for model in (ONE, OTHER)
        for metric in ("accuracy", "macro_f1", "log_loss")
    ]
    panels = figures.intervals(pd.DataFrame(rows)).axes
    colours = figures.network_colours(["resnet18", "xception"])
    assert [faces(axes) for axes in panels] == [list(colours.values())] * 3


def test_differences_that_hold_zero_are_hollow_and_long_names_are_broken():
    long = "a step whose name is very long indeed, longer than any line"
    rows = [(long, 1.0, 0.5, 1.5), ("search", 0.1, -0.4, 0.6)]
    table = pd.DataFrame(rows, columns=["step", "difference", "low", "high"])
    table = table.assign(scheme="grouped", metric="macro_f1")
    axes = figures.intervals(table, "step", "difference", zero=True).axes[0]
    assert [face == "white" for face in faces(axes)] == [False, True]
    assert "\n" in axes.get_yticklabels()[0].get_text()


def test_what_is_no_split_has_the_first_shapes_and_is_hollow_in_the_legend_where_it_is_in_the_panel():
    table = pd.DataFrame({"step": "a", "when": ["before", "after"], "low": [np.nan, 0.4]})
    figure = figures.intervals(table.assign(value=0.5, high=0.6, metric="ece"), "step", marker="when")
    shown = [(line.get_marker(), line.get_markerfacecolor()) for line in figure.legends[0].get_lines()]
    assert shown == [("o", "white"), ("s", figures.style.INK)]


def test_curves_are_drawn_by_x_whatever_the_tables_order():
    curve = pd.DataFrame({"photos": [200, 100], "value": [0.8, 0.7], "low": [0.7, 0.6], "high": 0.9})
    figure = figures.curves(curve.assign(**ONE.columns), "photos", logarithmic=True)
    axes = figure.axes[0]
    figures.make_room(figure)
    assert list(axes.lines[0].get_ydata()) == [0.7, 0.8]
    assert {"100", "200"} <= {label.get_text() for label in axes.get_xticklabels()}


def test_a_dot_alone_in_its_row_stands_at_its_name_and_published_is_hollow_in_the_legend():
    rows = [("a", "grouped", 0.5), ("a", "official", 0.6), ("b", "published", np.nan)]
    table = pd.DataFrame(rows, columns=["step", "scheme", "low"]).assign(value=0.7, high=0.9, metric="f1")
    figure = figures.intervals(table, "step")
    first, second, alone = (float(dot[0].get_ydata()[0]) for dot in figure.axes[0].containers)
    assert first < 0 < second and alone == 1
    faces = [line.get_markerfacecolor() for line in figure.legends[0].get_lines()]
    assert faces == [figures.style.INK, figures.style.INK, "white"]
    assert {dot[0].get_color() for dot in figure.axes[0].containers} == {figures.style.INK}


@pytest.mark.parametrize("kind", ["object", "category"])
def test_any_columns_may_name_rows_and_shapes(kind):
    rows = [(label, place, 0.5, 0.4, 0.6) for label in ("glass", "metal") for place in ("home", "away")]
    table = pd.DataFrame(rows, columns=["label", "place", "value", "low", "high"], index=[0] * 4)
    table = table.astype({"label": kind, "place": kind}).assign(metric="recall")
    axes = figures.intervals(table, "label", "value", "place").axes[0]
    places = [float(dot[0].get_ydata()[0]) for dot in axes.containers]
    assert [round(place) for place in places] == [0, 0, 1, 1] and len(set(places)) == 4


@pytest.mark.parametrize("by", ["model", "dataset"])
def test_lines_of_one_network_share_its_colour_and_differ_in_dashes(by):
    table = pd.DataFrame([ONE.columns, ONE._replace(head="exact").columns, OTHER.columns])
    table["dataset"] = list("abc")
    colours, dashes = figures.line_styles(table, by)
    known = figures.network_colours(["resnet18", "xception"])
    assert list(colours.values()) == [known["resnet18"]] * 2 + [known["xception"]]
    assert len(set(list(dashes.values())[:2])) == 2 and list(dashes.values())[2] == "-"
    colours, dashes = figures.line_styles(table[["dataset"]], "dataset")
    assert {*colours.values()} == {figures.style.INK} and len({*map(str, dashes.values())}) == 3


def test_curves_have_a_panel_per_kind():
    rows = [(kind, at, who, 0.5) for kind in "abcde" for at in (0, 1) for who in ("right", "sure")]
    table = pd.DataFrame(rows, columns=["kind", "strength", "answers", "value"])
    figure = figures.curves(table, "strength", hue="answers", column="kind")
    assert [axes.get_title("left") for axes in figure.axes] == list("abcde")
    assert [text.get_text() for text in figure.legends[0].texts] == ["right", "sure"]


def test_the_front_is_numbered_and_named_from_the_best():
    models = pd.DataFrame([ONE.columns, OTHER.columns]).assign(accuracy=[0.7, 0.9], ms=[5, 20], ms_front=True)
    figure = figures.cost_fronts(models, {"ms": "ms per photo"})
    assert [text.get_text() for text in figure.axes[0].texts] == ["2", "1"]
    assert figure.legends[0].texts[0].get_text().startswith("1  Xception")
    models = models.assign(accuracy=0.7, ms=5)  # one on the other: one ring, with both numbers
    (text,) = figures.cost_fronts(models, {"ms": "ms per photo"}).axes[0].texts
    assert text.get_text() == "1–2"


def test_recall_by_number_keeps_test_apart():
    rows = [("glass", f"glass/glass_{at}.jpg", "test" if at > 40 else "train") for at in range(60)]
    table = pd.DataFrame(rows, columns=["label", "path", "split"])
    axes = figures.recall_by_number(table.assign(predicted="glass")).axes[0]
    train, test = (list(line.get_xdata()) for line in axes.lines if len(line.get_xdata()))
    assert (
        max(train) < 45 and min(test) > 40 and len(train) + len(test) == 13
    )  # the twelfth with the 40th has both
    assert {y for line in axes.lines for y in line.get_ydata()} == {1}
    table["label"] = "a class of 12345678901234567890 things"
    axes = figures.recall_by_number(table.assign(predicted="")).axes[0]
    assert axes.get_title("left") == "a class of…890 things"


@pytest.mark.parametrize("first", ["test", "train"])
def test_a_split_has_one_look_whichever_comes_first(first):
    rows = [(f"glass/glass_{at}.jpg", "test" if at > 40 else "train") for at in range(60)]
    table = pd.DataFrame(rows, columns=["path", "split"]).assign(label="glass", predicted="glass")
    table = table.sort_values("split", ascending=first == "test", kind="stable")
    looks = {}
    for line in figures.recall_by_number(table).axes[0].lines:
        if len(line.get_xdata()):
            looks["test" if min(line.get_xdata()) > 35 else "train"] = line.get_color()
    assert looks == {"test": figures.style.INK, "train": figures.style.GREY}


def test_colours_and_markers_are_the_same_in_every_figure():
    assert (
        figures.network_colours(["xception"]).items()
        <= figures.network_colours(["base_cnn", "xception"]).items()
    )
    assert figures.network_colours(["x", "xception", "resnet18"])["resnet18"] == figures.style.BLUE
    assert len(set(figures.network_colours([*figures.style.NETWORK_ORDER, "mine", "yours"]).values())) == 7
    assert (
        figures.scheme_markers(["official"])["official"]
        == figures.scheme_markers(["x", "official"])["official"]
    )
    styles = zip(
        *(style.values() for style in figures.class_styles([f"class {at}" for at in range(40)])), strict=True
    )
    assert len(set(styles)) == 40


def test_a_slide_has_larger_letters():
    table = pd.DataFrame([{**ONE.columns, "x": 1, "value": 2.0}])
    figure = figures.enlarged(figures.curves(table, "x"), width=960)
    assert figure.get_figwidth() * figure.dpi == 960
    assert figure.axes[0].xaxis.label.get_fontsize() * figure.dpi / 72 >= 20  # pixels of a slide of 1,280


def test_empty_tables_are_said_to_be_empty(tmp_path):
    table = pd.DataFrame(
        columns=[*MODEL, "label", "predicted", "path", "split", "scheme", "metric", "front", "x"]
    )
    drawn = [
        *(draw(table) for draw in (figures.intervals, figures.training_curves, figures.reliability_diagram)),
        *(draw(table, ["glass"]) for draw in (figures.confusion_matrices, figures.recall_changes)),
        figures.curves(table, "x"),
        figures.cost_fronts(table.assign(x_front=[]), {"x": "x"}),
        figures.recall_by_number(table.astype({"path": "str"})),
        figures.mistakes(table, tmp_path),
    ]
    assert {figure.texts[0].get_text() for figure in drawn} == {"There are none."}
