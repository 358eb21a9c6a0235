"""The figures of what models learned draw what their tables say."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from wastebook.report.figures import models
from wastebook.report.figures import models as learning

CLASSES = ["glass", "metal", "trash"]


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def texts(figure) -> list[str]:
    """Every text drawn in the panels of a figure, titles of panels included."""
    drawn = [text.get_text() for axes in figure.axes for text in axes.texts]
    return drawn + [axes.get_title() or axes.get_title("left") for axes in figure.axes]


def predict(model: str, rows: list[tuple[str, str, float]], seed: int = 0) -> pd.DataFrame:
    """Predictions from (label, predicted, probability of the predicted); the rest is shared out."""
    table = pd.DataFrame(rows, columns=["label", "predicted", "sure"])
    for name in CLASSES:
        table[f"p_{name}"] = np.where(table["predicted"] == name, table["sure"], (1 - table["sure"]) / 2)
    paths = [f"{label}/{at}.png" for at, label in enumerate(table["label"])]
    return table.drop(columns="sure").assign(path=paths, model=model, seed=seed, split="test")


ROWS = [
    ("glass", "glass", 0.9),
    ("glass", "metal", 0.6),
    ("metal", "metal", 0.8),
    ("trash", "metal", 0.95),
    ("trash", "trash", 0.7),
]


def make_trials(**more) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "number": range(4),
            "state": ["COMPLETE", "COMPLETE", "FAIL", "COMPLETE"],
            "value": [0.5, 0.7, np.nan, 0.6],
            "seed": 0,
            "seconds": 1.0,
            "learning_rate": [1e-4, 1e-2, 1e-3, 1e-1],
            "batch_size": [16, 32, 32, 64],
        }
        | more
    )


def test_curves_have_a_line_a_model_and_split_and_the_mean_of_seeds():
    rows = [
        {
            "model": model,
            "seed": seed,
            "epoch": epoch,
            "split": split,
            "loss": 1.0,
            "accuracy": 0.5 + seed / 10,
        }
        for model in ("resnet18", "resnet18+mixup")
        for seed in (0, 1)
        for epoch in (1, 2)
        for split in ("train", "validation")
    ]
    figure = learning.training_curves(pd.DataFrame(rows))
    loss, accuracy = figure.axes
    assert len(loss.lines) == len(accuracy.lines) == 4
    assert np.allclose(accuracy.lines[0].get_ydata(), 0.55)


def test_one_confusion_matrix_shows_shares_and_counts():
    figure = learning.confusion_matrices(predict("resnet18", ROWS), CLASSES)
    assert {"50%\n1", "100%\n1"} <= set(texts(figure))
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == CLASSES


def test_many_confusion_matrices_are_named_by_what_tells_them_apart():
    two = pd.concat([predict("resnet18", ROWS), predict("resnet18+mixup", ROWS[:3])])
    figure = learning.confusion_matrices(two, CLASSES)
    assert [axes.get_title("left") or axes.get_title() for axes in figure.axes] == ["none", "mixup"]
    other = pd.concat([predict("base_cnn", ROWS), predict("xception", ROWS)])
    titles = [
        axes.get_title("left") or axes.get_title()
        for axes in learning.confusion_matrices(other, CLASSES).axes
    ]
    assert titles == ["base_cnn", "xception"]


def test_mistakes_come_surest_first_and_once_a_photo(tmp_path):
    both = pd.concat([predict("resnet18", ROWS), predict("resnet18", ROWS, seed=1)])
    for path in both["path"]:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 6), "white").save(tmp_path / path)
    figure = learning.certain_mistakes(both, tmp_path)
    assert texts(figure) == ["trash\nas metal, 0.95", "glass\nas metal, 0.60"]


def test_no_mistake_is_said(tmp_path):
    figure = learning.certain_mistakes(predict("resnet18", [("glass", "glass", 0.9)]), tmp_path)
    assert "no mistake" in texts(figure)


def test_augmented_copies_stand_a_row_a_transform():
    picture = np.zeros((6, 8, 3), np.uint8)
    figure = learning.augmented_copies({"original": [picture] * 3, "horizontal_flip": [picture] * 3})
    assert len(figure.axes) == 6
    assert [axes.get_ylabel() for axes in figure.axes[::3]] == ["original", "horizontal flip"]


def test_recall_changes_clear_of_zero_are_bold():
    nothing = {"change": np.nan, "low": np.nan, "high": np.nan}
    rows = [{"model": "resnet18", "label": label, "recall": 0.5, **nothing} for label in CLASSES]
    for label, low in zip(CLASSES, (-0.1, 0.02, -0.3), strict=True):
        change = {"change": low + 0.1, "low": low, "high": low + 0.2}
        rows.append({"model": "resnet18+mixup", "label": label, "recall": 0.5, **change})
    figure = learning.recall_changes(pd.DataFrame(rows), CLASSES)
    bold = [text.get_text() for text in figure.axes[0].texts if text.get_fontweight() == "bold"]
    assert bold == ["0.50\n+12 [+2, +22]", "0.50\n-20 [-30, -10]"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["none", "mixup"]


def test_scores_without_an_interval_are_hollow():
    rows = [("resnet18", "grouped", 0.8, 0.75, 0.85), ("resnet18", "published", 0.76, np.nan, np.nan)]
    scores = pd.DataFrame(rows, columns=["model", "scheme", "value", "low", "high"]).assign(metric="accuracy")
    axes = learning.score_intervals(scores, ["accuracy"]).axes[0]
    faces = [box[0].get_markerfacecolor() for box in axes.containers]
    assert faces[1] == "white" != faces[0]
    assert [box.has_xerr for box in axes.containers] == [True, False]


def test_search_figures_leave_out_what_failed_and_take_few_trials():
    trials = make_trials()
    history = learning.search_history(trials, default=0.55)
    assert list(history.axes[0].lines[0].get_xdata()) == [0, 1, 3]
    assert list(history.axes[0].lines[1].get_ydata()) == [0.5, 0.7, 0.7]
    slices = learning.search_slices(trials, {"batch_size": 32})
    assert [axes.get_xscale() for axes in slices.axes] == ["log", "linear"]
    parallel = learning.search_parallel(trials)
    best = max(parallel.axes[0].lines, key=lambda line: line.get_linewidth())
    assert np.allclose(best.get_ydata(), [2 / 3, 1 / 3])
    learning.search_parallel(trials.head(1))


def test_the_best_so_far_is_of_one_seed():
    both = pd.concat([make_trials(), make_trials(seed=1, value=[0.4, 0.3, 0.45, np.nan])])
    lines = learning.search_history(both, default=0.5).axes[0].lines
    assert [list(line.get_ydata()) for line in lines[1:4:2]] == [[0.5, 0.7, 0.7], [0.4, 0.4, 0.45]]


def test_the_penalty_with_the_least_validation_loss_is_ringed():
    path = pd.DataFrame(
        {"l2": [1, 0.1, 0.01], "train_loss": [3, 2, 1], "validation_loss": [3, 2, 4], "seed": 0}
    )
    ring = learning.penalty_path(path).axes[0].lines[2]
    assert (list(ring.get_xdata()), ring.get_fillstyle()) == ([0.1], "none")


def test_importance_is_ordered():
    figure = learning.search_importance(pd.Series({"gamma": 0.2, "learning_rate": 0.8}))
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["gamma", "learning rate"]


def test_curves_of_a_perfect_model_have_area_one():
    perfect = predict("xception", [("glass", "glass", 0.9), ("metal", "metal", 0.9), ("glass", "glass", 0.6)])
    assert learning.roc_curves(perfect, "glass").axes[0].get_legend_handles_labels()[1] == [
        "xception (1.000)"
    ]
    precision = learning.precision_recall_curves(perfect, "glass").axes[0]
    assert precision.get_legend_handles_labels()[1] == ["xception (1.000)"]


def test_a_reliability_diagram_shows_what_share_of_photos_a_bin_holds():
    bins = pd.DataFrame(
        {"confidence": [0.9, 0.5], "accuracy": [0.8, 0.6], "low": [0.7, 0.3], "high": [0.9, 0.8]}
    )
    above, below = learning.reliability_diagram(bins.assign(model="xception", photos=[6, 4])).axes
    assert list(above.containers[0][0].get_xdata()) == [0.5, 0.9]
    assert np.allclose(below.lines[0].get_ydata(), [0.4, 0.6])


def test_a_network_is_drawn_module_by_module():
    modules = pd.DataFrame(
        {
            "module": ["conv1", "layer1", "head"],
            "channels": [64, 512, 6],
            "height": [112, 7, 1],
            "width": [112, 7, 1],
            "parameters": [9408, 8_393_728, 3078],
            "learns": [False, False, True],
        }
    )
    figure = models.network_diagram(modules)
    assert {"conv1", "64\n112×112\n9.41 k", "512\n7×7\n8.39 M", "6\npooled\n3.08 k"} <= set(texts(figure))
    assert len(figure.axes[0].patches) == 3
