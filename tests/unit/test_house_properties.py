"""What holds whatever is given: tried on what Hypothesis makes up, the same on every machine."""

import unicodedata
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import yaml
from bs4 import BeautifulSoup
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn import metrics as reference

from wastebook.book.plan import Text, _typed
from wastebook.data.copies import PHOTO_SUFFIXES
from wastebook.data.layout import read_layout
from wastebook.data.splits import FEWEST, FRACTIONS, count_things, split_photos
from wastebook.errors import WastebookError
from wastebook.evaluation.metrics import METRICS, metric_values
from wastebook.files import FORMULA, as_cell, as_html, as_line, as_written
from wastebook.learning.predictions import Model, predictions_table
from wastebook.photos.collection import Collection
from wastebook.photos.quality import _measure, bounding_box
from wastebook.report.sentences import describe_difference, describe_extremes, format_points

tried = settings(derandomize=True, deadline=None, max_examples=60, database=None)
LETTERS = st.characters(exclude_categories=["Cs"])  # halves of pairs, which are no text
MARKUP = ["<b>", "&amp;", "$x$", "`", "*", "_", "[a](b)", "\n", "\\", "{{<x>}}", "{=html}", "--", "..."]
MARKUP += [":::", "#", "|", "=1", "'", '"', "http://a.b", "@x", "![", "~~", "^"]
TEXTS = st.one_of(st.text(LETTERS, max_size=14), st.lists(st.sampled_from(MARKUP), max_size=5).map("".join))
KNOWN = ["train", "val", "test", "eval", "images", "can", "Can", "can ", "DCIM", "100CANON", "pred", ".x"]
SHORT = st.text(LETTERS.filter(lambda letter: letter not in "/\0."), min_size=1, max_size=4)
FOLDERS = st.one_of(st.sampled_from([*KNOWN, "__MACOSX", "seg_train"]), SHORT)
SUFFIXES = st.sampled_from([*sorted(PHOTO_SUFFIXES), ".txt", ".zip", ""])
FILES = st.builds("{}{}".format, st.sampled_from("abcdef"), st.just(".jpg") | SUFFIXES)


def test_a_tree_is_read_or_refused_and_each_file_counted_once():
    read = []

    @tried
    @given(st.lists(st.tuples(st.lists(FOLDERS, max_size=4), FILES), max_size=24))
    def check(tree):
        paths = sorted({"/".join([*folders, name]) for folders, name in tree})
        try:
            told, rows, left_out, _ = read_layout("root", paths)
        except WastebookError as error:
            assert "\n" not in str(error)
            return
        assert Counter([path for path, *_ in rows] + [*left_out]) == Counter(paths) and told
        labels = {label for _, label, _ in rows}
        alike = {unicodedata.normalize("NFC", label).casefold().strip() for label in labels}
        assert len(alike) == len(labels) >= 2 and all(labels)
        assert len({split is None for *_, split in rows}) == 1
        read.append(tree)

    check()
    assert len(read) > 10  # to refuse all would be no answer


@st.composite
def photo_tables(draw):
    """Photos of up to five classes in groups of any size, also across classes."""
    number = draw(st.integers(1, 60))
    labels = draw(st.lists(st.sampled_from("abcde"), min_size=number, max_size=number))
    groups = draw(st.lists(st.integers(0, number), min_size=number, max_size=number))
    table = {"path": [f"{at}.jpg" for at in range(number)], "label": labels, "split": None, "sha256": "0"}
    return pd.DataFrame(table).assign(group=pd.array(groups, "Int64"))


@tried
@given(photo_tables(), st.sampled_from(["random", "grouped"]), st.integers(0, 5))
def test_a_split_has_every_class_on_every_side_and_no_group_on_two(photos, scheme, seed):
    try:
        dealt = split_photos(photos, scheme, seed)
    except WastebookError:
        assert scheme == "grouped" or (count_things(photos, scheme) < FEWEST).any()
        return
    assert dealt["path"].tolist() == sorted(photos["path"]) and {*dealt["split"]} == {*FRACTIONS}
    assert dealt.groupby("label")["split"].nunique().eq(3).all()
    assert scheme == "random" or dealt.groupby("group")["split"].nunique().eq(1).all()
    shuffled = photos.sample(frac=1, random_state=seed)
    assert split_photos(shuffled, scheme, seed)["split"].tolist() == dealt["split"].tolist()


@tried
@given(photo_tables())
def test_what_is_left_for_learning_can_be_dealt_out(photos):
    pairs = pd.DataFrame(columns=["path_a", "path_b"])
    classes = sorted({*photos["label"]})
    data = Collection("mine", "Mine", None, classes, {}, photos, pairs, photos, pd.DataFrame(), {})
    kept = data.for_learning("grouped")
    if len(kept.classes) > 1:
        split_photos(kept.photos, "grouped", 0)


@tried
@given(arrays.arrays(np.uint8, arrays.array_shapes(min_dims=2, max_dims=2, max_side=24)))
def test_a_box_lies_within_its_photo_and_all_measures_are_numbers(grey):
    x, y, width, height = bounding_box(grey)
    assert min(x, y) >= 0 < min(width, height) and y + height <= len(grey) and x + width <= len(grey[0])
    assert np.isfinite(_measure(np.repeat(grey[..., None], 3, axis=2))).all()


@st.composite
def answers(draw):
    """The predictions of a model, and their probabilities."""
    number, classes = draw(st.integers(2, 40)), list("abcd")[: draw(st.integers(2, 4))]
    labels = draw(st.lists(st.sampled_from(classes), min_size=number, max_size=number))
    counts = draw(arrays.arrays(int, (number, len(classes)), elements=st.integers(1, 50)))
    photos = pd.DataFrame({"path": map(str, range(number)), "label": labels, "split": "test", "group": pd.NA})
    shares = counts / counts.sum(axis=1, keepdims=True)
    return predictions_table(photos, shares, classes, Model("m", "1x1"), 0, "official"), shares, classes


@tried
@given(answers())
def test_metrics_are_scikit_learns(given_answers):
    told, shares, classes = given_answers
    names = [*METRICS, *(f"{metric}:{label}" for label in classes for metric in ("recall", "precision"))]
    with np.errstate(invalid="ignore"):  # of classes without photos, or never named
        values = metric_values(told, names)(np.ones((1, len(told)), np.float32))
    values = {name: value.item() for name, value in values.items()}
    truth, guess, of_class = told["label"], told["predicted"], {"average": "macro", "zero_division": 0}
    of_class["labels"] = present = sorted({*truth})
    assert values["accuracy"] == pytest.approx(reference.accuracy_score(truth, guess))
    assert values["balanced_accuracy"] == pytest.approx(reference.recall_score(truth, guess, **of_class))
    assert values["macro_f1"] == pytest.approx(reference.f1_score(truth, guess, **of_class))
    assert values["log_loss"] == pytest.approx(reference.log_loss(truth, shares, labels=classes), rel=1e-4)
    for label in present:
        sides = truth == label, guess == label
        assert values[f"recall:{label}"] == pytest.approx(reference.recall_score(*sides))
        assert values[f"precision:{label}"] == pytest.approx(
            reference.precision_score(*sides, zero_division=0)
        )
    ranked = enumerate(classes) if len(classes) > 2 else [(1, classes[1])]
    mixed = [(truth == label, shares[:, at]) for at, label in ranked if {*truth} > {label}]
    areas = [reference.roc_auc_score(*sides) for sides in mixed]
    assert values["auc"] == pytest.approx(np.mean(areas) if areas else np.nan, rel=1e-5, nan_ok=True)


@tried
@given(TEXTS)
def test_a_text_is_only_ever_text(text):
    page = BeautifulSoup(as_written(text), "html.parser")
    assert not page.find(True)
    if not any(unicodedata.category(letter) == "Cc" for letter in text):
        assert page.get_text().split() == text.split()
    tags = {tag.name for tag in BeautifulSoup(as_html(text), "html.parser").find_all()}
    assert tags <= {"div", "p", "ul", "li"}
    assert not as_cell(text).startswith(FORMULA)
    assert all(letter.isprintable() or letter in "\u200c\u200d" for letter in as_line(text))


VALUES = [(str, st.text(LETTERS)), (int, st.integers()), (bool, st.booleans())]
VALUES += [(float, st.floats(allow_nan=False, allow_infinity=False)), (int | None, st.none())]
VALUES += [(list[int], st.lists(st.integers(), max_size=3))]


@tried
@given(st.one_of(*(st.tuples(st.just(kind), values) for kind, values in VALUES)))
def test_a_parameter_is_read_as_it_was_written(typed):
    kind, value = typed
    written = value if kind is str else yaml.safe_dump(value, default_flow_style=True).partition("\n")[0]
    assert _typed("a.b", kind, value) == _typed("a.b", kind, Text(written)) == value


@tried
@given(st.lists(st.floats(0, 1), min_size=1, max_size=7), st.lists(st.floats(-1, 1), min_size=3, max_size=3))
def test_sentences_bear_any_number(shares, ends):
    assert "nan" not in describe_extremes(pd.Series(shares, index=list("abcdefg")[: len(shares)]))
    low, value, high = sorted(ends)
    row = pd.Series({"difference": value, "low": low, "high": high, "p_holm": abs(value)})
    for told in (describe_difference(row, "it"), format_points(row)):
        assert "nan" not in told and "-" not in told
