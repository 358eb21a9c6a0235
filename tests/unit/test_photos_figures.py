"""The figures of the exploration: drawn from any table, without a warning, showing what they should."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from wastebook.photos import quality as measure
from wastebook.report.figures import photos as figures
from wastebook.report.figures.style import class_styles, set_up

pytestmark = pytest.mark.filterwarnings("error")
NAMES = [
    "paper",
    "a name that is far too long for a panel",
    "<b>",
    "días",
    *(f"class {at}" for at in range(16)),
]


@pytest.fixture(autouse=True)
def drawn():
    set_up()
    yield
    for number in plt.get_fignums():
        plt.figure(number).canvas.draw()
    plt.close("all")


@pytest.fixture(params=[2, 6, 20])
def measures(request):
    random = np.random.default_rng(0)
    table = pd.DataFrame(
        random.uniform(1, 200, (3 * request.param, len(measure.MEASURES))), columns=measure.MEASURES
    )
    table["bb_coverage"] /= 200
    table.loc[0, "sharpness"] = 0
    return table.assign(label=np.repeat(NAMES[: request.param], 3), path="")


def texts(figure):
    return [
        text.get_text() for axes in figure.axes for text in (*axes.texts, axes.title, *axes.get_yticklabels())
    ]


def test_counts(measures):
    figure = figures.class_counts(measures)
    bars = figure.axes[0].containers[0]
    assert [bar.get_width() for bar in bars] == [3] * measures["label"].nunique()
    colours = class_styles(sorted(measures["label"].unique()))
    assert bars[0].get_facecolor()[:3] == pytest.approx(
        plt.matplotlib.colors.to_rgb(next(iter(colours.values()))[0])
    )
    assert any("3  (" in text for text in texts(figure))


def test_sizes():
    photos = pd.DataFrame({"width": [512, 512, 30], "height": [384, 384, 1500]})
    figure = figures.photo_sizes(photos)
    assert "512 x 384 (67 %)" in figure.axes[0].get_title(loc="left")
    assert len(figure.axes[0].collections[0].get_offsets()) == 2


def test_boxes_and_light(measures):
    assert len(figures.box_histograms(measures).axes) == 2
    shown = [axes for axes in figures.box_sizes(measures).axes if axes.get_visible()]
    assert len(shown) == measures["label"].nunique()
    assert len(figures.by_class(measures, {"brightness": "brightness", "contrast": "contrast"}).axes) == 2
    figures.by_class(measures, {"sharpness": "sharpness"}, logarithmic=True)


def test_colour_histograms_show_the_highest_peak():
    rows = [
        (label, channel, value, share)
        for label, share in (("low", 0.1), ("high", 0.9))
        for channel in ("red", "green", "blue")
        for value in (64, 192)
    ]
    colours = pd.DataFrame(rows, columns=["label", "channel", "value", "share"])
    figure = figures.colour_histograms(colours)
    assert all(axes.get_ylim()[0] == 0 and axes.get_ylim()[1] >= 0.9 for axes in figure.axes)


def test_pictures_keep_their_shape():
    wide, high, dot = (np.zeros(shape, np.uint8) for shape in ((20, 400, 3), (400, 20, 3), (1, 1, 3)))
    figures.picture_rows({"one": [wide], "two": [high, dot]})
    figures.picture_grid([wide, high, dot], ["a", "b", "c"])
    tile = figures._tile(wide)
    assert tile.shape == (*figures.TILE, 3)
    dark = (tile == 0).all(axis=2)
    assert dark.sum() == figures.TILE[1] * 12  # 20 x 400 pixels on a tile 240 wide


def test_boxed_photos(sample):
    measures = measure.measure_photos(sample.photos[:9], sample.root)
    figure = figures.boxed_photos(measure.beside_true_boxes(measures, None), sample.root)
    captions = [text for text in texts(figure) if text.endswith(" %")]
    shares = [int(caption.split(", ")[1][:-2]) for caption in captions]
    assert len(shares) == 8 and shares == sorted(shares)


def test_pairs_and_none(sample):
    paths = list(sample.photos["path"][:4])
    pairs = pd.DataFrame({"path_a": paths[:2], "path_b": paths[2:], "kind": ["near", "object"]})
    assert [text for text in texts(figures.picture_pairs(pairs, sample.root)) if text.endswith("near")]
    assert "There are none." in texts(figures.picture_pairs(pairs[:0], sample.root))
