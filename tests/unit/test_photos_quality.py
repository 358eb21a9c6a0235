"""What photos measure, on pictures of which the answer is known and on the real ones."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from wastebook import paths
from wastebook.data.sample import true_boxes
from wastebook.photos import quality


@pytest.fixture
def board(tmp_path):
    """A dark thing at a known place on a light board, a plain photo and one of a single pixel."""
    photo = np.full((120, 160, 3), 220, np.uint8)
    photo[30:90, 40:120] = (60, 40, 20)
    for name, picture in (("thing", photo), ("plain", np.full_like(photo, 90)), ("dot", photo[:1, :1])):
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
    table = pd.DataFrame({"path": ["thing.png", "plain.png", "dot.png"], "label": ["a", "b", "b"]})
    return quality.measure_photos(table, tmp_path), photo


def test_box_light_and_sharpness(board):
    measures, photo = board
    thing, plain, dot = (row for _, row in measures.iterrows())
    box = thing[["bb_x", "bb_y", "bb_width", "bb_height"]].astype(float)
    assert np.abs(box - [40, 30, 80, 60]).max() <= 2
    assert thing["bb_area"] == thing["bb_width"] * thing["bb_height"]
    assert thing["bb_coverage"] == pytest.approx(0.25, abs=0.02)
    assert thing["aspect_ratio"] == pytest.approx(4 / 3)
    assert thing["brightness"] == pytest.approx(photo.mean()) and thing["contrast"] == pytest.approx(
        photo.std()
    )
    assert thing["sharpness"] > 10 and plain["sharpness"] == 0
    assert plain["contrast"] == 0 and plain["bb_coverage"] == 1
    assert dot["aspect_ratio"] == dot["bb_area"] == dot["bb_coverage"] == 1


def test_columns_and_order(sample):
    measures = quality.measure_photos(sample.photos[:10], sample.root)
    assert list(measures) == ["path", "label", *quality.MEASURES]
    assert list(measures["path"]) == list(sample.photos["path"][:10])


def test_boxes_beside_the_true_ones(sample):
    measures = quality.measure_photos(sample.photos[::6], sample.root)
    boxed = quality.match_true_boxes(measures, true_boxes(sample.root))
    assert boxed["overlap"].between(0, 1).all() and boxed["overlap"].median() > 0.7
    assert quality.match_true_boxes(measures, None)["overlap"].isna().all()


@pytest.mark.parametrize(
    ("true", "overlap"), [((0, 0, 10, 10), 1.0), ((5, 0, 10, 10), 1 / 3), ((10, 0, 5, 5), 0.0)]
)
def test_overlap_is_intersection_over_union(true, overlap):
    found = pd.DataFrame(
        {"path": ["a"], "bb_x": 0, "bb_y": 0, "bb_width": 10, "bb_height": 10, "bb_area": 100}
    )
    known = pd.DataFrame([("a", *true)], columns=["path", "x", "y", "width", "height"])
    assert quality.match_true_boxes(found, known)["overlap"].item() == pytest.approx(overlap)


def test_colours(tmp_path):
    for name, colour in (("red", (255, 0, 0)), ("dark", (0, 0, 0)), ("blue", (0, 0, 255))):
        Image.new("RGB", (20, 10), colour).save(tmp_path / f"{name}.png")
    photos = pd.DataFrame({"path": ["red.png", "dark.png", "blue.png"], "label": ["a", "a", "b"]})
    colours, means = quality.summarise_colours(photos, tmp_path, size=(6, 8), bins=4)
    shares = colours.pivot_table(index=["label", "channel"], columns="value", values="share")
    assert shares.loc[("a", "red")].tolist() == [0.5, 0, 0, 0.5]
    assert shares.loc[("b", "blue")].tolist() == [0, 0, 0, 1]
    assert np.allclose(shares.sum(axis=1), 1)
    assert means["a"].shape == (6, 8, 3) and means["a"][0, 0].tolist() == [128, 0, 0]


def test_explained_by_class():
    labels = np.repeat(["a", "b"], 200)
    noise = np.random.default_rng(0).normal(size=400)
    for values, low, high in ((noise, 0, 0.05), (noise / 10 + (labels == "b"), 0.9, 1), (noise * 0, 0, 0)):
        table = pd.DataFrame({"label": labels, "x": values})
        assert low <= quality.explained_by_class(table, "x") <= high


@pytest.mark.parametrize("count", [2000, 110])
def test_spread_of_draws_is_the_sampling_error_however_few_there_are_to_draw_from(count):
    random = np.random.default_rng(0)
    table = pd.DataFrame(
        {"path": [f"{at:04}" for at in range(count)], "label": "a", "x": random.normal(5, 2, count)}
    )
    spread = quality.spread_of_draws(table, ["x"], per_class=100, seed=0).set_index("statistic")
    assert spread.loc["mean", "value"] == pytest.approx(table["x"].mean(), abs=0.05)
    assert spread.loc["deviation", "value"] == pytest.approx(table["x"].std(), abs=0.1)
    assert spread.loc["mean", "error"] == pytest.approx(2 / 100**0.5, rel=0.25)


@pytest.mark.real
def test_the_published_means_come_back(trashnet):
    measures = quality.measure_photos(trashnet.photos, trashnet.root)
    published = pd.read_csv(paths.CARDS / "published.csv").query("work == 'FIUBA' and statistic == 'mean'")
    published = published[published["what"].isin(quality.MEASURES)]
    assert len(published) == 6
    ours = quality.spread_of_draws(measures, list(published["what"]), per_class=50, seed=1)
    both = published.merge(ours, on=["what", "statistic"], suffixes=("", "_ours"))
    # Their 300 photos are one such draw: six means, so the largest of them may be nearly three errors off.
    assert ((both["value"] - both["value_ours"]).abs() <= 3 * both["error"]).all()
