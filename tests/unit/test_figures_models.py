"""The figures of what models learned draw what their tables say."""

import matplotlib.pyplot as plt
import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.visualization import matplotlib as plots

from wastebook.learning.predictions import Model
from wastebook.report import figures
from wastebook.report.figures import style

CLASSES = ["glass", "metal", "a name that is far too long for a cell"]
PLAIN, MIXED = Model("resnet18", "64x64"), Model("resnet18", "64x64", "mixup")
ROWS = [("glass", "glass"), ("glass", "metal"), ("metal", "metal"), (CLASSES[2], "metal")]

pytestmark = [pytest.mark.filterwarnings("error"), pytest.mark.usefixtures("drawn")]


def predict(model: Model) -> pd.DataFrame:
    return pd.DataFrame(ROWS, columns=["label", "predicted"]).assign(**model.columns)


def test_stages_have_colours_that_mean_nothing_else():
    rows = [("a", "photo", 3, 64, "given"), ("b", "block", 8, 32, "frozen"), ("c", "head", 2, 1, "learns")]
    modules = pd.DataFrame(rows, columns=["module", "kind", "channels", "height", "state"])
    figure = figures.network_stages(modules)
    for red, green, blue, _ in figure.axes[0].collections[0].get_facecolors():
        assert abs(red - green) + abs(green - blue) < 0.05  # greys


def test_labels_of_narrow_panels_do_not_meet():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(0))
    study.optimize(lambda trial: sum(trial.suggest_float(name, 1e-6, 1, log=True) for name in "abcde"), 4)
    figure = figures.search_figure(plots.plot_slice, study, target_name="loss")
    assert {label.get_rotation() for label in figure.axes[0].get_xticklabels()} == {45}


def test_curves_have_a_line_per_model_and_split_with_the_mean_of_the_seeds():
    rows = [
        {
            **model.columns,
            "seed": seed,
            "epoch": epoch,
            "split": split,
            "loss": 1.0,
            "accuracy": 0.5 + seed / 10,
        }
        for model in (PLAIN, MIXED)
        for seed in (0, 1)
        for epoch in (1, 2)
        for split in ("train", "validation")
    ]
    loss, accuracy = figures.training_curves(pd.DataFrame(rows)).axes
    assert len(loss.lines) == len(accuracy.lines) == 4
    assert np.allclose(accuracy.lines[0].get_ydata(), 0.55)
    assert {line.get_color() for line in loss.lines} == {figures.network_colours(["resnet18"])["resnet18"]}
    looks = [(line.get_linestyle(), line.get_linewidth()) for line in loss.lines]
    assert looks == [("-", 0.8), ("-", 2), ("--", 0.8), ("--", 2)]


def test_one_confusion_matrix_shows_shares_and_counts():
    axes = figures.confusion_matrices(predict(PLAIN), CLASSES).axes[0]
    assert [text.get_text() for text in axes.texts if text.get_text()] == [
        "50 %\n1",
        "50 %\n1",
        *2 * ["100 %\n1"],
    ]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["glass", "metal", "a name t…r a cell"]


def test_a_confusion_matrix_names_every_class_however_long_the_names_are():
    classes = [f"{at} has a name of thirty letters" for at in range(12)]
    rows = pd.DataFrame({"label": classes, "predicted": classes}).assign(**PLAIN.columns)
    for table in (rows, pd.concat([rows, rows.assign(**MIXED.columns)])):
        axes = figures.confusion_matrices(table, classes).axes[-1]
        shown = [[label.get_text() for label in axis.get_ticklabels()] for axis in (axes.xaxis, axes.yaxis)]
        assert shown == 2 * [style.shorten(classes, 16)]


def test_many_confusion_matrices_are_named_and_grow_with_the_classes():
    two = pd.concat([predict(PLAIN), predict(MIXED)])
    figure = figures.confusion_matrices(two, CLASSES)
    assert ["mixup" in axes.get_title("left") for axes in figure.axes] == [False, True]
    wide = figures.confusion_matrices(two, [*CLASSES, *map(str, range(37))])
    assert wide.get_figwidth() > 12 and len(wide.axes) == 2


def test_recall_changes_are_told_where_they_are_clear_of_zero():
    nothing = {"change": np.nan, "low": np.nan, "high": np.nan}
    rows = [{**PLAIN.columns, "label": label, "recall": 0.5, **nothing} for label in CLASSES]
    for label, low in zip(CLASSES, (-0.1, 0.02, -0.3), strict=True):
        change = {"change": low + 0.1, "low": low, "high": low + 0.2}
        rows.append({**MIXED.columns, "label": label, "recall": 0.5, **change})
    texts = figures.recall_changes(pd.DataFrame(rows), CLASSES).axes[0].texts
    told = [text.get_text() for text in texts]
    assert told == ["50\u202f%"] * 4 + ["50\u202f%\n+12 [+2, +22]", "50\u202f%\n−20 [−30, −10]"]


def test_a_reliability_diagram_shows_what_share_of_photos_a_bin_holds():
    bins = pd.DataFrame(
        {"confidence": [0.9, 0.5], "accuracy": [0.8, 0.6], "low": [0.7, 0.3], "high": [0.9, 0.8]}
    )
    (axes,) = figures.reliability_diagram(bins.assign(**PLAIN.columns, photos=[6, 4])).axes
    assert list(axes.lines[0].get_xdata()) == [0.5, 0.9] and list(axes.lines[0].get_ydata()) == [0.6, 0.8]
    assert np.allclose([bar.get_height() for bar in axes.patches], [0.6, 0.4])


@pytest.mark.parametrize(
    "draw", [plots.plot_slice, plots.plot_parallel_coordinate, plots.plot_optimization_history]
)
def test_a_search_is_drawn_without_a_warning_and_leaves_the_pages_look(draw):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(0))
    study.optimize(
        lambda trial: trial.suggest_float("rate", 1e-4, 1, log=True) + trial.suggest_int("n", 1, 3), 4
    )
    before = dict(plt.rcParams)
    figure = figures.search_figure(draw, study, target_name="loss")
    assert dict(plt.rcParams) == before and figure.axes
    assert not [
        axes
        for axes in figure.axes
        if axes.get_legend() and axes.get_legend().get_window_extent().overlaps(axes.bbox)
    ]
