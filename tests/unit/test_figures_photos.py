"""The figures of photos: drawn from pictures of any shape, without a warning, showing what they should."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from wastebook.learning.predictions import Model
from wastebook.report import figures

pytestmark = [pytest.mark.filterwarnings("error"), pytest.mark.usefixtures("drawn")]
WIDE, HIGH, DOT = (np.zeros(shape, np.uint8) for shape in ((20, 400, 3), (400, 20, 3), (1, 1, 3)))


@pytest.fixture
def root(tmp_path):
    for at in range(4):
        Image.new("RGB", (8 + at, 6), "white").save(tmp_path / f"{at}.png")
    return tmp_path


def texts(figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def test_pictures_keep_their_shape_and_stay_in_their_cell():
    axes = figures.photo_grid([WIDE, HIGH, DOT], ["a", "b", "c"], across=2).axes[0]
    for number, picture in enumerate((WIDE, HIGH, DOT)):
        left, right, bottom, top = axes.images[number].get_extent()
        assert np.isclose((right - left) / (bottom - top), picture.shape[1] / picture.shape[0])
        assert left == number % 2 and right < left + 1


def test_captions_are_broken_and_their_dollars_kept():
    figure = figures.photo_grid([DOT] * 4, ["a name that is far too long for a cell, $5 or $6"] * 4)
    assert "\n" in texts(figure)[0] and "$5 or $6" in texts(figure)[0].replace("\n", " ")


def test_rows_are_named_and_may_differ_in_length():
    axes = figures.photo_grid({"one": [WIDE], "<b> and días": [HIGH] * 6}).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["one", "<b> and días"]
    assert axes.get_xlim() == (0, 6) and len(axes.images) == 7


def test_pairs_are_named_and_none_is_said(root):
    rows = [("0.png", "2.png", "near", True, pd.NA), ("1.png", "3.png", "object", False, False)]
    pairs = pd.DataFrame(rows, columns=["path_a", "path_b", "kind", "same_label", "same_split"])
    pairs["same_split"] = pairs["same_split"].astype("boolean")
    told = ["0 and 2", "the same shot", "1 and 3", "the same thing, two\nlabels, two sides"]
    assert texts(figures.photo_pairs(pairs, root)) == told
    assert figures.photo_pairs(pairs[:0], root).texts[0].get_text() == "There are none."


def test_a_box_is_drawn_on_a_copy_and_within_the_photo():
    photo = np.zeros((100, 200, 3), np.uint8)
    drawn = figures.draw_box(photo, (50, 20, 500, 60), "#0072B2")
    assert photo.max() == 0
    assert drawn[20, 100].tolist() == [0, 0x72, 0xB2] and drawn[50, 198].max() > 0
    assert not figures.draw_box(photo, [np.nan] * 4).any()


def test_mistakes_come_surest_first_and_once_per_photo(root):
    rows = [
        ("0.png", "glass", "glass", 0.9),
        ("1.png", "glass", "metal", 0.6),
        ("1.png", "glass", "metal", 0.7),
        ("2.png", "trash", "metal", 0.95),
    ]
    table = pd.DataFrame(rows, columns=["path", "label", "predicted", "p_metal"])
    one, other = Model("resnet18", "64x64"), Model("base_cnn", "64x64")
    table = table.assign(**one.columns)
    assert texts(figures.mistakes(table, root)) == ["trash as metal, 95\u202f%", "glass as metal, 70\u202f%"]
    rows = figures.mistakes(pd.concat([table, table.assign(**other.columns)]), root, count=1).axes[0]
    assert [label.get_text() for label in rows.get_yticklabels()] == ["ResNet18", "base CNN"]
    assert len(rows.images) == 2
